//! One endpoint: its connection, what is known of how it does, and when to try it again.
//!
//! A connection is made by a task of its own, so that a caller who stops waiting does not undo the work: the next one
//! finds it ready. It counts as made when etcd has answered a read over it, so a port that merely accepts is never
//! sent a transaction. Every call sets `hasleader`: a member cut off from its leader refuses at once instead of
//! keeping us waiting.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{KvClient, WatchClient};
use tokio::sync::watch;
use tokio::time::timeout;

use super::backoff::{Backoff, dice};
use super::classify::classify;
use super::cluster::ClusterIds;
use super::connect::{Connected, connect, first_answer, with_scheme};
use super::failure::{Cause, Errand, Failure};
use super::keyspace::Keyspace;
use super::ranking::Standing;
use super::settings::Settings;
use super::source::Way;
use crate::clock;
use mantle_protocol::Instant;

/// The most we read in one answer. etcd's own default for requests is 1.5 MiB, and somebody else may have filled that
/// with garbage.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How often another address is tried at most: it may not be there yet, or no way to etcd.
const OTHER_WAY_EVERY: Duration = Duration::from_secs(5);

/// How an endpoint does, for people and metrics.
#[derive(Clone, Debug)]
pub struct EndpointStatus {
    /// Its URL.
    pub endpoint: String,
    /// There is a connection to it.
    pub connected: bool,
    /// It is the one asked first.
    pub current: bool,
    /// Its last failure; nothing once it answered again.
    pub failure: Option<Failure>,
    /// How long its last answer took.
    pub latency: Option<Duration>,
    /// The address that the connection is bound to; none where the kernel chose.
    pub source: Option<IpAddr>,
}

/// A connection that answered when it was made.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
    number: u64,
    /// Where it was made from.
    way: Way,
}

/// One endpoint.
pub(super) struct Endpoint {
    number: usize,
    url: String,
    settings: Arc<Settings>,
    keys: Arc<Keyspace>,
    clusters: Arc<ClusterIds>,
    state: Mutex<State>,
    /// Held while a connection is being made: one at a time.
    dialling: tokio::sync::Mutex<()>,
    /// How many connections were made: tells a failure of this one from a late failure of one before.
    made: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    backoff: Backoff,
    failure: Option<Failure>,
    latency: Option<Duration>,
    probing: bool,
    /// No other way is tried before.
    other_way_at: Instant,
    /// Why it could not be gone by the last time.
    other_way: Option<Cause>,
}

impl Endpoint {
    pub(super) fn new(
        number: usize,
        settings: &Arc<Settings>,
        keys: &Arc<Keyspace>,
        clusters: &Arc<ClusterIds>,
    ) -> Self {
        Self {
            number,
            url: with_scheme(&settings.endpoints[number], settings.tls.is_some()),
            settings: settings.clone(),
            keys: keys.clone(),
            clusters: clusters.clone(),
            state: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            made: watch::Sender::new(0),
        }
    }

    /// Its URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What the ranking wants to know.
    pub(super) fn standing(&self) -> Standing {
        let state = self.state();
        Standing { connected: state.connection.is_some(), waiting: !state.backoff.is_over(clock::now()) }
    }

    /// How it does.
    pub(super) fn status(&self, current: bool) -> EndpointStatus {
        let state = self.state();
        EndpointStatus {
            endpoint: self.url.clone(),
            connected: state.connection.is_some(),
            current,
            failure: state.failure.clone(),
            latency: state.latency,
            source: state.connection.as_ref().and_then(|connection| connection.way.bound),
        }
    }

