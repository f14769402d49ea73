//! How long the kernel keeps a VIP by itself: the fence that outlives the agent.

use std::time::Duration;

use crate::protocol::Timing;

/// How long the kernel keeps a VIP that is not put again, in the whole seconds it counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(u32);

impl Lifetime {
    /// The longest there is: that of the longest right.
    pub const LONGEST: Self = Self(10);

    /// The shortest lifetime that covers a right, or what is left of it.
    pub fn covering(right: Duration) -> Self {
        let whole = right.as_secs().saturating_add(u64::from(right.subsec_nanos() > 0));
        Self(u32::try_from(whole).unwrap_or(u32::MAX).clamp(1, Self::LONGEST.0))
    }

    /// How long after it was put a VIP may at worst still be there.
    ///
    /// The kernel looks for expired addresses when the next one is due, some 0.03 s late as measured. But each change of
    /// any address of the network namespace sets that look anew, and rounds it: what was due before is then found up
    /// to a full second late (`ADDRCONF_TIMER_FUZZ_MAX` in `net/ipv6/addrconf.c`, used by IPv4's `check_lifetime` alike).
    pub const fn worst(self) -> Duration {
        Duration::from_secs(self.0 as u64 + 1)
    }

    /// The seconds, as the kernel wants them.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

// Lifetimes reach as far as rights do.
const _: () = assert!(Timing::LONGEST_RIGHT.as_secs() == Lifetime::LONGEST.0 as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_covers_the_right_in_whole_seconds() {
        for (right, seconds) in [(0, 1), (1, 1), (250, 1), (1000, 1), (1001, 2), (2500, 3), (10_000, 10)] {
            assert_eq!(Lifetime::covering(Duration::from_millis(right)).seconds(), seconds, "{right} ms");
        }
    }

    #[test]
    fn a_lifetime_never_becomes_the_kernels_for_ever() {
        assert_eq!(Lifetime::covering(Duration::MAX), Lifetime::LONGEST);
    }

    #[test]
    fn the_worst_case_is_a_second_more() {
        assert_eq!(Lifetime::covering(Duration::from_millis(1500)).worst(), Duration::from_secs(3));
    }
}
