//! etcd's pulse: the lab writes to every member all the time, and so knows when etcd as a whole took nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use etcd_client::Client;
use mantle_protocol::Instant;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::EtcdCluster;
use crate::clock::{now, wait_for};
use crate::probe::Gap;

/// When a write is given up: etcd itself holds one back for seconds that it cannot carry out.
const LIMIT: Duration = Duration::from_secs(5);
/// Without the agents' prefix: what watches their keys sees nothing of it.
const KEY: &str = "/lab/pulse";

/// Writes until it is dropped.
pub struct Pulse {
    beats: Arc<Mutex<Vec<Instant>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Sends each member a write so often, without waiting for the one before; a first one is acknowledged when this
    /// returns.
    pub fn start(etcd: &EtcdCluster, every: Duration) -> Self {
        let beats = Arc::<Mutex<Vec<Instant>>>::default();
        let (stop, stopped) = oneshot::channel();
        let (cluster, heard) = (etcd.clone(), beats.clone());
        let thread = etcd.observer().on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}")).block_on(async {
                for endpoint in cluster.endpoints() {
                    tokio::spawn(beat(cluster.clone(), endpoint, every, heard.clone()));
                }
                // Ends when told to, or with the Pulse; the writes end with the runtime.
                let _ = stopped.await;
            });
        });
        let pulse = Self { beats, stop: Some(stop), thread: Some(thread) };
        wait_for("a write that etcd acknowledges", LIMIT, || (!lock(&pulse.beats).is_empty()).then_some(()));
        pulse
    }

    /// When etcd took no write from anybody: from each acknowledged write to the next.
    pub fn outages(&self) -> impl Iterator<Item = Gap> {
        let mut beats = lock(&self.beats).clone();
        beats.sort();
        let later = beats.clone().into_iter().skip(1);
        beats.into_iter().zip(later).map(|(from, to)| Gap { from, to })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

async fn beat(etcd: EtcdCluster, endpoint: String, every: Duration, beats: Arc<Mutex<Vec<Instant>>>) {
    loop {
        // One that cannot be connected to now is tried again at the next beat.
        let Ok(client) = etcd.access().connect(&endpoint).await else {
            sleep(every).await;
            continue;
        };
        loop {
            sleep(every).await;
            tokio::spawn(write(client.clone(), beats.clone()));
        }
    }
}

async fn write(mut client: Client, beats: Arc<Mutex<Vec<Instant>>>) {
    if let Ok(Ok(_)) = timeout(LIMIT, client.put(KEY, "", None)).await {
        lock(&beats).push(now());
    }
}

fn lock(beats: &Mutex<Vec<Instant>>) -> MutexGuard<'_, Vec<Instant>> {
    beats.lock().unwrap_or_else(PoisonError::into_inner)
}
