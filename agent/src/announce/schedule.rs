//! When a VIP is announced: a burst, then refreshes.

use std::time::Duration;

use thiserror::Error;

use mantle_protocol::Instant;

/// How long after a frame was not taken the next try comes; doubled from try to try.
const FIRST_RETRY: Duration = Duration::from_millis(5);
/// The longest time between two tries.
const LONGEST_RETRY: Duration = Duration::from_millis(200);

/// How often a VIP is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Since the start, ascending; the first is zero.
    burst: Vec<Duration>,
    /// From the end of the burst on, from one announcement to the next.
    refresh: Duration,
}

/// Why a pace is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PaceError {
    /// Neighbours would be flooded.
    #[error(
        "refresh {refresh:?} is too short: at least {:?}, or every host of the link is kept busy",
        Pace::SHORTEST_REFRESH
    )]
    RefreshTooShort {
        /// What was asked for.
        refresh: Duration,
    },
    /// Neighbours would be flooded.
    #[error("a burst of {announcements} announcements is too long: at most {}", Pace::LONGEST_BURST)]
    BurstTooLong {
        /// What was asked for.
        announcements: usize,
    },
}

impl Pace {
    /// The shortest refresh that may be asked for.
    pub const SHORTEST_REFRESH: Duration = Duration::from_secs(1);
    /// The most announcements a burst may have.
    pub const LONGEST_BURST: usize = 100;

    /// A burst, as offsets from its start, and the time between refreshes after it. The announcement at the start
    /// itself is always made.
    pub fn new(mut burst: Vec<Duration>, refresh: Duration) -> Result<Self, PaceError> {
        if refresh < Self::SHORTEST_REFRESH {
            return Err(PaceError::RefreshTooShort { refresh });
        }
        burst.push(Duration::ZERO);
        burst.sort_unstable();
        burst.dedup();
        if burst.len() > Self::LONGEST_BURST {
            return Err(PaceError::BurstTooLong { announcements: burst.len() });
        }
        Ok(Self { burst, refresh })
    }

    /// The announcement that comes after those up to `now`, of a burst that began at `start`.
    fn after(&self, start: Instant, now: Instant) -> Instant {
        let ahead = self.burst.iter().map(|offset| start + *offset).find(|at| *at > now);
        ahead.unwrap_or(now + self.refresh)
    }
}

impl Default for Pace {
    /// At once; soon again, since a link just up swallows frames and reports success; over the 4 s in which RFC 5227 and
    /// RFC 4861 space theirs; refreshed well within the 300 s after which switches forget a port.
    fn default() -> Self {
        Self {
            burst: [0, 20, 100, 500, 1000, 2000, 4000].map(Duration::from_millis).to_vec(),
            refresh: Duration::from_secs(30),
        }
    }
}

/// When one VIP is announced next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    running: Option<Running>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    start: Instant,
    next: Instant,
    /// How long the last try was put off.
    retry: Option<Duration>,
}

impl Schedule {
    /// Begins a burst, also if one is under way: there is something new to tell.
    pub fn start(&mut self, now: Instant) {
        self.running = Some(Running { start: now, next: now, retry: None });
    }

