//! Real etcd clusters in the lab.

mod access;
mod by_files;
mod by_systemd;
mod cluster;
mod disk;
mod member;
mod pulse;
mod relay;
mod tls;

pub use by_files::member_by_file;
pub use by_systemd::member_by_systemd;
pub use cluster::EtcdCluster;
pub use pulse::Pulse;
pub use relay::Relay;
pub use tls::Tls;

use std::time::Duration;

/// Which etcd to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdVersion {
    /// 3.4
    V34,
    /// 3.5
    V35,
}

/// How to run etcd.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// Which etcd.
    pub version: EtcdVersion,
    /// Whether clients come by TLS and must show a certificate.
    pub tls: bool,
    /// A user and password for the agents, who may then read and write below `/mantle/` only.
    pub user: Option<(String, String)>,
    /// etcd's heartbeat interval.
    pub heartbeat: Duration,
    /// etcd's election time-out.
    pub election: Duration,
    /// Whether the members' disks can be made slow. It costs each write a little even while they are not.
    pub slow_disks: bool,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            version: EtcdVersion::V34,
            tls: false,
            user: None,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_secs(1),
            slow_disks: false,
        }
    }
}
