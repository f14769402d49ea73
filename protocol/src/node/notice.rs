//! What a node tells people: what happened to a VIP or to the session.

use std::net::IpAddr;
use std::time::Duration;

use super::no_handoff::NoHandoff;
use crate::{Epoch, Key, NodeName, Revision};

/// What a person wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A session began.
    SessionStarted(Revision),
    /// An earlier agent's session goes on.
    SessionResumed(Revision),
    /// The session is lost: everything is disarmed.
    SessionLost(Revision),
    /// The node's name is in live use by another machine.
    NameInUse {
        /// That machine.
        machine: String,
    },
    /// This node became owner.
    BecameOwner {
        /// The VIP.
        vip: IpAddr,
        /// The epoch.
        epoch: Epoch,
        /// How it came about.
        how: How,
    },
    /// Another node became owner, or nobody is.
    OwnerIs {
        /// The VIP.
        vip: IpAddr,
        /// The owner by the record.
        owner: Option<NodeName>,
        /// The epoch.
        epoch: Epoch,
    },
    /// The lease ended without a renewal: the VIPs this node served are dropped.
    LeaseExpired {
        /// How many VIPs it served.
        vips: usize,
    },
    /// The lease was renewed and the VIPs are served again.
    LeaseRegained {
        /// How many VIPs it serves.
        vips: usize,
    },
    /// A VIP is offered to another node.
    Offered {
        /// The VIP.
        vip: IpAddr,
        /// That node.
        to: NodeName,
    },
    /// A VIP was handed over.
    HandedOver {
        /// The VIP.
        vip: IpAddr,
        /// Its new owner.
        to: NodeName,
        /// The new owner's epoch.
        epoch: Epoch,
        /// How long it took, from the offer.
        took: Duration,
    },
    /// A VIP that was to be handed over stays, or is plainly released.
    NotHandedOver {
        /// The VIP.
        vip: IpAddr,
        /// Why.
        why: NoHandoff,
    },
    /// The drain of a VIP that was handed over has ended.
    DrainEnded {
        /// The VIP.
        vip: IpAddr,
    },
    /// A VIP was released.
    Released {
        /// The VIP.
        vip: IpAddr,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A key of ours holds something that nobody of us wrote; it is ignored.
    Garbage(Key),
    /// A session that had long been silent was cleared away.
    Cleared(NodeName),
}

/// How a node became owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// Nobody held the VIP.
    Claimed,
    /// The owner was silent.
    TookOver {
        /// Whom from.
        from: NodeName,
        /// For how long it had been silent.
        silence: Duration,
    },
    /// The owner handed it over.
    HandedOver {
        /// Whom from.
        from: NodeName,
    },
    /// It was owner before its agent was restarted.
    Resumed,
}