    /// The connection, made if there is none; while the wait after a failure lasts, that failure.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Connection, Failure> {
        if let Some(connection) = self.connected() {
            return Ok(connection);
        }
        let this = self.clone();
        match tokio::spawn(async move { this.dial().await }).await {
            Ok(dialled) => dialled,
            Err(ended) => Err(self.failure(Errand::Connect, Cause::Lost(ended.to_string()))),
        }
    }

    /// Makes a connection in the background if there is none and it is time to try.
    pub(super) fn warm(self: &Arc<Self>) {
        let Standing { connected, waiting } = self.standing();
        if !connected && !waiting && self.dialling.try_lock().is_ok() {
            let this = self.clone();
            // Whether it worked is noted in the endpoint's state.
            tokio::spawn(async move { this.dial().await });
        }
        if connected && self.wants_another_way() {
            let this = self.clone();
            tokio::spawn(async move { this.change_way().await });
        }
    }

    /// Whether another address has been chosen than the connection is made from, and it is time to go by it.
    fn wants_another_way(&self) -> bool {
        let mut state = self.state();
        let now = clock::now();
        let wants = now >= state.other_way_at
            && state.connection.as_ref().is_some_and(|kept| self.settings.sources.wants_another(kept.way));
        if wants {
            state.other_way_at = now + OTHER_WAY_EVERY;
        }
        wants
    }

    /// Connects from the address that is chosen by now. Until that has worked the connection there is stays in use.
    async fn change_way(self: &Arc<Self>) {
        let _one_at_a_time = self.dialling.lock().await;
        let cause = match self.make().await {
            Ok((connected, took)) => {
                if self.connected().is_none_or(|kept| kept.way != connected.way) {
                    self.keep(&connected, took);
                }
                None
            }
            Err(cause) => Some(cause),
        };
        let before = std::mem::replace(&mut self.state().other_way, cause.clone());
        if let Some(cause) = cause.filter(|cause| before.as_ref() != Some(cause)) {
            let failure = self.failure(Errand::Connect, cause);
            tracing::warn!("{failure}; until that works it is not spoken to from the chosen address");
        }
    }

    /// A new connection, to the cluster that the other endpoints are connected to, and how long it took.
    async fn make(&self) -> Result<(Connected, Duration), Cause> {
        let begun = clock::now();
        let limit = self.settings.connect_timeout;
        let connected = timeout(limit, connect(&self.url, &self.settings, &self.keys))
            .await
            .unwrap_or(Err(Cause::Silent(limit)))?;
        let found = connected.cluster;
        let joined = self.clusters.join(self.number, found);
        joined.map_err(|expected| Cause::OtherCluster { expected, found })?;
        Ok((connected, clock::now().since(begun)))
    }

    /// The connection, once there is one that is made from another address than `older` is.
    pub(super) async fn moved(&self, older: &Connection) -> Connection {
        let mut made = self.made.subscribe();
        loop {
            made.mark_unchanged();
            if let Some(connection) = self.connected().filter(|newer| newer.way != older.way) {
                return connection;
            }
            // Who tells is this endpoint itself.
            let _ = made.changed().await;
        }
    }

    /// Awaits `call`, made over `connection`, and learns from how it ends.
    pub(super) async fn attempt<T>(
        self: &Arc<Self>,
        connection: &Connection,
        errand: Errand,
        limit: Duration,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Failure> {
        let begun = clock::now();
        let cause = match timeout(limit, call).await {
            Ok(Ok(answer)) => {
                let mut state = self.state();
                state.latency = Some(clock::now().since(begun));
                state.backoff.succeeded();
                state.failure = None;
                return Ok(answer);
            }
            Ok(Err(error)) => classify(&error),
            Err(_) => Cause::Silent(limit),
        };
        Err(self.failed(connection, errand, cause))
    }

    /// Notes that something done over `connection` failed.
    pub(super) fn failed(self: &Arc<Self>, connection: &Connection, errand: Errand, cause: Cause) -> Failure {
        if cause.spoils_connection() {
            self.drop_connection(connection);
        }
        if matches!(cause, Cause::Silent(_)) {
            self.probe(connection);
        }
        self.note(errand, cause)
    }

    /// Notes that something done over the present connection has had no answer yet; it may still get one.
    pub(super) fn silent(self: &Arc<Self>, errand: Errand, cause: Cause) {
        if let Some(connection) = self.connected() {
            self.failed(&connection, errand, cause);
        }
    }

    /// Finds out in the background whether a connection that was silent still carries answers. Without this a connection
    /// whose state some router forgot would be tried again and again.
    fn probe(self: &Arc<Self>, connection: &Connection) {
        if std::mem::replace(&mut self.state().probing, true) {
            return;
        }
        let this = self.clone();
        let mut connection = connection.clone();
        tokio::spawn(async move {
            let limit = this.settings.connect_timeout;
            let answer = timeout(limit, first_answer(&mut connection.kv, &this.keys)).await;
            this.state().probing = false;
            let cause = match answer {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => classify(&error),
                Err(_) => Cause::Silent(limit),
            };
            // Knowing no leader is an answer too; made anew the connection would only be waited for when there is one again.
            if cause != Cause::NoLeader {
                this.drop_connection(&connection);
            }
            this.note(Errand::Probe, cause);
        });
    }

    async fn dial(self: &Arc<Self>) -> Result<Connection, Failure> {
        let _one_at_a_time = self.dialling.lock().await;
        if let Some(connection) = self.connected() {
            return Ok(connection);
        }
        if let Some(failure) = self.refrain() {
            return Err(failure);
        }
        let cause = match self.make().await {
            Ok((connected, took)) => return Ok(self.keep(&connected, took)),
            Err(Cause::Lost(why) | Cause::BrokenOff(why)) if self.url.starts_with("http://") => {
                Cause::NoPlainText(why)
            }
            Err(Cause::Lost(why)) => Cause::BrokenOff(why),
            Err(cause) => cause,
        };
        Err(self.note(Errand::Connect, cause))
    }

    fn keep(&self, connected: &Connected, latency: Duration) -> Connection {
        let client = &connected.client;
        let connection = Connection {
            kv: client.kv_client().max_decoding_message_size(LONGEST_ANSWER),
            watch: client.watch_client().max_decoding_message_size(LONGEST_ANSWER),
            // One is made at a time.
            number: *self.made.borrow() + 1,
            way: connected.way,
        };
        let mut state = self.state();
        state.connection = Some(connection.clone());
        state.latency = Some(latency);
        state.backoff.succeeded();
        state.failure = None;
        drop(state);
        self.made.send_replace(connection.number);
        connection
    }

    fn drop_connection(&self, connection: &Connection) {
        let mut state = self.state();
        if state.connection.as_ref().is_some_and(|kept| kept.number == connection.number) {
            state.connection = None;
            self.clusters.leave(self.number);
        }
    }

    fn note(&self, errand: Errand, cause: Cause) -> Failure {
        let mut state = self.state();
        // A login that ran out is no fault of the endpoint's: the way back is to log in at once.
        if !matches!(cause, Cause::LoginExpired) {
            state.backoff.failed(clock::now(), cause.pace(), dice());
        }
        let failure = self.failure(errand, cause);
        state.failure = Some(failure.clone());
        failure
    }

    /// The last failure, if it is too early to try again.
    fn refrain(&self) -> Option<Failure> {
        let state = self.state();
        if state.backoff.is_over(clock::now()) { None } else { state.failure.clone() }
    }

    fn connected(&self) -> Option<Connection> {
        self.state().connection.clone()
    }

    fn failure(&self, errand: Errand, cause: Cause) -> Failure {
        Failure { endpoint: self.url.clone(), errand, cause }
    }

    /// Never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
