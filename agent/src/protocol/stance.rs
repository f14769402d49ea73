//! How a node stands to a VIP.

use std::time::Duration;

use super::key::Epoch;

/// What this node does about one VIP: the rows of the data plane's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stance {
    /// Silent: no address, no answer, no announcement.
    Off,
    /// Wears the VIP: the address is in place, ARP and NS are answered, changes are announced.
    Owner {
        /// The epoch it is worn under.
        epoch: Epoch,
        /// How long after a renewal the record lets this node answer at worst: no fence that may be slower will do.
        bound: Duration,
    },
}
