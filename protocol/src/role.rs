//! How a node stands to a VIP.

use std::time::Duration;

use mantle_ebpf::wire::Mac;

use super::key::Epoch;

/// What this node does about one VIP: the rows of the data plane's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Silent: no address, no answer, no announcement.
    Off,
    /// About to follow the owner: the address is in place, the fence closed.
    Prepared {
        /// The owner's MAC.
        from: Mac,
    },
    /// Wears the VIP: the address is in place, ARP and NS are answered, changes are announced.
    Owner {
        /// The epoch it is served under.
        epoch: Epoch,
        /// How long after a renewal the record lets this node answer at worst: no fence that may be slower will do.
        bound: Duration,
        /// The former owner's MAC, while that still serves the connections opened on it.
        drain: Option<Mac>,
    },
    /// Hands the VIP over: asked where it is, names the successor; what arrives is still served.
    Yielding {
        /// The successor's MAC.
        to: Mac,
        /// The number of the offer: a confirmation of an earlier yielding is none of this one.
        number: u64,
    },
    /// Has handed the VIP over: silent, serves the connections it still has, sends on the rest.
    Forwarding {
        /// The successor's MAC.
        to: Mac,
    },
}
