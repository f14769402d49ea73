//! What the keys hold: a node's session, a VIP's record.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;

use super::key::{NodeName, Revision};

/// A node's standing in etcd, as `node/<name>` holds it. Its key's create revision, E, marks the incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The machine the node runs on, this boot of it: tells a restarted agent from another machine of the same name.
    pub machine: String,
    /// How long the node may *at worst* go on answering after it sent a renewal. Fixed for the session.
    pub bound: Duration,
    /// R: how often the node renews while it is owner; five times slower while it is not.
    pub renew: Duration,
    /// The MAC the node answers with, per link.
    pub links: BTreeMap<String, Mac>,
    /// The VIPs the node could wear now.
    pub ready: BTreeSet<IpAddr>,
    /// Who goes first: higher before lower, then by name.
    pub priority: u32,
    /// Counts the renewals of the session.
    pub counter: u64,
}

/// Who holds a VIP: a node by name and session, and how long that session may at worst go on answering.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The node.
    pub node: NodeName,
    /// E: the create revision of the node's session.
    pub session: Revision,
    /// The session's bound, so that a standby that never saw the session knows how long to wait.
    pub bound: Duration,
}

/// A VIP's record, as `vip/<ip>` holds it. Its key's mod revision is the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The owner; nobody after a voluntary release.
    pub owner: Option<Holder>,
}

/// What a key of ours holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A node's session.
    Session(Session),
    /// A VIP's record.
    Record(Record),
    /// Something that somebody else wrote there.
    Garbage,
}
