//! Neighbour discovery (RFC 4861): solicitations read, advertisements built.

use core::net::Ipv6Addr;

mod advertisement;
mod solicitation;

pub use advertisement::Advertisement;
pub use solicitation::{BadSolicitation, Solicitation};

/// Where the fields of the IPv6 header stand in a frame (RFC 8200 §3), and what they hold for neighbour discovery.
pub(super) mod ip6 {
    use crate::wire::ether::Ether;

    pub(in crate::wire) const VERSION: usize = Ether::LEN;
    pub(in crate::wire) const PAYLOAD_LENGTH: usize = VERSION + 4;
    pub(in crate::wire) const NEXT_HEADER: usize = PAYLOAD_LENGTH + 2;
    pub(in crate::wire) const HOP_LIMIT: usize = NEXT_HEADER + 1;
    pub(in crate::wire) const SOURCE: usize = HOP_LIMIT + 1;
    pub(in crate::wire) const DESTINATION: usize = SOURCE + 16;
    /// Where the header ends and the message begins.
    pub(in crate::wire) const END: usize = DESTINATION + 16;

    /// The next header that says `ICMPv6` (RFC 4443 §2.1).
    pub(in crate::wire) const ICMPV6: u8 = 58;
    /// No router passes on what arrives with it: the sender is on the link (RFC 4861 §3.1).
    pub(in crate::wire) const FROM_THE_LINK: u8 = 255;
}

/// Where the fields of both messages stand in a frame (RFC 4861 §4.3, §4.4).
mod message {
    use super::ip6;

    pub(super) const TYPE: usize = ip6::END;
    pub(super) const CODE: usize = TYPE + 1;
    pub(super) const CHECKSUM: usize = CODE + 1;
    pub(super) const FLAGS: usize = CHECKSUM + 2;
    pub(super) const TARGET: usize = FLAGS + 4;
    pub(super) const OPTIONS: usize = TARGET + 16;

    pub(super) const SOLICITATION: u8 = 135;
    pub(super) const ADVERTISEMENT: u8 = 136;

    /// The option that holds the sender's MAC (§4.6.1).
    pub(super) const SOURCE_LINK: u8 = 1;
    /// The option that holds the target's MAC (§4.6.1).
    pub(super) const TARGET_LINK: u8 = 2;
}

/// The group every holder of `address` listens to (RFC 4291 §2.7.1).
#[inline(always)]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Whether the address is a solicited-node group, of whatever address.
#[inline(always)]
fn is_solicited_node(group: Ipv6Addr) -> bool {
    group == solicited_node(group)
}

#[cfg(test)]
mod tests;
