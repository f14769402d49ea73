//! How long the kernel keeps a VIP by itself: the fence that outlives the agent.

use std::time::Duration;

use mantle_protocol::Timing;

/// How long the kernel keeps a VIP that is not put again, in the whole seconds it counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(u32);

impl Lifetime {
    /// The longest that covers a right: the longest right's.
    pub const LONGEST_COVERING: Self = Self(10);

    /// The longest there is.
    pub const LONGEST: Self = Self::LONGEST_COVERING.behind_the_program();

    /// The shortest lifetime that covers a right, or what is left of it.
    pub fn covering(right: Duration) -> Self {
        let whole = right.as_secs().saturating_add(u64::from(right.subsec_nanos() > 0));
        Self(u32::try_from(whole).unwrap_or(u32::MAX).clamp(1, Self::LONGEST_COVERING.0))
    }

    /// What it is where the kernel program is the fence and this only stands behind it.
    ///
    /// To start it over takes the kernel's routing lock, which others may hold for more than a second; and an owner whose
    /// address is gone answers nobody, however good its right.
    #[must_use]
    pub const fn behind_the_program(self) -> Self {
        Self(self.0 + 2)
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
const _: () = assert!(Timing::LONGEST_LEASE.as_secs() == Lifetime::LONGEST_COVERING.0 as u64);

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
        assert_eq!(Lifetime::covering(Duration::MAX), Lifetime::LONGEST_COVERING);
    }

    #[test]
    fn the_worst_case_is_a_second_more() {
        assert_eq!(Lifetime::covering(Duration::from_millis(1500)).worst(), Duration::from_secs(3));
    }
}
