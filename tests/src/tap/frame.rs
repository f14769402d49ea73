//! What a frame says about a VIP. Read with etherparse, not with the agent's own code: the judge must not share its
//! mistakes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
use etherparse::{
    ArpOperation, ArpPacketSlice, Icmpv6Type, LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice,
};
use mantle::protocol::Instant;
use mantle::wire::Mac;

/// How a frame uses an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// An ARP request from the address, for another.
    ArpRequest,
    /// An ARP answer for the address.
    ArpReply,
    /// An announcement by ARP request.
    GratuitousRequest,
    /// An announcement by ARP reply.
    GratuitousReply,
    /// A neighbour solicitation from the address.
    NeighbourSolicit,
    /// A neighbour advertisement that answers a solicitation.
    NeighbourAdvert,
    /// A neighbour advertisement nobody asked for: an announcement.
    UnsolicitedAdvert,
    /// An IP packet with the address as its source.
    Ip,
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ArpRequest => "ARP request",
            Self::ArpReply => "ARP reply",
            Self::GratuitousRequest => "gratuitous ARP request",
            Self::GratuitousReply => "gratuitous ARP reply",
            Self::NeighbourSolicit => "NS",
            Self::NeighbourAdvert => "NA",
            Self::UnsolicitedAdvert => "unsolicited NA",
            Self::Ip => "IP",
        })
    }
}

/// A frame by which a host acted as owner of an address that is not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it came in at the switch.
    pub at: Instant,
    /// The host at the port it came in on.
    pub host: Arc<str>,
    /// What it says.
    pub claim: Claim,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The address it announces, answers for or uses as sender.
    pub vip: IpAddr,
    /// How.
    pub kind: FrameKind,
    /// The MAC that it gives for the address.
    pub mac: Mac,
}

/// What a frame says about its sender's addresses: two things at most (an advertisement from one address for
/// another). Frames that say nothing of the kind, and broken ones, give nothing.
pub(super) fn claims(frame: &[u8]) -> Vec<Claim> {
    let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else { return Vec::new() };
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { return Vec::new() };
    let sender = Mac(ethernet.source());
    match &packet.net {
        Some(LaxNetSlice::Arp(arp)) => arp_claim(arp).into_iter().collect(),
        Some(LaxNetSlice::Ipv4(ip)) => {
            vec![Claim { vip: ip.header().source_addr().into(), kind: FrameKind::Ip, mac: sender }]
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let source = ip.header().source_addr();
            let mut claims = Vec::with_capacity(2);
            let mut kind = FrameKind::Ip;
            if let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport {
                match icmp.icmp_type() {
                    Icmpv6Type::NeighborSolicitation => kind = FrameKind::NeighbourSolicit,
                    Icmpv6Type::NeighborAdvertisement(header) => {
                        kind = if header.solicited {
                            FrameKind::NeighbourAdvert
                        } else {
                            FrameKind::UnsolicitedAdvert
                        };
                        claims.extend(advertised(icmp, kind, sender));
                    }
                    _ => {}
                }
            }
            if claims.iter().all(|claim| claim.vip != IpAddr::V6(source)) {
                claims.push(Claim { vip: source.into(), kind, mac: sender });
            }
            claims
        }
        None => Vec::new(),
    }
}

fn arp_claim(arp: &ArpPacketSlice<'_>) -> Option<Claim> {
    let sender = address(arp.sender_protocol_addr())?;
    let announces = address(arp.target_protocol_addr()) == Some(sender);
    let kind = match (arp.operation(), announces) {
        (ArpOperation::REQUEST, false) => FrameKind::ArpRequest,
        (ArpOperation::REQUEST, true) => FrameKind::GratuitousRequest,
        (_, false) => FrameKind::ArpReply,
        (_, true) => FrameKind::GratuitousReply,
    };
    // RFC 5227 section 2.1.1: a probe carries no sender address, so that it claims nothing.
    let claims = !sender.is_unspecified();
    claims.then_some(Claim { vip: sender.into(), kind, mac: Mac(arp.sender_hw_addr().try_into().ok()?) })
}

fn advertised(icmp: &etherparse::Icmpv6Slice<'_>, kind: FrameKind, sender: Mac) -> Option<Claim> {
    let Ok(Icmpv6PayloadSlice::NeighborAdvertisement(advert)) = icmp.payload_slice() else { return None };
    let target_mac = advert.options_iterator().find_map(|option| match option {
        Ok(NdpOptionSlice::TargetLinkLayerAddress(option)) => option.link_layer_address().try_into().ok(),
        _ => None,
    });
    let target: Ipv6Addr = advert.target_address();
    Some(Claim { vip: target.into(), kind, mac: target_mac.map_or(sender, Mac) })
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}
