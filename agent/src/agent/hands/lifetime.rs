//! The address's own lifetime as a fence (I2): how long it is, and when it may be begun.

use std::time::Duration;

use crate::link::Lifetime;
use mantle_protocol::{Instant, Timing};

/// The kernel lifetimes that VIPs are put on their links with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifeline {
    /// Where nothing else fences.
    alone: Lifetime,
    right: Duration,
}

impl Lifeline {
    /// How long after a renewal was sent its acknowledgement may still begin a lifetime: a try's time-out.
    const ALLOWANCE: Duration = Duration::from_millis(150);

    /// The lifetimes that cover a right.
    pub(super) fn covering(right: Duration) -> Self {
        Self { alone: Lifetime::covering(right), right }
    }

    /// The lifetime of an address that the kernel program fences, or nothing but this.
    pub(super) fn lifetime(&self, fenced: bool) -> Lifetime {
        if fenced { self.alone.behind_the_program() } else { self.alone }
    }

    /// How long after a renewal was sent the address may at worst be answered for, if nothing but this fences it.
    pub(super) fn bound(&self) -> Duration {
        Self::ALLOWANCE + self.alone.worst()
    }

    /// Whether a lifetime begun `now` ends within the bound of the right that lasts until `until`.
    pub(super) fn allows(&self, now: Instant, until: Instant) -> bool {
        now < until && now <= until - self.right + Self::ALLOWANCE
    }
}

// Whatever the right, standbys can be told how long the address may outlive it.
const _: () = assert!(
    Lifeline::ALLOWANCE.as_millis() + Lifetime::LONGEST_COVERING.worst().as_millis()
        <= Timing::LONGEST_BOUND.as_millis()
);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn whatever_is_allowed_ends_within_the_bound() {
        for right in [ms(250), ms(1000), ms(2500)] {
            let lifeline = Lifeline::covering(right);
            let sent = Instant::ZERO + ms(10_000);
            for late in 0..3000 {
                let now = sent + ms(late);
                if lifeline.allows(now, sent + right) {
                    assert!(
                        now + lifeline.lifetime(false).worst() <= sent + lifeline.bound(),
                        "{right:?} {late}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_begun_on_a_right_that_is_over() {
        let lifeline = Lifeline::covering(ms(100));
        assert!(!lifeline.allows(Instant::ZERO + ms(1000), Instant::ZERO + ms(1000)));
    }
}
