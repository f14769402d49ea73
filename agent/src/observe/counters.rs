//! What the driver counts as it goes: atomics only, so that counting never waits for a scrape.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::choices::Choices;
use mantle_protocol::Answer;

/// The agent's counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// VIPs claimed whose record named nobody.
    pub claims: Counter,
    /// VIPs taken over from a silent owner.
    pub takeovers: Counter,
    /// VIPs handed over to another node.
    pub handoffs: Counter,
    /// VIPs given up on purpose, to nobody.
    pub releases: Counter,
    /// VIPs dropped because the right ended.
    pub lapses: Counter,
    /// Frames sent to announce a VIP.
    pub announcements: Counter,
    /// Announcements that had to be sent again.
    pub announce_retries: Counter,
    /// Addresses of worn VIPs that somebody else removed and the agent put back.
    pub address_restored: Counter,
    /// Watches that had to be opened again.
    pub watch_restarts: Counter,
    /// Values found in our keys that are not ours.
    pub garbage: Counter,
    /// Renewals, by what became of them.
    pub renewals: Renewals,
    /// How long acknowledged renewals took.
    pub renewal_time: Latencies,
    /// How late the core thread was, each time that something was due.
    pub lateness: Latencies,
    /// Which addresses are chosen. Behind a lock, and so none of the core's business.
    pub choices: Choices,
}

impl Counters {
    /// Counts a renewal, sent `took` ago.
    pub fn renewed(&self, answer: &Answer, took: Duration) {
        match answer {
            Answer::Done(_) => {
                self.renewals.acknowledged.inc();
                self.renewal_time.observe(took);
            }
            Answer::Refused { .. } => {
                self.renewals.refused.inc();
            }
            Answer::Failed => {
                self.renewals.failed.inc();
            }
            Answer::Unknown => {
                self.renewals.unknown.inc();
            }
        }
    }
}

/// Renewals, by what became of them.
#[derive(Debug, Default)]
pub struct Renewals {
    /// Carried out in time to say so.
    pub acknowledged: Counter,
    /// The session was no longer there.
    pub refused: Counter,
    /// Certainly not carried out.
    pub failed: Counter,
    /// No answer in time.
    pub unknown: Counter,
}

/// A histogram of call times.
///
/// Prometheus-client's own takes a lock, which a scrape that is preempted while holding it would make the core wait
/// for.
#[derive(Debug, Default)]
pub struct Latencies {
    buckets: [AtomicU64; Latencies::BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Latencies {
    /// The upper bounds of the buckets in milliseconds; a last bucket takes the rest.
    const BOUNDS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

    /// Counts one call.
    pub fn observe(&self, took: Duration) {
        let millis = took.as_secs_f64() * 1e3;
        let bucket = Self::BOUNDS.iter().take_while(|bound| millis > **bound).count();
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The sum in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Upper bound in seconds and number of calls, per bucket.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = Self::BOUNDS.iter().map(|millis| millis / 1e3).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_in_the_first_bucket_that_holds_it() {
        let latencies = Latencies::default();
        for micros in [0, 500, 501, 1_000_000, 1_000_001] {
            latencies.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = latencies.buckets().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert!((latencies.sum() - 2.001_002).abs() < 1e-9);
    }

    #[test]
    fn only_acknowledged_renewals_are_timed() {
        let counters = Counters::default();
        let refused = Answer::Refused { revision: 1, found: Vec::new() };
        for answer in [Answer::Done(1), refused, Answer::Failed, Answer::Unknown, Answer::Unknown] {
            counters.renewed(&answer, Duration::from_millis(3));
        }
        let renewals = &counters.renewals;
        let counted = [&renewals.acknowledged, &renewals.refused, &renewals.failed, &renewals.unknown];
        assert_eq!(counted.map(Counter::get), [1, 1, 1, 2]);
        assert_eq!(counters.renewal_time.buckets().iter().map(|(_, count)| count).sum::<u64>(), 1);
    }
}
