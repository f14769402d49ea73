//! Time as the protocol sees it: an argument, never a clock that is read.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant of `CLOCK_BOOTTIME`, the one clock that both the agent and the kernel program read and that runs on
/// through suspend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The instant the machine booted: before every other.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The instant that lies `since_boot` after the machine booted.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after the machine's boot this instant lies.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this instant lies; nothing if it lies before it.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{:.3}s", self.0.as_secs_f64())
    }
}
