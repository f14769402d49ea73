//! What a node is told, and what it wants done.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;

use super::notice::Notice;
use crate::{Answer, Change, Health, Instant, NodeName, Revision, Role, Txn};

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The instant that [`Node::deadline`](super::Node::deadline) named has come.
    Tick,
    /// What an earlier agent on this machine left.
    Found {
        /// The VIPs whose addresses stand on their links. Those of which the config knows nothing are named only if they
        /// could not be taken off, and [`Event::RoleConfirmed`] tells when they are.
        standing: BTreeSet<IpAddr>,
        /// Those of them that it left halfway in a handoff: it may have sent what hands them over, to be carried out late.
        halfway: BTreeSet<IpAddr>,
    },
    /// The MACs of the links and the VIPs that could be served now, whenever either changes.
    Facts {
        /// The MAC per link that carries a VIP.
        links: BTreeMap<String, Mac>,
        /// The VIPs that could be served now.
        ready: BTreeSet<IpAddr>,
        /// How long this node may at worst go on answering after it sent a renewal, for any of these: what the fence in
        /// force allows. Told before a VIP that it is for becomes ready.
        bound: Duration,
        /// The MAC that each VIP is answered with, where the kernel program can carry a handoff of it.
        macs: BTreeMap<IpAddr, Mac>,
    },
    /// The node's own addresses, whenever their choice changes: published with the next renewal.
    Addresses(Vec<IpAddr>),
    /// How the node's checks judge the VIPs that have any, whenever that changes. The others are in good health.
    Health(BTreeMap<IpAddr, Health>),
    /// The kernel confirmed a VIP's role.
    RoleConfirmed(IpAddr, Role),
    /// All keys, listed at a revision, before a watch starts anew.
    Listed(Revision, Vec<Change>),
    /// News from the watch.
    Changed(Vec<Change>),
    /// What became of a request; `sent` is the instant before the try that was answered was sent (I3).
    Answered {
        /// The request, as it was asked for.
        request: Request,
        /// When the answered try was sent.
        sent: Instant,
        /// The answer.
        answer: Answer,
    },
    /// A renewal that has been answered was sent more than once, and a further try of it was acknowledged, too.
    AcknowledgedToo {
        /// The session it was decided under.
        session: Option<Revision>,
        /// When that try was sent (I3).
        sent: Instant,
    },
    /// Somebody wants a VIP handed over: to this node, or to whichever is best.
    HandOff {
        /// The VIP.
        vip: IpAddr,
        /// The node that was asked for.
        to: Option<NodeName>,
    },
    /// No connection is left on a VIP that was handed over.
    Drained(IpAddr),
    /// The agent is to end: hand everything over, or release it in order.
    Stop,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Commit a transaction and answer with [`Event::Answered`].
    Commit(Request),
    /// Give a VIP this role, and confirm it with [`Event::RoleConfirmed`].
    AssumeRole(IpAddr, Role),
    /// The lease of this session now lasts until then.
    Grant(Revision, Instant),
    /// The lease of this session is over at once.
    Revoke(Revision),
    /// The watch has missed something: list and watch anew.
    Relist,
    /// Worth telling a person.
    Notify(Notice),
    /// Everything is released; nothing is left to do.
    Ended,
}

/// A transaction and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// What it is for.
    pub purpose: Purpose,
    /// The session it was decided under; its answer means nothing to a later one (I6).
    pub session: Option<Revision>,
    /// The transaction.
    pub txn: Txn,
    /// When it was decided: before it is sent (I3).
    pub decided: Instant,
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Start a session.
    Start,
    /// Go on with the session that an earlier agent on this machine left.
    Resume,
    /// Renew the session.
    Renew,
    /// Take up VIPs that nobody holds.
    Claim,
    /// Take over from a silent owner.
    TakeOver,
    /// Hand VIPs over to the node that is prepared for them.
    HandOver,
    /// Give up VIPs.
    Release,
    /// Clear away a session that has long been silent.
    Clear,
    /// End the session.
    End,
}
