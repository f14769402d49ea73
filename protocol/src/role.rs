//! What a node's kernel does for a VIP.

use std::time::Duration;

use mantle_ebpf::wire::Mac;

use super::key::Epoch;

/// What a node's kernel does for one VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Silent: no address, no answer, no announcement.
    Off,
    /// The node is about to follow the owner: the address is in place, the fence is closed.
    Prepared {
        /// The owner's MAC.
        from: Mac,
    },
    /// Serves the VIP: the address is in place, ARP and NS are answered, changes are announced.
    Owner {
        /// The epoch it is served under.
        epoch: Epoch,
        /// How long after a renewal the record lets this node answer at worst: no fence that may be slower will do.
        bound: Duration,
        /// The former owner's MAC, while that still serves the connections opened on it.
        drain: Option<Mac>,
    },
    /// The node hands the VIP over: its kernel names the successor when asked where the VIP is, and what arrives is still served.
    Yielding {
        /// The successor's MAC.
        to: Mac,
        /// The number of the offer: a confirmation of an earlier yielding is none of this one.
        number: u64,
    },
    /// The node has handed the VIP over: it is silent, serves the connections that it still has, and sends on the rest.
    Forwarding {
        /// The successor's MAC.
        to: Mac,
    },
}
