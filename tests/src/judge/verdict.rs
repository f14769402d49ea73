//! What the judge found.

use std::fmt;
use std::net::IpAddr;

use mantle_protocol::Instant;

use crate::tap::FrameKind;

/// What the judge found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Frames the tap missed: if any, the rest proves nothing.
    pub drops: u64,
    /// What was against the order, by VIP and time.
    pub violations: Vec<Violation>,
    /// Who acted as owner when, and what the records said, to be read by a person.
    pub timeline: String,
}

/// A host that acted as owner of a VIP when it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The VIP.
    pub vip: IpAddr,
    /// The host.
    pub host: String,
    /// When its first such frame came.
    pub at: Instant,
    /// What that frame was.
    pub kind: FrameKind,
    /// How many such frames came in a row.
    pub frames: usize,
    /// Why it must not have.
    pub wrong: Wrong,
}

/// Why a host must not have acted as owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Another host had begun to.
    Overlap {
        /// The other host.
        other: String,
        /// When it had begun.
        since: Instant,
    },
    /// The record no longer named it.
    PastRight {
        /// When that was known.
        ended: Instant,
        /// Whom the record named then.
        successor: Option<String>,
    },
    /// The record named it only much later.
    TooEarly {
        /// When that was known.
        owner_from: Instant,
    },
    /// No record ever named it.
    NeverOwner,
}

impl Verdict {
    /// Whether no two nodes acted as owner at overlapping times, and nothing was missed.
    pub fn is_in_order(&self) -> bool {
        self.drops == 0 && self.violations.is_empty()
    }

    /// Fails the scenario with the whole story if anything was against the order.
    ///
    /// # Panics
    /// If so.
    #[track_caller]
    pub fn assert_in_order(&self) {
        assert!(self.is_in_order(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_in_order() {
            return write!(f, "in order\n{}", self.timeline);
        }
        if self.drops > 0 {
            writeln!(f, "the tap missed {} frames, so nothing is proven", self.drops)?;
        }
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        f.write_str(&self.timeline)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vip, host, at, kind, frames, wrong } = self;
        let after = |instant: &Instant| format!("{:.3}s", at.since(*instant).as_secs_f64());
        write!(f, "{vip}: {host} acted as owner ({kind}, {frames} frames) ")?;
        match wrong {
            Wrong::Overlap { other, since } => write!(f, "{} after {other} had begun to", after(since)),
            Wrong::PastRight { ended, successor } => {
                let successor = successor.as_deref().unwrap_or("nobody");
                write!(f, "{} after the record had come to name {successor}", after(ended))
            }
            Wrong::TooEarly { owner_from } => {
                write!(f, "{:.3}s before the record named it", owner_from.since(*at).as_secs_f64())
            }
            Wrong::NeverOwner => f.write_str("though no record ever named it"),
        }
    }
}
