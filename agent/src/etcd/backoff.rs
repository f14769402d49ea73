//! When to try again what failed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use mantle_protocol::Instant;

/// How long to wait after a first failure, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    first: Duration,
    longest: Duration,
}

impl Pace {
    /// For what costs nobody much and may be over at any moment.
    pub(super) const BRISK: Self =
        Self { first: Duration::from_millis(50), longest: Duration::from_millis(500) };
    /// For what lasts until somebody mends it and costs etcd something: a refused password takes it 70 ms of
    /// processor time.
    pub(super) const SLOW: Self = Self { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
}

/// Counts failures in a row and says when the next try is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    until: Instant,
}

impl Backoff {
    /// Takes in a failure and says how long to wait: twice as long as after the one before, give or take a quarter by
    /// `dice`, which lies between 0 and 1.
    pub(super) fn failed(&mut self, now: Instant, pace: Pace, dice: f64) -> Duration {
        let doubled = pace.first.saturating_mul(1 << self.failures.min(16));
        let wait = doubled.min(pace.longest).mul_f64(0.75 + dice / 2.0);
        self.failures = self.failures.saturating_add(1);
        self.until = now + wait;
        wait
    }

    /// Takes in a success.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the next try is due.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }
}

/// A number between 0 and 1 that no other node draws at the same time.
pub(super) fn dice() -> f64 {
    // Every `RandomState` is keyed anew; 32 bits are plenty, and fit a double.
    let drawn = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(drawn).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_boot(Duration::from_secs(100));

    #[test]
    fn each_failure_waits_twice_as_long_up_to_a_limit() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_over(Instant::ZERO));
        let waits: Vec<_> = (0..7).map(|_| backoff.failed(NOW, Pace::BRISK, 0.5).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 500, 500, 500]);
        for _ in 0..100 {
            backoff.failed(NOW, Pace::SLOW, 0.5);
        }
        assert!(!backoff.is_over(NOW + Duration::from_millis(29_999)));
        assert!(backoff.is_over(NOW + Duration::from_secs(30)));
    }

    #[test]
    fn a_success_forgets_them_all() {
        let mut backoff = Backoff::default();
        backoff.failed(NOW, Pace::SLOW, 0.5);
        assert!(!backoff.is_over(NOW));
        backoff.succeeded();
        assert!(backoff.is_over(NOW));
        assert_eq!(backoff.failed(NOW, Pace::SLOW, 0.5), Duration::from_secs(1));
    }

    #[test]
    fn the_dice_spread_nodes_over_half_the_wait() {
        let wait = |dice| Backoff::default().failed(NOW, Pace::SLOW, dice).as_millis();
        assert_eq!((wait(0.0), wait(1.0)), (750, 1250));
        let drawn: Vec<f64> = (0..100).map(|_| dice()).collect();
        assert!(drawn.iter().all(|dice| (0.0..=1.0).contains(dice)));
        assert!(drawn.iter().any(|dice| *dice < 0.5) && drawn.iter().any(|dice| *dice > 0.5), "{drawn:?}");
    }
}
