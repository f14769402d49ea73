//! What can go wrong, and with whom.

use std::fmt;
use std::time::Duration;

/// A fault of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something happens to a node.
    Node(NodeFault, Whom),
    /// Something happens to a member of etcd.
    Member(MemberFault, Which),
    /// Every member's disk takes so much longer to say that something is written.
    SlowDisks(Duration),
}

/// What happens to a node. When it is over the node is as before, with a new agent where it was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeFault {
    /// `kill -9` to the agent.
    Killed,
    /// The agent is killed and all cables are pulled, as by a loss of power.
    Crashed,
    /// SIGTERM to the agent.
    Stopped,
    /// SIGSTOP to the agent.
    Frozen,
    /// The agent runs for moments only.
    Starved {
        /// How long it stands still each time.
        still: Duration,
        /// How long it runs in between.
        awake: Duration,
    },
    /// The cable to the switch with etcd is pulled.
    CutFromEtcd,
    /// The cable to the switch with the clients is pulled.
    CutFromSwitch,
    /// That cable is pulled and put back again and again.
    Flapping {
        /// How long it is out each time.
        down: Duration,
        /// How long it is in, in between.
        up: Duration,
    },
}

/// What happens to a member of etcd. When it is over the member runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberFault {
    /// `kill -9`.
    Killed,
    /// SIGTERM.
    Stopped,
    /// SIGSTOP.
    Frozen,
}

/// Which node; decided when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// The node that the first VIP's record names then.
    Owner,
    /// The node of this number.
    Number(usize),
}

/// Which member of etcd; decided when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that leads then.
    Leader,
    /// The one of this number.
    Number(usize),
}

/// One moment within a fault that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It begins, or comes again.
    On,
    /// It pauses.
    Pause,
    /// It is over.
    Over,
}

impl Fault {
    /// Its moments, from its beginning.
    pub(super) fn turns(self, lasts: Duration) -> Vec<(Duration, Turn)> {
        let mut turns = Vec::new();
        let (mut at, pace) = (Duration::ZERO, self.pace());
        loop {
            turns.push((at, Turn::On));
            let Some((on, pause)) = pace else { break };
            if at + on + pause >= lasts {
                break;
            }
            turns.push((at + on, Turn::Pause));
            at += on + pause;
        }
        turns.push((lasts, Turn::Over));
        turns
    }

    /// How long each of its spells lasts, and how long the pauses are, if it comes in spells.
    fn pace(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Node(NodeFault::Starved { still, awake }, _) => Some((still, awake)),
            Self::Node(NodeFault::Flapping { down, up }, _) => Some((down, up)),
            _ => None,
        }
    }
}

impl NodeFault {
    /// What it is, without figures.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Crashed => "without power",
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
            Self::Starved { .. } => "starved",
            Self::CutFromEtcd => "cut off from etcd",
            Self::CutFromSwitch => "cut off from the switch",
            Self::Flapping { .. } => "with a loose cable",
        }
    }
}

impl fmt::Display for NodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Starved { still, awake } => write!(f, " (runs {awake:?} in {:?})", *still + *awake),
            Self::Flapping { down, up } => write!(f, " ({down:?} out, {up:?} in)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for MemberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(what, Whom::Owner) => write!(f, "the owner {what}"),
            Self::Node(what, Whom::Number(number)) => write!(f, "node {number} {what}"),
            Self::Member(what, Which::Leader) => write!(f, "etcd's leader {what}"),
            Self::Member(what, Which::Number(number)) => write!(f, "etcd's member {number} {what}"),
            Self::SlowDisks(delay) => write!(f, "etcd's disks {delay:?} slower"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_fault_begins_and_ends() {
        let frozen = Fault::Node(NodeFault::Frozen, Whom::Owner);
        assert_eq!(frozen.turns(900 * MS), [(Duration::ZERO, Turn::On), (900 * MS, Turn::Over)]);
    }

    #[test]
    fn what_comes_in_spells_ends_within_one() {
        let fault = Fault::Node(NodeFault::Flapping { down: 100 * MS, up: 200 * MS }, Whom::Owner);
        let expected =
            [(0, Turn::On), (100, Turn::Pause), (300, Turn::On), (400, Turn::Pause), (600, Turn::On)];
        let mut expected: Vec<_> = expected.map(|(at, turn)| (at * MS, turn)).into();
        expected.push((700 * MS, Turn::Over));
        assert_eq!(fault.turns(700 * MS), expected);
    }
}
