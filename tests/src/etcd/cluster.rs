//! A cluster: starts, breaks and mends its members, and reads and writes keys for the scenarios.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use etcd_client::{Client, CompactionOptions, GetOptions, KeyValue};
use nix::sys::signal::Signal;

use super::access::{self, Access, bounded};
use super::disk::Disks;
use super::member::{Member, State};
use super::{EtcdOptions, Tls};
use crate::clock::{now, wait_for};
use crate::host::Host;
use crate::lab::Lab;
use crate::namespace::finish;
use crate::process::Process;

/// How long a cluster gets to come up, elect and answer, on a machine that is busy with other scenarios.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running etcd cluster. Clones are the same cluster, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct EtcdCluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    members: Vec<Member>,
    options: EtcdOptions,
    tls: Option<Tls>,
    disks: Disks,
    access: Access,
    /// Where the lab's own client runs.
    observer: Host,
}

impl EtcdCluster {
    /// Starts one member on each of these hosts and waits until all answer.
    ///
    /// # Panics
    /// If they do not within half a minute.
    pub(crate) fn start(lab: &Lab, hosts: &[Host], options: EtcdOptions) -> Self {
        let members: Vec<_> =
            hosts.iter().enumerate().map(|(index, host)| Member::new(index + 1, host, &options)).collect();
        let tls = options.tls.then(|| {
            let addresses = members.iter().map(|member| member.address().to_string());
            let addresses: Vec<_> = addresses.chain(["127.0.0.1".to_owned()]).collect();
            Tls::make(&lab.directory().join("tls"), &addresses)
        });
        let disks = Disks::default();
        for member in &members {
            member.start(&members, &options, tls.as_ref(), &disks);
        }

        let access = Access::open(tls.as_ref());
        let mut inner = Inner { members, options, tls, disks, access, observer: lab.observer() };
        (0..inner.members.len()).for_each(|index| inner.wait_healthy(index));
        if let Some((user, password)) = inner.options.user.clone() {
            inner.call(async move |client| access::enable_users(client, &user, &password).await);
            inner.access = Access::as_root(inner.tls.as_ref(), &inner.options);
        }
        Self(Arc::new(inner))
    }

    /// Where the members listen, for an agent's config.
    pub fn endpoints(&self) -> Vec<String> {
        self.0.members.iter().map(Member::endpoint).collect()
    }

    /// The cluster's certificates, if it speaks TLS.
    pub fn tls(&self) -> Option<&Tls> {
        self.0.tls.as_ref()
    }

    /// Sends a member SIGTERM and waits until it has gone.
    pub fn stop(&self, member: usize) {
        self.with_process(member, |process| process.stop(PATIENCE));
    }

    /// Kills a member with `kill -9`.
    pub fn kill9(&self, member: usize) {
        self.with_process(member, Process::kill9);
    }

    /// Freezes a member.
    pub fn freeze(&self, member: usize) {
        self.with_process(member, |process| process.signal(Signal::SIGSTOP));
        self.0.members[member].state().frozen = true;
    }

    /// Lets a frozen member go on.
    pub fn thaw(&self, member: usize) {
        self.with_process(member, |process| process.signal(Signal::SIGCONT));
        self.0.members[member].state().frozen = false;
    }

    /// Starts a member again that was stopped or killed, with the data it had. Does not wait for it.
    pub fn restart(&self, member: usize) {
        let inner = &self.0;
        assert!(!inner.members[member].answers(), "member {member} still runs: stop or kill it first");
        inner.members[member].start(&inner.members, &inner.options, inner.tls.as_ref(), &inner.disks);
    }

    /// From now on whatever a member has written to its disk takes so much longer; see [`EtcdOptions::slow_disks`].
    pub fn slow_disks(&self, delay: Duration) {
        assert!(self.0.options.slow_disks, "the cluster was not started with disks that can be made slow");
        self.0.disks.delay(delay);
    }

    /// Waits until a member answers linearizable reads: it runs and there is a quorum.
    pub fn wait_healthy(&self, member: usize) {
        self.0.wait_healthy(member);
    }

    /// The member that leads the cluster; waits until there is one.
    pub fn leader(&self) -> usize {
        wait_for("a leader of the etcd cluster", PATIENCE, || {
            (0..self.0.members.len()).find(|index| {
                let status = self.0.ask(*index, async |mut client| client.status().await);
                status.is_ok_and(|status| {
                    status.leader() != 0 && status.header().is_some_and(|h| h.member_id() == status.leader())
                })
            })
        })
    }

