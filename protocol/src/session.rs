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
    /// The node's own addresses, the first before the others; none if it publishes none. For people: nothing is decided by them.
    pub addresses: Vec<IpAddr>,
    /// The VIPs the node could serve now.
    pub ready: BTreeSet<IpAddr>,
    /// Who goes first: higher before lower, then by name.
    pub priority: u32,
    /// What it says of handoffs.
    pub handoffs: Handoffs,
    /// Grows with each renewal that is decided: tells a later word from an earlier one, in whatever order etcd takes them.
    pub counter: u64,
}

/// What a node says of handoffs: the whole of what two nodes tell each other of one goes through their sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Handoffs {
    /// Whether it can take part in one: the kernel program fences all that it is ready for.
    pub able: bool,
    /// The VIPs that it wants to hand over, is handing over, or has handed over and still drains.
    pub offers: BTreeMap<IpAddr, Offer>,
    /// The VIPs for which it is prepared to follow their owner, or which it was handed and whose former owner still drains.
    pub prepared: BTreeMap<IpAddr, Preparation>,
}

/// An owner's offer of a VIP to the one node that is to follow it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offer {
    /// That node.
    pub to: NodeName,
    /// E of that node's session.
    pub session: Revision,
    /// Tells this offer from every earlier one of the same session.
    pub number: u64,
    /// The MAC that the owner answers with.
    pub mac: Mac,
}

/// What a successor says to the owner that offers it a VIP: that it is prepared, and later that it answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Preparation {
    /// E of the owner's session.
    pub session: Revision,
    /// The number of the offer.
    pub number: u64,
    /// The MAC that this node will answer with.
    pub mac: Mac,
    /// Whether it answers: it is the owner, and its kernel has confirmed that. Not to say that it is prepared does not mean
    /// that: a lease that ended for a moment takes that word back, too. A node that has become owner says nothing until then.
    pub answers: bool,
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
