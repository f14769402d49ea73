//! The protocol with one of its rules broken: what shows that a test would notice.
//!
//! None of them is a switch in the product. Each changes what the protocol is told, what it asks for, or what carries it.
//!
//! One rule can be broken without harm, and is not among them: to honour an older session's answers as the present one's
//! moves no right, since a right counts from before the sending and never moves back, and a session's first renewal is
//! sent after every renewal of the one before.

use crate::protocol::node::{Purpose, Request};
use crate::protocol::timing::least_silence;
use crate::protocol::{Compare, Event, Instant, Key, Write};
use std::time::Duration;

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// S = D: a standby takes over as soon as the owner's right ends by its own clock.
    SilenceIsRight,
    /// The kernel program does not look at the clock.
    NoKernelDeadline,
    /// The machine's clock stops while its agent is frozen, as a paused VM's does.
    ClockStopsWhileFrozen,
    /// A right counts from the answer (I3).
    RightFromTheAnswer,
    /// A restarted agent leaves the entries it finds armed, and they count as its new session's.
    EntriesOutliveTheSession,
    /// A takeover does not compare the owner's session.
    UnguardedTakeOver,
    /// A renewal does not compare that the session is still the one it was sent for.
    UnguardedRenewal,
    /// An entry is armed under whatever session is live when the hands get to it.
    MarkedWhenArmed,
    /// A VIP is said to be off as soon as that is ordered (I4).
    OffBeforeConfirmed,
}

impl Mutant {
    /// All that this protocol can be told apart from.
    pub const ALL: [Self; 9] = [
        Self::SilenceIsRight,
        Self::NoKernelDeadline,
        Self::ClockStopsWhileFrozen,
        Self::RightFromTheAnswer,
        Self::EntriesOutliveTheSession,
        Self::UnguardedTakeOver,
        Self::UnguardedRenewal,
        Self::MarkedWhenArmed,
        Self::OffBeforeConfirmed,
    ];

    /// The bound a node is told, for one that holds.
    pub fn bound(self, bound: Duration) -> Duration {
        match self {
            // The bound for which the rule gives what the true bound should have been: S = D.
            Self::SilenceIsRight => (bound - least_silence(Duration::ZERO)) * 4 / 5,
            _ => bound,
        }
    }

    /// What a node asks for.
    pub fn asks(self, mut request: Request) -> Request {
        let txn = &mut request.txn;
        match (self, request.purpose) {
            (Self::UnguardedTakeOver, Purpose::TakeOver) => {
                let taken = |key: &Key| txn.writes.iter().any(|write| *write == Write::Delete(key.clone()));
                txn.compares.retain(|compare| !taken(compare.key()));
            }
            (Self::UnguardedRenewal, Purpose::Renew) => txn.compares.retain(|compare| !is_own(compare)),
            _ => {}
        }
        request
    }

    /// What a node is told.
    pub fn tells(self, event: Event, now: Instant) -> Event {
        match (self, event) {
            (Self::RightFromTheAnswer, Event::Answered { request, answer, .. }) => {
                Event::Answered { request, sent: now, answer }
            }
            (_, event) => event,
        }
    }
}

fn is_own(compare: &Compare) -> bool {
    matches!(compare, Compare::Created(Key::Node(_), _))
}
