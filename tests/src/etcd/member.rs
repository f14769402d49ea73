//! One member of a cluster: its command line and its process.

use std::net::IpAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::Disks;
use super::{EtcdOptions, Tls};
use crate::binaries;
use crate::host::Host;
use crate::lab::PRIVATE_LINK;
use crate::process::Process;

/// One member: a place in the cluster, whether or not it runs.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    host: Host,
    address: IpAddr,
    tls: bool,
    process: Mutex<State>,
}

/// What has become of a member's process.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) process: Option<Process>,
    pub(super) frozen: bool,
}

impl Member {
    pub(super) fn new(number: usize, host: &Host, options: &EtcdOptions) -> Self {
        let (name, address) = (format!("etcd-{number}"), host.address(PRIVATE_LINK));
        Self { name, address, host: host.clone(), tls: options.tls, process: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn endpoint(&self) -> String {
        self.client_url(&self.address.to_string())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it would answer: its process runs and is not frozen.
    pub(super) fn answers(&self) -> bool {
        let mut state = self.state();
        !state.frozen && state.process.as_mut().is_some_and(Process::is_running)
    }

    /// Starts the member's process; its data, if it ran before, is where it left it.
    pub(super) fn start(&self, all: &[Self], options: &EtcdOptions, tls: Option<&Tls>, disks: &Disks) {
        let mut command = Command::new(binaries::etcd(options.version));
        // Whoever runs the tests may have an ETCD_… of their own.
        command.env_clear();
        let cluster: Vec<_> =
            all.iter().map(|member| format!("{}={}", member.name, member.peer_url())).collect();
        // Agents with the default endpoint find a member on their own host.
        let listen = format!("{},{}", self.endpoint(), self.client_url("127.0.0.1"));
        let mut flag = |name: &str, value: &str| {
            command.arg(format!("--{name}={value}"));
        };
        flag("name", &self.name);
        // In memory, and gone with the host.
        flag("data-dir", "/run/etcd");
        flag("listen-client-urls", &listen);
        flag("advertise-client-urls", &self.endpoint());
        flag("listen-peer-urls", &self.peer_url());
        flag("initial-advertise-peer-urls", &self.peer_url());
        flag("initial-cluster", &cluster.join(","));
        flag("heartbeat-interval", &options.heartbeat.as_millis().to_string());
        flag("election-timeout", &options.election.as_millis().to_string());
        flag("logger", "zap");
        flag("log-level", "warn");
        if let Some(tls) = tls {
            flag("cert-file", &tls.server_cert.to_string_lossy());
            flag("key-file", &tls.server_key.to_string_lossy());
            flag("trusted-ca-file", &tls.ca.to_string_lossy());
            flag("client-cert-auth", "true");
        }
        let gate = options.slow_disks.then(|| disks.under(&mut command));
        let process = self.host.spawn("etcd", command);
        if let Some(gate) = gate {
            gate.attend();
        }
        *self.state() = State { process: Some(process), frozen: false };
    }

    fn client_url(&self, host: &str) -> String {
        format!("{}://{host}:2379", if self.tls { "https" } else { "http" })
    }

    fn peer_url(&self) -> String {
        format!("http://{}:2380", self.address)
    }
}
