//! The handle everybody uses etcd by.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::cluster::ClusterIds;
use super::endpoint::{Endpoint, EndpointStatus};
use super::hedge::Usual;
use super::keyspace::Keyspace;
use super::ranking::Standing;
use super::settings::Settings;
use mantle_protocol::Revision;

/// Our keys in etcd. Cheap to clone; all clones share connections and what was learned of the endpoints.
#[derive(Clone)]
pub struct Etcd {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Arc<Settings>,
    keys: Arc<Keyspace>,
    endpoints: Vec<Arc<Endpoint>>,
    /// The endpoint that answered last.
    favourite: AtomicUsize,
    /// How long answers to transactions usually take.
    usual: Mutex<Usual>,
    /// The revision of our last write: the watch must show it.
    acknowledged: watch::Sender<Revision>,
    restart: Notify,
}

impl Etcd {
    /// A handle on etcd as `settings` say. Connections are made when they are needed.
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let keys = Arc::new(Keyspace::new(&settings.prefix));
        let clusters = Arc::new(ClusterIds::default());
        let endpoints = (0..settings.endpoints.len())
            .map(|number| Arc::new(Endpoint::new(number, &settings, &keys, &clusters)))
            .collect();
        let shared = Shared {
            settings,
            keys,
            endpoints,
            favourite: AtomicUsize::new(0),
            usual: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            restart: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How each endpoint does, in the order of the configuration.
    pub fn status(&self) -> Vec<EndpointStatus> {
        let favourite = self.favourite();
        self.shared
            .endpoints
            .iter()
            .enumerate()
            .map(|(i, endpoint)| endpoint.status(i == favourite))
            .collect()
    }

    /// Lets the watch list everything anew.
    pub fn restart_watch(&self) {
        self.shared.restart.notify_one();
    }

    /// Tells the watch that a write of ours below the prefix has this revision: a watch that does not show it within a
    /// second is silent. [`Etcd::commit`] does this by itself.
    pub fn acknowledged(&self, revision: Revision) {
        // Not the highest of all: etcd restored from a backup begins again below it.
        self.shared.acknowledged.send_replace(revision);
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(super) fn keys(&self) -> &Keyspace {
        &self.shared.keys
    }

    pub(super) fn endpoint(&self, number: usize) -> &Arc<Endpoint> {
        &self.shared.endpoints[number]
    }

    pub(super) fn standings(&self) -> Vec<Standing> {
        self.shared.endpoints.iter().map(|endpoint| endpoint.standing()).collect()
    }

    pub(super) fn favourite(&self) -> usize {
        // A hint about whom to ask first: nothing else depends on it, so no ordering is needed.
        self.shared.favourite.load(Ordering::Relaxed)
    }

    pub(super) fn prefer(&self, number: usize) {
        self.shared.favourite.store(number, Ordering::Relaxed);
    }

    /// A transaction's answer took so long.
    pub(super) fn took(&self, took: Duration) {
        self.shared.usual.lock().unwrap_or_else(PoisonError::into_inner).took(took);
    }

    /// How long a renewal waits for an answer before a second endpoint is asked.
    pub(super) fn hedge(&self) -> Duration {
        let settings = self.settings();
        let longest = settings.hedge_within.min(settings.try_timeout);
        self.shared.usual.lock().unwrap_or_else(PoisonError::into_inner).patience(longest)
    }

    /// Makes the connections that are missing, so that the next endpoint is ready when this one fails and one that
    /// recovered is found out without risking a renewal on it.
    pub(super) fn warm(&self) {
        for endpoint in &self.shared.endpoints {
            endpoint.warm();
        }
    }

    /// The acknowledgements from here on.
    pub(super) fn acknowledgements(&self) -> watch::Receiver<Revision> {
        self.shared.acknowledged.subscribe()
    }

    pub(super) async fn restart_asked(&self) {
        self.shared.restart.notified().await;
    }
}
