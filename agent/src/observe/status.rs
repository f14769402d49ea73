//! The status document: what `mantle status -o json` and `/status.json` give.
//!
//! The form is stable: fields are added, never renamed, removed or given another meaning. `docs/status.md` tells what
//! each one means to its reader.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dataplane::{self, Counter, Counters};
use mantle_protocol::{Epoch, Revision};

/// The status of one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this form.
    pub version: u32,
    /// The node.
    pub node: Node,
    /// Its view of etcd.
    pub etcd: Etcd,
    /// Its session.
    pub session: Session,
    /// The VIPs' links that are there; none from an agent before there was a kernel program.
    #[serde(default)]
    pub links: Vec<Link>,
    /// The checks; none from an agent before there were any.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The configured VIPs.
    pub vips: Vec<Vip>,
    /// The other nodes.
    pub peers: Vec<Peer>,
}

impl Status {
    /// The version of the form; changes only if a field has to change its meaning.
    pub const VERSION: u32 = 1;
}

/// The node that is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// The machine, this boot of it.
    pub machine: String,
    /// The addresses that it publishes as its own; none from an agent before there were any.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The agent's version.
    pub agent_version: String,
    /// The strongest fence it can use.
    pub mode: Fence,
    /// How long the agent has been running.
    pub uptime_ms: u64,
    /// How long ago the core thread last moved.
    pub heartbeat_age_ms: u64,
    /// How late the core thread was at worst in the last half minute or more.
    pub lateness_ms: u64,
}

/// The node's view of etcd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Etcd {
    /// Whether any endpoint answers.
    pub connected: bool,
    /// The configured endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The highest revision seen.
    pub revision: Revision,
}

/// One etcd endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its URL.
    pub url: String,
    /// Whether the last call to it succeeded.
    pub ok: bool,
    /// Why the last call that failed did.
    pub last_error: Option<String>,
    /// How long the last call that succeeded took.
    pub latency_ms: Option<f64>,
    /// The address that the connection is bound to; none where the kernel chose.
    pub source: Option<IpAddr>,
}

/// The node's session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Where it stands.
    pub state: SessionState,
    /// E: the create revision of its key.
    pub id: Option<Revision>,
    /// What is left of the node's right.
    pub right_left_ms: u64,
    /// How long the node may at worst go on answering after it sent a renewal.
    pub bound_ms: u64,
    /// R, D and S.
    pub timing: Timing,
    /// Why it is not live, or its renewals are not acknowledged.
    pub reason: Option<String>,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// There is none yet, and nothing is under way.
    None,
    /// Being started.
    Starting,
    /// Acknowledged by etcd.
    Live,
    /// The node's name is in live use by another machine.
    Refused,
    /// It was lost or given up.
    Ended,
}

/// R, D and S.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// R: how often an owner renews.
    pub renew_ms: u64,
    /// D: how long a renewal lets its node act as owner.
    pub right_ms: u64,
    /// S: the silence after which a standby takes over.
    pub silence_ms: u64,
}

/// A link that carries VIPs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The link, as the configuration names it.
    pub link: String,
    /// Where the kernel program meets what arrives on it.
    pub mode: LinkMode,
}

/// Where the kernel program meets what arrives on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkMode {
    /// Nowhere: there is none.
    Off,
    /// At TC.
    Tc,
    /// At XDP in its driver, and at TC what gets past that.
    Xdp,
    /// At the kernel's generic XDP, and at TC what gets past that.
    XdpGeneric,
}

impl LinkMode {
    /// The mode, as the document and the metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Tc => "tc",
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
        }
    }
}

impl From<Option<dataplane::LinkMode>> for LinkMode {
    fn from(mode: Option<dataplane::LinkMode>) -> Self {
        match mode {
            None => Self::Off,
            Some(dataplane::LinkMode::Tc) => Self::Tc,
            Some(dataplane::LinkMode::Xdp { native: true }) => Self::Xdp,
            Some(dataplane::LinkMode::Xdp { native: false }) => Self::XdpGeneric,
        }
    }
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What kind of check it is.
    pub kind: String,
    /// What it tries.
    pub target: String,
    /// The VIPs it speaks for; none: every VIP.
    pub vips: Option<BTreeSet<IpAddr>>,
    /// What it is judged to be.
    pub health: Health,
    /// How long it has been judged so.
    pub since_ms: u64,
    /// What came of the last try.
    pub last: Option<Try>,
    /// How often it was tried.
    pub tries: u64,
    /// How many of the tries failed.
    pub failures: u64,
}

/// What a check is judged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing has decided yet.
    Unknown,
    /// It succeeds.
    Good,
    /// It fails.
    Failing,
}

impl From<mantle_protocol::Health> for Health {
    fn from(health: mantle_protocol::Health) -> Self {
        match health {
            mantle_protocol::Health::Unknown => Self::Unknown,
            mantle_protocol::Health::Good => Self::Good,
            mantle_protocol::Health::Failing => Self::Failing,
        }
    }
}

/// What came of one try of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// How long it took.
    pub took_ms: f64,
    /// How long ago it ended.
    pub ago_ms: u64,
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vip {
    /// The address.
    pub vip: IpAddr,
    /// The link, as the configuration names it.
    pub link: String,
    /// How this node stands to it.
    pub stance: Role,
    /// The node that its record names.
    pub owner: Option<String>,
    /// The mod revision of its record.
    pub epoch: Epoch,
    /// What is left of this node's right, if it wears the VIP.
    pub right_left_ms: Option<u64>,
    /// Whether this node is ready for it.
    pub ready: bool,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// What makes it unanswered on this node when the right is over.
    pub fence: Fence,
    /// What the kernel program counted of it, if there is one.
    pub kernel: Option<Kernel>,
    /// How many connections are left of it here, while it is drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// How long ago its stance or owner last changed.
    pub since_ms: u64,
}

