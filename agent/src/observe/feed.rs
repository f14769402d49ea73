//! The way from the core thread to this room: stores on one side, reads on the other, and nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::etcd::Survey;
use mantle_protocol::{Instant, Role};

use super::{Counters, Snapshot, Status};

/// The core thread's end.
#[derive(Debug)]
pub struct Publisher {
    snapshots: watch::Sender<Arc<Snapshot>>,
    heartbeat: Arc<Heartbeat>,
    counters: Arc<Counters>,
}

/// The readers' end.
#[derive(Clone, Debug)]
pub struct Feed {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    heartbeat: Arc<Heartbeat>,
    counters: Arc<Counters>,
    /// What etcd was like when it was last looked at: written and read on the side thread only.
    survey: Arc<Mutex<Option<Arc<Survey>>>>,
    clock: fn() -> Instant,
}

/// When the core thread last moved, in milliseconds since the machine's boot.
#[derive(Debug)]
struct Heartbeat(AtomicU64);

/// The two ends, with the first snapshot to be seen and the clock to read it by.
pub fn feed(first: Snapshot, clock: fn() -> Instant) -> (Publisher, Feed) {
    let (sender, snapshots) = watch::channel(Arc::new(first));
    let heartbeat = Arc::new(Heartbeat(AtomicU64::new(millis(clock()))));
    let counters = Arc::new(Counters::default());
    let publisher =
        Publisher { snapshots: sender, heartbeat: Arc::clone(&heartbeat), counters: Arc::clone(&counters) };
    (publisher, Feed { snapshots, heartbeat, counters, survey: Arc::default(), clock })
}

impl Publisher {
    /// Shows a new snapshot from now on. Readers hold the old one only for as long as it takes to count a reference.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    /// Says that the core thread moves. To be called at each turn of its loop, at least once a second: after
    /// [`health::STALE`](super::health::STALE) without it the agent counts as stuck.
    pub fn beat(&self, now: Instant) {
        self.heartbeat.0.store(millis(now), Ordering::Relaxed);
    }

    /// The counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Feed {
    /// The last snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The status as of now.
    pub fn status(&self) -> Status {
        self.snapshot().status(self.now(), self.heartbeat_age())
    }

    /// Whether the node still serves connections of a VIP that it has handed over.
    pub fn is_draining(&self) -> bool {
        self.snapshot().vips.iter().any(|vip| matches!(vip.stance, Role::Forwarding { .. }))
    }

    /// How long ago the core thread last moved.
    pub fn heartbeat_age(&self) -> Duration {
        let beat = Instant::from_boot(Duration::from_millis(self.heartbeat.0.load(Ordering::Relaxed)));
        self.now().since(beat)
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Shows what etcd is like from now on.
    pub fn surveyed(&self, survey: Survey) {
        *self.survey.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(survey));
    }

    /// What etcd was like when it was last looked at; nothing before that.
    pub fn survey(&self) -> Option<Arc<Survey>> {
        self.survey.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The clock that instants are to be compared with.
    pub fn now(&self) -> Instant {
        (self.clock)()
    }
}

fn millis(instant: Instant) -> u64 {
    u64::try_from(instant.since_boot().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_reader_sees_what_was_published_last() {
        let (publisher, feed) = feed(sample::snapshot(), sample::clock);
        let mut next = sample::snapshot();
        next.vips.clear();
        publisher.publish(next);
        assert!(feed.status().vips.is_empty());
    }

    #[test]
    fn the_heartbeat_ages_until_the_core_moves_again() {
        let (publisher, feed) = feed(sample::snapshot(), sample::clock);
        assert_eq!(feed.heartbeat_age(), Duration::ZERO);
        publisher.beat(sample::NOW - Duration::from_secs(7));
        assert_eq!(feed.heartbeat_age(), Duration::from_secs(7));
        assert_eq!(feed.status().node.heartbeat_age_ms, 7000);
    }
}
