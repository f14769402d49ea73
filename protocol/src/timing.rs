//! How often a session is renewed, how long a renewal lets its node act, and how long a standby waits.

use std::time::Duration;

use thiserror::Error;

/// The three times that decide how fast a takeover is and how much etcd trouble an owner rides out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// R: an owner renews its session this often; a standby five times slower.
    pub renew: Duration,
    /// D: an acknowledged renewal lets its node act as owner for this long, from before it was sent (I3).
    pub lease: Duration,
    /// S: a standby that has seen no renewal of an owner for this long takes over.
    pub silence: Duration,
}

impl Timing {
    /// Rides out nearly every change of etcd's leader; a crash costs about 3 s.
    pub const STEADY: Self = Self::millis(500, 2500, 3200);
    /// A crash costs about 1.2 s.
    pub const DEFAULT: Self = Self::millis(200, 1000, 1300);
    /// A crash costs about 0.6 s; wants etcd at 50/250 ms.
    pub const FAST: Self = Self::millis(100, 500, 650);
    /// A crash costs about 0.3 s; wants etcd at 50/250 ms.
    pub const FASTEST: Self = Self::millis(50, 250, 340);

    /// The longest lease that may be asked for.
    pub const LONGEST_LEASE: Duration = Duration::from_secs(10);
    /// The longest that any node may go on answering, whatever fences it: a standby that cannot know how long an owner may
    /// go on waits for this.
    pub const LONGEST_BOUND: Duration = Duration::from_secs(12);
    /// The shortest renewal interval: below it etcd is the bottleneck, not the timing.
    pub const SHORTEST_RENEW: Duration = Duration::from_millis(20);

    const fn millis(renew: u64, lease: u64, silence: u64) -> Self {
        Self {
            renew: Duration::from_millis(renew),
            lease: Duration::from_millis(lease),
            silence: Duration::from_millis(silence),
        }
    }

    /// The preset of that name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "steady" => Some(Self::STEADY),
            "default" => Some(Self::DEFAULT),
            "fast" => Some(Self::FAST),
            "fastest" => Some(Self::FASTEST),
            _ => None,
        }
    }

    /// Checks the safety rule and the bounds that make a timing workable.
    pub fn check(self) -> Result<Self, TimingError> {
        if self.renew < Self::SHORTEST_RENEW {
            return Err(TimingError::RenewTooShort { renew: self.renew });
        }
        if self.lease < 2 * self.renew {
            return Err(TimingError::LeaseTooShort { renew: self.renew, lease: self.lease });
        }
        if self.lease > Self::LONGEST_LEASE {
            return Err(TimingError::LeaseTooLong { lease: self.lease });
        }
        let least = least_silence(self.lease);
        if self.silence < least {
            return Err(TimingError::Unsafe { lease: self.lease, silence: self.silence, least });
        }
        Ok(self)
    }

    /// How long to wait for a node that may go on answering for `bound` after it sent a renewal: what the safety
    /// rule asks for, and this node's own patience beyond it.
    pub fn silence_for(self, bound: Duration) -> Duration {
        least_silence(bound) + self.silence.saturating_sub(least_silence(self.lease))
    }

    /// How often a standby renews.
    pub fn standby_renew(self) -> Duration {
        5 * self.renew
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The safety rule S ≥ 1.25·D + 25 ms: two clocks at the kernel's own limits (tick ±10 %, 500 ppm) differ by a factor
/// of 1.224; the rest is the way from the kernel's check to the wire.
pub fn least_silence(bound: Duration) -> Duration {
    bound + bound / 4 + Duration::from_millis(25)
}

/// How often a node renews once its lease of `lease` is over, while it owns something or suspects that an owner is gone:
/// a quarter of R in the presets. By D, so that what hangs in an outage for as long as a lease lasts stays bounded.
pub fn retry_for(lease: Duration) -> Duration {
    (lease / 20).max(Timing::SHORTEST_RENEW)
}

/// Why a timing is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TimingError {
    /// Two nodes could answer at once.
    #[error(
        "silence {silence:?} is unsafe with lease {lease:?}: it must be at least 1.25 × {lease:?} + 25ms = {least:?}, or two \
         nodes could answer at once"
    )]
    Unsafe {
        /// D as asked for.
        lease: Duration,
        /// S as asked for.
        silence: Duration,
        /// The least S that is safe with this D.
        least: Duration,
    },
    /// One lost renewal would end the lease.
    #[error("lease {lease:?} leaves no room for a lost renewal: it must be at least twice renew, {renew:?}")]
    LeaseTooShort {
        /// R as asked for.
        renew: Duration,
        /// D as asked for.
        lease: Duration,
    },
    /// A standby without news could not know how long to wait.
    #[error("lease {lease:?} is too long: at most {:?}", Timing::LONGEST_LEASE)]
    LeaseTooLong {
        /// D as asked for.
        lease: Duration,
    },
    /// etcd would be the bottleneck.
    #[error("renew {renew:?} is too short: at least {:?}", Timing::SHORTEST_RENEW)]
    RenewTooShort {
        /// R as asked for.
        renew: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_keeps_the_safety_rule() {
        for name in ["steady", "default", "fast", "fastest"] {
            let timing = Timing::preset(name).unwrap();
            assert_eq!(timing.check(), Ok(timing), "{name}");
        }
        assert_eq!(Timing::preset("quick"), None);
    }

    #[test]
    fn a_silence_below_the_rule_is_refused_with_the_arithmetic() {
        let timing = Timing { silence: Duration::from_millis(1274), ..Timing::DEFAULT };
        let error = timing.check().unwrap_err().to_string();
        assert!(error.contains("1.25 × 1s + 25ms = 1.275s"), "{error}");
    }

    #[test]
    fn a_node_waits_for_what_the_owner_declared_and_keeps_its_own_patience() {
        let own = Timing::DEFAULT;
        assert_eq!(own.silence_for(own.lease), own.silence);
        let bound = Duration::from_millis(500);
        assert_eq!(own.silence_for(bound), least_silence(bound) + Duration::from_millis(25));
    }
}