    /// Ends it: from now on nothing is due.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Whether to announce now.
    pub fn due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|next| next <= now)
    }

    /// When the next announcement is due; never, unless started.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.map(|running| running.next)
    }

    /// The VIP was announced. If it was late, one announcement stands for all that were due by now.
    pub fn sent(&mut self, now: Instant, pace: &Pace) {
        if let Some(running) = &mut self.running {
            running.next = pace.after(running.start, now);
            running.retry = None;
        }
    }

    /// The announcement that was due could not be made: it is tried again shortly.
    pub fn retry(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            let delay = running.retry.map_or(FIRST_RETRY, |last| LONGEST_RETRY.min(last * 2));
            running.next = now + delay;
            running.retry = Some(delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_boot(Duration::from_millis(millis))
    }

    fn pace(burst: &[u64], refresh: u64) -> Result<Pace, PaceError> {
        let burst = burst.iter().copied().map(Duration::from_millis).collect();
        Pace::new(burst, Duration::from_millis(refresh))
    }

    #[test]
    fn a_burst_is_followed_by_refreshes() {
        let pace = pace(&[500, 100, 0, 100], 2000).unwrap();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.deadline(), None);
        schedule.start(at(10_000));
        let mut sent = Vec::new();
        for _ in 0..5 {
            let now = schedule.deadline().unwrap();
            assert!(schedule.due(now) && !schedule.due(now - Duration::from_nanos(1)));
            sent.push(now);
            schedule.sent(now, &pace);
        }
        assert_eq!(sent, [at(10_000), at(10_100), at(10_500), at(12_500), at(14_500)]);
    }

    #[test]
    fn announcements_that_are_late_are_merged() {
        let pace = pace(&[100, 200, 300], 1000).unwrap();
        let mut schedule = Schedule::default();
        schedule.start(at(0));
        schedule.sent(at(250), &pace);
        assert_eq!(schedule.deadline(), Some(at(300)));
        schedule.sent(at(9000), &pace);
        assert_eq!(schedule.deadline(), Some(at(10_000)));
    }

    #[test]
    fn a_retry_backs_off_until_something_was_sent() {
        let pace = pace(&[1000], 1000).unwrap();
        let mut schedule = Schedule::default();
        schedule.start(at(0));
        let mut delays = Vec::new();
        let mut now = at(0);
        for _ in 0..8 {
            schedule.retry(now);
            let next = schedule.deadline().unwrap();
            delays.push(next.since(now).as_millis());
            now = next;
        }
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 200, 200]);
        schedule.sent(now, &pace);
        assert_eq!(schedule.deadline(), Some(at(1000)));
        schedule.retry(at(1000));
        assert_eq!(schedule.deadline(), Some(at(1005)));
    }

    #[test]
    fn a_pace_that_floods_is_refused() {
        assert_eq!(pace(&[], 999), Err(PaceError::RefreshTooShort { refresh: Duration::from_millis(999) }));
        let offsets: Vec<u64> = (1..=100).collect();
        assert_eq!(pace(&offsets, 1000), Err(PaceError::BurstTooLong { announcements: 101 }));
        assert!(pace(&offsets[1..], 1000).is_ok());
    }

    #[test]
    fn the_default_is_a_pace_one_could_ask_for() {
        let Pace { burst, refresh } = Pace::default();
        assert_eq!(Pace::new(burst, refresh), Ok(Pace::default()));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Start,
        Stop,
        Sent,
        Retry,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => Just(Step::Start),
            1 => Just(Step::Stop),
            3 => Just(Step::Sent),
            3 => Just(Step::Retry),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_due_after_a_stop_and_never_two_at_once(
            steps in proptest::collection::vec((0_u64..3000, any_step()), 0..60),
        ) {
            let pace = Pace::default();
            let mut schedule = Schedule::default();
            let mut started = false;
            let mut now = at(0);
            for (later, step) in steps {
                now = now + Duration::from_millis(later);
                match step {
                    Step::Start => {
                        schedule.start(now);
                        started = true;
                        prop_assert!(schedule.due(now));
                    }
                    Step::Stop => {
                        schedule.stop();
                        started = false;
                    }
                    Step::Sent => {
                        schedule.sent(now, &pace);
                        prop_assert!(!schedule.due(now), "one announcement stands for all that were late");
                    }
                    Step::Retry => {
                        schedule.retry(now);
                        prop_assert!(!schedule.due(now));
                    }
                }
                prop_assert_eq!(schedule.deadline().is_some(), started);
                prop_assert_eq!(schedule.due(Instant::from_boot(Duration::MAX)), started);
            }
        }
    }
}
