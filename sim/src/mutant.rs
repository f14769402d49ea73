//! The protocol with one of its rules broken: what shows that a test would notice.
//!
//! None of them is a switch in the product. Each changes what the protocol is told, what it asks for, or what carries it.
//!
//! To honour an older session's *renewal* would do no harm, and is no mutant: a lease counts from before the sending and
//! never moves back, and a session is started after every renewal of the one before was sent. Nor would a claim that does not
//! compare the absence of the holder's session: it is decided on only when everything up to the record has been heard, and a
//! session that is gone stays gone. It is compared all the same (I5).

use mantle_protocol::{
    Answer, Compare, Event, Instant, Key, Purpose, Record, Request, Revision, Role, Standing, Txn, Value,
    Write, least_silence,
};
use std::time::Duration;

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// S = D: a standby takes over as soon as the owner's lease ends by its own clock.
    SilenceIsLease,
    /// The kernel program does not look at the clock.
    NoKernelDeadline,
    /// The machine's clock stops while its agent is frozen, as a paused VM's does.
    ClockStopsWhileFrozen,
    /// A lease counts from the answer (I3).
    LeaseFromTheAnswer,
    /// A restarted agent leaves the entries it finds armed, and they count as its new session's.
    EntriesOutliveTheSession,
    /// A takeover does not compare the owner's session.
    UnguardedTakeOver,
    /// A renewal does not compare that the session is still the one it was sent for.
    UnguardedRenewal,
    /// An entry is armed under whatever session is live when the applier gets to it.
    MarkedWhenArmed,
    /// A VIP is said to be off as soon as that is ordered (I4).
    OffBeforeConfirmed,
    /// What an older session asked for and was given counts as the present one's (I6).
    OldAnswersHonoured,
    /// News count as new though they are old (I6).
    StaleNewsHonoured,
    /// A VIP that fails holds up the applier, and with it every other (I8).
    OneHoldsUpAll,
    /// The word that a VIP is off is lost.
    ConfirmationsLost,
    /// Where it is not known whether a VIP was handed over, its record is read, and what still names the node counts.
    RearmedByARead,
    /// The late answer to what took a VIP up counts though it was handed over since.
    LateTakingHonoured,
    /// A VIP is handed over as soon as the kernel is told to yield (I4).
    HandsOverUnconfirmed,
    /// A successor opens its fence when it is offered a VIP.
    OpensOnTheOffer,
}

/// A rule that is broken, and the invariant that is to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Mutant,
    /// The one invariant that is judged.
    pub judged_by: &'static str,
}

impl Mutant {
    /// The bound a node is told, for one that holds.
    pub fn bound(self, bound: Duration) -> Duration {
        match self {
            // The bound for which the rule gives what the true bound should have been: S = D.
            Self::SilenceIsLease => bound.saturating_sub(least_silence(Duration::ZERO)) * 4 / 5,
            _ => bound,
        }
    }

    /// What etcd compares of a transaction.
    pub fn compares(self, request: &Request) -> Vec<Compare> {
        let txn = &request.txn;
        let mut compares = txn.compares().to_vec();
        match (self, request.purpose) {
            (Self::UnguardedTakeOver, Purpose::TakeOver) => {
                let taken = |key: &Key| txn.writes().contains(&Write::Delete(key.clone()));
                compares.retain(|compare| !taken(compare.key()));
            }
            (Self::UnguardedRenewal, Purpose::Renew) => compares.retain(|compare| !is_own(compare)),
            _ => {}
        }
        compares
    }

    /// What a node is told.
    pub fn tells(self, event: Event, now: Instant, standing: Standing) -> Event {
        match (self, event) {
            (Self::OldAnswersHonoured, Event::Answered { mut request, sent, answer }) => {
                if let Standing::Live(session) = standing {
                    pass_off(&mut request, session);
                }
                Event::Answered { request, sent, answer }
            }
            (Self::LeaseFromTheAnswer, Event::Answered { request, answer, .. }) => {
                Event::Answered { request, sent: now, answer }
            }
            (Self::StaleNewsHonoured, Event::Changed(mut changes)) => {
                for change in &mut changes {
                    change.revision = i64::try_from(now.since_boot().as_micros()).unwrap_or(i64::MAX);
                }
                Event::Changed(changes)
            }
            (Self::ConfirmationsLost, Event::RoleConfirmed(_, Role::Off)) => Event::Tick,
            (Self::RearmedByARead, Event::Answered { request, sent, answer: Answer::Unknown })
                if request.purpose == Purpose::HandOver =>
            {
                Event::Answered { request, sent, answer: Answer::Failed }
            }
            (Self::LateTakingHonoured, Event::Answered { request, sent, answer: Answer::Done(_) })
                if matches!(request.purpose, Purpose::Claim | Purpose::TakeOver) =>
            {
                let late = i64::try_from(now.since_boot().as_micros()).unwrap_or(i64::MAX);
                Event::Answered { request, sent, answer: Answer::Done(late) }
            }
            (_, event) => event,
        }
    }
}

/// Makes a request look as if it had been asked under this session.
fn pass_off(request: &mut Request, session: Revision) {
    request.session = Some(session);
    let mut txn = Txn::new();
    for compare in request.txn.compares() {
        let written = request.txn.writes().iter().find(|write| match write {
            Write::Put(key, _) | Write::Delete(key) => key == compare.key(),
        });
        match written.cloned() {
            Some(Write::Put(_, mut value)) => {
                if let Value::Record(Record { owner: Some(holder) }) = &mut value {
                    holder.session = session;
                }
                txn.put(compare.clone(), value);
            }
            Some(Write::Delete(_)) => txn.delete(compare.clone()),
            None => txn.require(compare.clone()),
        }
    }
    request.txn = txn;
}

fn is_own(compare: &Compare) -> bool {
    matches!(compare, Compare::Created(Key::Node(_), _))
}
