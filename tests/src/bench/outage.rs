//! For how long etcd takes no write from anybody.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mantle::protocol::Instant;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::clock::now;
use crate::etcd::EtcdCluster;

/// How often each member is sent a write, which does not wait for the one before.
const BEAT: Duration = Duration::from_millis(10);
/// When a write is given up: etcd itself keeps one that it cannot carry out for seconds.
const LIMIT: Duration = Duration::from_secs(5);
/// Without the agents' prefix: nobody who watches their keys sees it.
const KEY: &str = "/bench/outage";

/// Writes to the members that live on, until it is asked what came of it.
pub(super) struct Outage {
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Outage {
    /// Begins, at all members but the one that is about to die; a first write is acknowledged when this returns.
    pub(super) fn look(etcd: &EtcdCluster, dying: usize) -> Self {
        let acknowledged = Arc::<Mutex<Vec<Instant>>>::default();
        let (stop, stopped) = oneshot::channel();
        let (cluster, heard) = (etcd.clone(), acknowledged.clone());
        let thread = etcd.observer().on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}")).block_on(async {
                for (member, endpoint) in cluster.endpoints().into_iter().enumerate() {
                    if member != dying {
                        tokio::spawn(write(cluster.clone(), endpoint, heard.clone()));
                    }
                }
                // Ends when told to, or with the Outage; the writes end with the runtime.
                let _ = stopped.await;
            });
        });
        let outage = Self { acknowledged, stop, thread };
        crate::clock::wait_for("a write that etcd acknowledges", LIMIT, || {
            (!outage.known().is_empty()).then_some(())
        });
        outage
    }

    /// The longest time from one acknowledged write to the next.
    pub(super) fn longest(self) -> Duration {
        let mut known = self.known();
        drop(self.stop);
        // Its panic has been printed.
        let _ = self.thread.join();
        known.sort();
        let between = known.windows(2).map(|pair| pair[1].since(pair[0]));
        between.max().unwrap_or_default()
    }

    fn known(&self) -> Vec<Instant> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn write(etcd: EtcdCluster, endpoint: String, acknowledged: Arc<Mutex<Vec<Instant>>>) {
    let client = loop {
        match etcd.access().connect(&endpoint).await {
            Ok(client) => break client,
            Err(_) => sleep(BEAT).await,
        }
    };
    loop {
        let (mut client, acknowledged) = (client.clone(), acknowledged.clone());
        tokio::spawn(async move {
            if let Ok(Ok(_)) = timeout(LIMIT, client.put(KEY, "", None)).await {
                acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(now());
            }
        });
        sleep(BEAT).await;
    }
}