/// How a node stands to a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Silent.
    Off,
    /// About to follow its owner.
    Prepared,
    /// Wears it.
    Owner,
    /// Hands it over.
    Yielding,
    /// Has handed it over, and serves the connections it still has.
    Forwarding,
}

impl From<mantle_protocol::Role> for Role {
    fn from(stance: mantle_protocol::Role) -> Self {
        match stance {
            mantle_protocol::Role::Off => Self::Off,
            mantle_protocol::Role::Prepared { .. } => Self::Prepared,
            mantle_protocol::Role::Owner { .. } => Self::Owner,
            mantle_protocol::Role::Yielding { .. } => Self::Yielding,
            mantle_protocol::Role::Forwarding { .. } => Self::Forwarding,
        }
    }
}

/// What makes a VIP unanswered when the right is over, though the agent itself be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fence {
    /// The address's own lifetime in the kernel.
    Lifetime,
    /// The kernel program's clock check, and the lifetime behind it.
    Kernel,
}

/// What the kernel program counted of a VIP since the agent started, and before that under the agent whose session it
/// resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// What was answered.
    pub answered: Answered,
    /// What was dropped.
    pub dropped: Dropped,
    /// Claims of the VIP by another MAC while this node was owner.
    pub conflicts: u64,
}

/// What the kernel program answered for a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// ARP requests.
    pub arp: u64,
    /// Neighbour solicitations.
    pub ns: u64,
}

/// What the kernel program dropped: while a VIP is on its link, and this node may not act as its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Arriving ARP about it.
    pub arp: u64,
    /// Arriving solicitations and advertisements about it.
    pub ns: u64,
    /// Arriving IP for it.
    pub ip: u64,
    /// Leaving frames with it as source, or claiming it.
    pub out: u64,
}

impl Kernel {
    /// Whether it has counted anything.
    pub fn has_counted(&self) -> bool {
        *self != Self::from(Counters::default())
    }
}

impl From<Counters> for Kernel {
    fn from(counters: Counters) -> Self {
        Self {
            answered: Answered {
                arp: counters.of(Counter::AnsweredArp),
                ns: counters.of(Counter::AnsweredNs),
            },
            dropped: Dropped {
                arp: counters.of(Counter::DroppedArp),
                ns: counters.of(Counter::DroppedNs),
                ip: counters.of(Counter::DroppedIp),
                out: counters.of(Counter::DroppedOut),
            },
            conflicts: counters.of(Counter::Conflicts),
        }
    }
}

/// Another node's session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// The node.
    pub node: String,
    /// E of its session.
    pub session: Revision,
    /// The addresses that it publishes as its own.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Who goes first: higher before lower.
    pub priority: u32,
    /// The VIPs it could wear now.
    pub ready: BTreeSet<IpAddr>,
    /// How long this node has seen no renewal of it.
    pub silent_ms: u64,
    /// Whether that is still less than the silence that ends it.
    pub live: bool,
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// The form that scripts rely on: this file changes by additions only.
    const GOLDEN: &str = include_str!("golden/status.json");
    const DOCS: &str = include_str!("../../../docs/status.md");

    #[test]
    fn the_json_is_what_it_always_was() {
        let json = serde_json::to_string_pretty(&sample::status()).unwrap();
        assert_eq!(json, GOLDEN.trim_end());
    }

    #[test]
    fn the_json_is_read_back_as_it_was_written() {
        assert_eq!(serde_json::from_str::<Status>(GOLDEN).unwrap(), sample::status());
    }

    #[test]
    fn a_field_of_a_later_agent_is_passed_over() {
        let later = GOLDEN.replacen('{', "{ \"mood\": \"fine\",", 1);
        assert_eq!(serde_json::from_str::<Status>(&later).unwrap(), sample::status());
    }

    #[test]
    fn the_document_of_an_agent_without_kernel_program_is_read_too() {
        let mut earlier: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        for list in ["links", "checks"] {
            earlier.as_object_mut().unwrap().remove(list);
        }
        for node in ["/node", "/peers/0"] {
            earlier.pointer_mut(node).unwrap().as_object_mut().unwrap().remove("addresses").unwrap();
        }
        for vip in earlier["vips"].as_array_mut().unwrap() {
            vip.as_object_mut().unwrap().remove("kernel");
        }
        let read: Status = serde_json::from_value(earlier).unwrap();
        assert_eq!((read.links.len(), read.vips[0].kernel), (0, None));
        assert_eq!((read.node.addresses.len(), read.peers[0].addresses.len()), (0, 0));
    }

    #[test]
    fn a_mode_has_one_name() {
        for mode in [LinkMode::Off, LinkMode::Tc, LinkMode::Xdp, LinkMode::XdpGeneric] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
    }

    #[test]
    fn every_field_is_documented() {
        fn walk(path: &str, value: &serde_json::Value) {
            match value {
                serde_json::Value::Object(fields) => {
                    for (name, value) in fields {
                        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                        assert!(DOCS.contains(&format!("| `{path}` |")), "docs/status.md lacks {path}");
                        walk(&path, value);
                    }
                }
                serde_json::Value::Array(items) => {
                    for item in items {
                        walk(&format!("{path}[]"), item);
                    }
                }
                _ => {}
            }
        }
        walk("", &serde_json::from_str(GOLDEN).unwrap());
    }
}
