//! What goes wrong with whom at which step, and what it may cost.

use std::fmt;
use std::time::Duration;

use super::step::Step;

/// What goes wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its agent is killed, and its guardian too; another one comes when others have done without.
    Killed,
    /// Likewise, and another one comes at once, within the right.
    Restarted,
    /// Its agent stands still, for longer than others wait for it.
    Frozen,
    /// The cable to the switch with the clients is pulled.
    CutFromSwitch,
    /// etcd is out of its reach.
    CutFromEtcd,
}

/// With which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// Who hands over.
    Owner,
    /// Who is to follow, or has followed.
    Successor,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) step: Step,
    pub(super) fault: Fault,
    pub(super) victim: Victim,
}

/// What the client may notice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    /// Not one lost probe.
    Nothing,
    /// No answer for so long.
    Gap(Duration),
}

const FAULTS: [Fault; 5] =
    [Fault::Killed, Fault::Restarted, Fault::Frozen, Fault::CutFromSwitch, Fault::CutFromEtcd];

impl Case {
    /// All that can go wrong at a step.
    pub(super) fn all_at(step: Step) -> impl Iterator<Item = Self> {
        let victims = [Victim::Owner, Victim::Successor];
        FAULTS.into_iter().flat_map(move |fault| victims.map(|victim| Self { step, fault, victim }))
    }

    /// What it may cost where others wait for `silence`, and an owner renews every `renew`.
    pub(super) fn harm(self, silence: Duration, renew: Duration) -> Harm {
        /// What acting one after the other adds on a machine where each is kept waiting.
        const BUSY: Duration = Duration::from_secs(1);
        // At worst the record names the one that is struck, and it is waited for from then on.
        let waited_for = Harm::Gap(silence + renew + BUSY);
        match (self.step, self.victim) {
            // It may hear of the offer, be prepared, and notice only then that it has no link.
            (Step::Offered, Victim::Successor) if self.fault == Fault::CutFromSwitch => waited_for,
            // Who serves the VIP is the other one, and has no need of the one that is struck.
            (Step::Offered, Victim::Successor) | (Step::Draining, Victim::Owner) => Harm::Nothing,
            (Step::Offered | Step::Prepared | Step::Handed, Victim::Owner)
            | (Step::Prepared | Step::Handed | Step::Draining, Victim::Successor) => waited_for,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, fault, victim } = self;
        write!(f, "{step:?}, {victim:?} {fault:?}")
    }
}
