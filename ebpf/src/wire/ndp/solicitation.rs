//! Neighbour solicitations: who has this address?

use core::net::Ipv6Addr;

use super::{Advertisement, ip6, is_solicited_node, message};
use crate::wire::ether::{self, Ether};
use crate::wire::{Mac, checksum, field};

/// Why a frame is no solicitation to answer: the list of RFC 4861 §7.1.1, and what precedes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSolicitation {
    /// Something else altogether: nothing to judge here.
    NotSolicitation,
    /// The payload does not end where the frame does, so that not all of the message is here.
    Length,
    /// The hop limit is not 255: it may have come through a router.
    HopLimit,
    /// The code is not 0.
    Code,
    /// The source is a group, which nobody can answer (RFC 4291 §2.7).
    Source,
    /// The target is a group.
    Target,
    /// An option of no length, or one that ends beyond the message.
    Options,
    /// A source of `::`, but not to a solicited-node group.
    ProbeDestination,
    /// A source of `::`, but with a source link-layer option.
    ProbeOption,
    /// The checksum is wrong.
    Checksum,
}

/// A valid neighbour solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// The MAC to answer to: what the source link-layer option says, else the frame's source.
    pub asker_mac: Mac,
    /// Who asks; `::` if it is about to take the address itself.
    pub asker: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
}

impl Solicitation {
    /// How long a frame without options is; each option adds 8 or a multiple.
    pub const LEN: usize = message::OPTIONS;

    /// Reads a frame of `Self::LEN` and as many times 8 bytes more as its payload length asks for.
    ///
    /// Linux sends 86 bytes: one option, the source link-layer address, or a nonce when it detects duplicates (RFC 7527).
    #[inline(always)]
    pub fn parse<const LEN: usize>(frame: &[u8; LEN]) -> Result<Self, BadSolicitation> {
        const { assert!(LEN >= Self::LEN && (LEN - Self::LEN).is_multiple_of(8), "whole options") };
        let link = Ether::read(frame);
        let [version] = field::get::<{ ip6::VERSION }, 1, _>(frame);
        if link.ethertype != ether::IPV6
            || version >> 4 != 6
            || field::get::<{ ip6::NEXT_HEADER }, 1, _>(frame) != [ip6::ICMPV6]
            || field::get::<{ message::TYPE }, 1, _>(frame) != [message::SOLICITATION]
        {
            return Err(BadSolicitation::NotSolicitation);
        }
        let payload = u16::from_be_bytes(field::get::<{ ip6::PAYLOAD_LENGTH }, 2, _>(frame));
        if usize::from(payload) != LEN - ip6::END {
            return Err(BadSolicitation::Length);
        }
        if field::get::<{ ip6::HOP_LIMIT }, 1, _>(frame) != [ip6::FROM_THE_LINK] {
            return Err(BadSolicitation::HopLimit);
        }
        if field::get::<{ message::CODE }, 1, _>(frame) != [0] {
            return Err(BadSolicitation::Code);
        }
        let asker = Ipv6Addr::from_octets(field::get::<{ ip6::SOURCE }, 16, _>(frame));
        if asker.is_multicast() {
            return Err(BadSolicitation::Source);
        }
        let target = Ipv6Addr::from_octets(field::get::<{ message::TARGET }, 16, _>(frame));
        if target.is_multicast() {
            return Err(BadSolicitation::Target);
        }
        let source_link = source_link_option(frame)?;
        if asker.is_unspecified() {
            let destination = Ipv6Addr::from_octets(field::get::<{ ip6::DESTINATION }, 16, _>(frame));
            if !is_solicited_node(destination) {
                return Err(BadSolicitation::ProbeDestination);
            }
            if source_link.is_some() {
                return Err(BadSolicitation::ProbeOption);
            }
        }
        // Last, as it is the only one that reads the whole frame.
        if checksum::icmpv6(frame) != 0 {
            return Err(BadSolicitation::Checksum);
        }
        // A group address would make every answer a broadcast.
        let asker_mac = source_link.filter(|mac| !mac.is_group()).unwrap_or(link.source);
        Ok(Self { asker_mac, asker, target })
    }

    /// Whether it asks if anybody has the target, before taking it (RFC 4862 §5.4).
    #[inline(always)]
    pub fn is_probe(&self) -> bool {
        self.asker.is_unspecified()
    }

    /// The answer: `owner` has the target, and is a router or not. A probe is answered to all nodes and unsolicited, as
    /// its sender has no address yet (RFC 4861 §7.2.4).
    ///
    /// `source` is the port the answer leaves by. While a VIP is handed over `owner` is another node, and a frame sent
    /// in that node's name would teach the switches a wrong port.
    #[inline(always)]
    pub fn answer(&self, source: Mac, owner: Mac, router: bool) -> Advertisement {
        let to_all = Advertisement { source, ..Advertisement::unsolicited(self.target, owner, router) };
        if self.is_probe() {
            to_all
        } else {
            Advertisement {
                destination: self.asker_mac,
                destination_ip: self.asker,
                solicited: true,
                ..to_all
            }
        }
    }
}

/// Walks the options (RFC 4861 §4.6) and gives what the first source link-layer option holds.
#[inline(always)]
fn source_link_option<const LEN: usize>(frame: &[u8; LEN]) -> Result<Option<Mac>, BadSolicitation> {
    let (units, _) = frame.split_at(message::OPTIONS).1.as_chunks::<8>();
    let mut found = None;
    // By units of 8 bytes rather than from option to option: the offset must not depend on what the packet says.
    let mut rest_of_option = 0;
    for [kind, length, mac @ ..] in units {
        if rest_of_option > 0 {
            rest_of_option -= 1;
            continue;
        }
        if *length == 0 {
            return Err(BadSolicitation::Options);
        }
        if *kind == message::SOURCE_LINK && found.is_none() {
            found = Some(Mac(*mac));
        }
        rest_of_option = *length - 1;
    }
    if rest_of_option > 0 {
        return Err(BadSolicitation::Options);
    }
    Ok(found)
}
