//! How late the core thread is: an agent that is short of processor time is seen before it fails.

use std::time::Duration;

use mantle_protocol::Instant;

/// For how long the worst is remembered at least.
const REMEMBERED: Duration = Duration::from_secs(30);
/// It is said once, and not again before this has passed.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// Keeps how late the core thread woke.
#[derive(Debug)]
pub(super) struct Lateness {
    /// What is worth telling.
    limit: Duration,
    /// The worst of now and of the span before.
    worst: [Duration; 2],
    /// Since when that of now is kept.
    since: Instant,
    said: Option<Instant>,
}

impl Lateness {
    /// Of a core thread that renews every `renew`: half of that late it is no longer far from missing a renewal.
    pub(super) fn new(renew: Duration) -> Self {
        Self { limit: renew / 2, worst: [Duration::ZERO; 2], since: Instant::ZERO, said: None }
    }

    /// Takes in that the core thread was so late at `now`; says whether a person is to be told.
    pub(super) fn was(&mut self, late: Duration, now: Instant) -> bool {
        if now.since(self.since) > REMEMBERED {
            self.worst = [Duration::ZERO, self.worst[0]];
            self.since = now;
        }
        self.worst[0] = self.worst[0].max(late);
        let tells = late > self.limit && self.said.is_none_or(|said| now.since(said) > SAID_EVERY);
        if tells {
            self.said = Some(now);
        }
        tells
    }

    /// The worst of late.
    pub(super) fn worst(&self) -> Duration {
        self.worst[0].max(self.worst[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_late_by_half_an_interval_is_told_once_a_minute() {
        let mut lateness = Lateness::new(Duration::from_millis(200));
        let told: Vec<_> = [(100, 1000), (101, 1000), (500, 1001), (101, 1060), (101, 1061), (99, 2000)]
            .into_iter()
            .map(|(millis, second)| lateness.was(Duration::from_millis(millis), at(second)))
            .collect();
        assert_eq!(told, [false, true, false, false, true, false]);
    }

    #[test]
    fn the_worst_is_remembered_for_a_while() {
        let mut lateness = Lateness::new(Duration::from_millis(200));
        let mut worst = |millis, second| {
            lateness.was(Duration::from_millis(millis), at(second));
            lateness.worst().as_millis()
        };
        assert_eq!(worst(80, 1000), 80);
        assert_eq!(worst(1, 1029), 80);
        assert_eq!(worst(1, 1031), 80);
        assert_eq!(worst(1, 1062), 1);
    }
}
