//! How a node stands to a VIP.

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
    },
}
