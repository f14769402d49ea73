//! The config: YAML documents in, a [`Config`] or errors that point at the line out.
//!
//! A file is cut into its documents (`documents`), each becomes a tree that knows where everything stands (`node`),
//! its kind decides who reads it (`kind`; one file per kind), and the readers go on after an error so that one run
//! shows them all.

mod address;
mod addresses;
mod assemble;
mod check;
mod documents;
mod duration;
mod endpoint;
mod error;
mod etcd;
mod health;
mod kind;
mod layer2vip;
mod machine;
mod machine_facts;
mod mantle;
mod nearest;
mod node;
mod origin;
mod replies;
mod report;
mod section;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::addresses::Wishes;
use mantle_protocol::{NodeName, Timing};

pub use self::address::AddressError;
pub use self::check::{Check, CheckKind, CheckPace, CheckTls, CommandCheck, Health, HttpCheck};
pub use self::duration::DurationError;
pub(crate) use self::duration::duration;
pub use self::endpoint::EndpointError;
pub use self::error::{Concern, Error, Errors, Fault, Warning};
pub use self::machine_facts::{Findings, MachineLink, check_against};
pub use self::origin::{Origin, Position};

/// Where session, lock and control socket are if the config doesn't say.
pub const RUNTIME_DIR: &str = "/run/mantle";

/// The consumer of addresses that `http.listenSubnets` is.
pub const HTTP: &str = "mantle-http";

/// Where the choice of addresses is remembered if the config doesn't say.
pub const STATE_DIR: &str = "/var/lib/mantle";

/// Reads the config: a file, or all `*.yaml` and `*.yml` of a directory in the order of their names.
pub fn load(path: &Path) -> Result<Config, Errors> {
    assemble::load(path)
}

/// All that a node is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster: nodes of one cluster compete for its VIPs.
    pub cluster: String,
    /// This node's name.
    pub node: NodeName,
    /// How etcd is reached.
    pub etcd: Etcd,
    /// How fast a takeover is and how much etcd trouble an owner rides out.
    pub timing: Timing,
    /// What answers for a VIP.
    pub dataplane: Dataplane,
    /// How neighbours are told.
    pub announce: Announce,
    /// How a planned move goes.
    pub handoff: Handoff,
    /// What decides whether this node is ready, beside its links.
    pub health: Health,
    /// Where metrics and status are served.
    pub http: Http,
    /// Session, lock and control socket; pins below bpffs go by the same name.
    pub runtime_dir: PathBuf,
    /// What is to outlive a reboot: the choice of addresses.
    pub state_dir: PathBuf,
    /// Which of the node's addresses others are to use.
    pub addresses: Wishes,
    /// The links, as VIPs name them, that the replies of their VIPs leave by wherever other routes lead; each with the gateways
    /// that its own routes don't name.
    pub replies: BTreeMap<String, Vec<IpAddr>>,
    /// Which standby goes first: higher before lower.
    pub priority: u32,
    /// Who acts when the agent ends without a word.
    pub guardian: Guardian,
    /// The VIPs, in the order they are written.
    pub vips: Vec<Vip>,
    /// What may not be what was meant.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// What every key in etcd begins with: `/mantle/default/`.
    pub fn key_prefix(&self) -> String {
        format!("{}/{}/", self.etcd.prefix, self.cluster)
    }
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// Its address.
    pub ip: IpAddr,
    /// The link it lives on: by name, altname or alias.
    pub link: String,
    /// Where it is written.
    pub origin: Origin,
}

/// How etcd is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etcd {
    /// `scheme://host:port` each; all encrypted or none, if any TLS file is given.
    pub endpoints: Vec<String>,
    /// What the cluster's keys are kept under: `/mantle`, no slash at the end.
    pub prefix: String,
    /// Whose certificates etcd's members must have.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate; goes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// The user; goes with `password_file`.
    pub username: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            prefix: "/mantle".to_owned(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            username: None,
            password_file: None,
        }
    }
}

/// What answers for a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dataplane {
    /// By what means.
    pub mode: Mode,
}

/// By what means a VIP is answered for and fenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The best that the machine can do.
    #[default]
    Auto,
    /// The kernel program on XDP and TC.
    Xdp,
    /// The kernel program on TC alone.
    Tc,
    /// Raw sockets from userspace, the kernel kept quiet: IP is fenced by the address's lifetime alone.
    Raw,
    /// The kernel's own answers; fenced by the agent's timer and the address's lifetime alone.
    Off,
}

/// How neighbours are told who owns a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// When to announce after taking up a VIP: offsets from that moment, ascending, at least one.
    pub burst: Vec<Duration>,
    /// How often to announce it from then on.
    pub refresh: Duration,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            burst: [0, 100, 300, 1000, 2000, 4000].map(Duration::from_millis).to_vec(),
            refresh: Duration::from_secs(10),
        }
    }
}

/// How a planned move goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// How long the old owner still serves the connections it has.
    pub drain: Duration,
    /// After how long a VIP is handed over to a node of higher priority that is ready for it again; never, if there is none.
    pub preempt: Option<Duration>,
}

impl Default for Handoff {
    fn default() -> Self {
        Self { drain: Duration::from_secs(10), preempt: None }
    }
}

/// Where metrics and status are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// The address; none if nothing is served.
    pub listen: Option<SocketAddr>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9480))) }
    }
}

/// Who acts when the agent ends without a word while its node lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guardian {
    /// How long a new agent has for going on; none if there is no guardian.
    pub grace: Option<Duration>,
}

impl Default for Guardian {
    fn default() -> Self {
        Self { grace: Some(Duration::from_millis(300)) }
    }
}