    /// Calls etcd as the lab's own client (root, where there are users), on a member that answers.
    ///
    /// # Panics
    /// If the call fails on every member for half a minute: it is made again until it succeeds, so it must bear that.
    pub fn call<T: Send + 'static>(
        &self,
        call: impl AsyncFn(Client) -> Result<T, etcd_client::Error> + Send + Sync + 'static,
    ) -> T {
        self.0.call(call)
    }

    /// Writes a key; while members die, perhaps more than once.
    pub fn put(&self, key: &str, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.to_owned(), value.into());
        self.call(async move |mut client| client.put(key.as_str(), value.clone(), None).await);
    }

    /// Deletes a key.
    pub fn delete(&self, key: &str) {
        let key = key.to_owned();
        self.call(async move |mut client| client.delete(key.as_str(), None).await);
    }

    /// Every key below a prefix.
    pub fn list(&self, prefix: &str) -> Vec<KeyValue> {
        let prefix = prefix.to_owned();
        self.call(async move |mut client| {
            let mut found = client.get(prefix.as_str(), Some(GetOptions::new().with_prefix())).await?;
            Ok(found.take_kvs())
        })
    }

    /// Forgets every revision but the newest, on disk too.
    pub fn compact(&self) {
        self.call(async |mut client| {
            let newest =
                client.get("/", None).await?.header().map_or(1, etcd_client::ResponseHeader::revision);
            client.compact(newest, Some(CompactionOptions::new().with_physical())).await
        });
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
    }

    pub(crate) fn observer(&self) -> &Host {
        &self.0.observer
    }

    /// What is below a prefix, if the cluster answers now.
    pub(crate) fn list_now(&self, prefix: &str) -> Option<Vec<KeyValue>> {
        let prefix = prefix.to_owned();
        let list = async move |mut client: Client| {
            let mut found = client.get(prefix.as_str(), Some(GetOptions::new().with_prefix())).await?;
            Ok(found.take_kvs())
        };
        (0..self.0.members.len()).find_map(|member| self.0.ask(member, list.clone()).ok())
    }

    fn with_process<T>(&self, member: usize, act: impl FnOnce(&mut Process) -> T) -> T {
        let member = &self.0.members[member];
        let State { process, .. } = &mut *member.state();
        act(process.as_mut().unwrap_or_else(|| panic!("{} was never started", member.name())))
    }
}

impl Inner {
    fn wait_healthy(&self, index: usize) {
        let member = &self.members[index];
        let end = now() + PATIENCE;
        let read = async |mut client: Client| client.get("health", None).await;
        while let Err(error) = self.ask(index, read) {
            let mut state = member.state();
            let log = state.process.as_ref().map(|process| process.log_tail(10)).unwrap_or_default();
            let ended = !state.process.as_mut().is_some_and(Process::is_running);
            drop(state);
            assert!(
                !ended && now() < end,
                "{} {}: {error}; the end of its log:\n{log}",
                member.name(),
                if ended { "has ended" } else { "does not answer" },
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn call<T: Send + 'static>(
        &self,
        call: impl AsyncFn(Client) -> Result<T, etcd_client::Error> + Send + Sync + 'static,
    ) -> T {
        let call = Arc::new(call);
        let end = now() + PATIENCE;
        loop {
            let mut errors = Vec::new();
            for index in 0..self.members.len() {
                let call = call.clone();
                match self.ask(index, async move |client| call(client).await) {
                    Ok(answer) => return answer,
                    Err(error) => errors.push(format!("{}: {error}", self.members[index].name())),
                }
            }
            assert!(now() < end, "no member answers the lab's client: {}", errors.join("; "));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One call to one member.
    fn ask<T: Send + 'static>(
        &self,
        index: usize,
        call: impl AsyncFnOnce(Client) -> Result<T, etcd_client::Error> + Send + 'static,
    ) -> Result<T, String> {
        let member = &self.members[index];
        if !member.answers() {
            return Err("is not running".into());
        }
        let (access, endpoint) = (self.access.clone(), member.endpoint());
        // On a thread of its own: a call that hangs must not hold up the observer.
        let asked = self.observer.on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(|error| format!("cannot start a runtime: {error}"))?
                .block_on(bounded(async { call(access.connect(&endpoint).await?).await }))
        });
        finish(asked.join())
    }
}
