//! What a frame says about a VIP. Read with etherparse, not with the agent's own code: the judge must not share its
//! mistakes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
use etherparse::{
    ArpOperation, ArpPacketSlice, Icmpv6Type, LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice,
};
use mantle::wire::Mac;
use mantle_protocol::Instant;

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

impl FrameKind {
    /// Whether it tells every neighbour, unasked, where the address is.
    pub fn is_announcement(self) -> bool {
        matches!(self, Self::GratuitousRequest | Self::GratuitousReply | Self::UnsolicitedAdvert)
    }
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
    /// The MAC that it came from.
    pub from: Mac,
    /// What it says.
    pub claim: Claim,
}

impl Frame {
    /// Whether it says that the address is at another's MAC: so does the answer of an owner that hands it over.
    pub fn names_another(&self) -> bool {
        self.claim.mac != self.from
    }
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
pub(crate) fn claims(frame: &[u8]) -> Vec<Claim> {
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

#[cfg(test)]
mod tests {
    use etherparse::icmpv6::NeighborAdvertisementHeader;
    use etherparse::{ArpHardwareId, ArpPacket, EtherType, PacketBuilder};

    use super::*;

    const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const GIVEN: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const VIP: [u8; 4] = [10, 0, 0, 1];
    const OTHER: [u8; 4] = [10, 0, 0, 2];

    fn arp(operation: ArpOperation, from: [u8; 4], to: [u8; 4]) -> Vec<FrameKind> {
        let ethernet = ArpHardwareId::ETHERNET;
        let arp = ArpPacket::new(ethernet, EtherType::IPV4, operation, &GIVEN, &from, &[0; 6], &to).unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(SENDER, [0xff; 6]).arp(arp).write(&mut frame).unwrap();
        let claims = claims(&frame);
        assert!(
            claims.iter().all(|claim| claim.vip == IpAddr::from(from) && claim.mac == Mac(GIVEN)),
            "{claims:?}"
        );
        claims.into_iter().map(|claim| claim.kind).collect()
    }

    fn icmpv6(from: Ipv6Addr, kind: Icmpv6Type, body: &[u8]) -> Vec<Claim> {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(SENDER, [0x33; 6]).ipv6(from.octets(), [0xff; 16], 255);
        builder.icmpv6(kind).write(&mut frame, body).unwrap();
        claims(&frame)
    }

    #[test]
    fn arp_claims_its_sender_address_and_a_probe_claims_nothing() {
        assert_eq!(arp(ArpOperation::REQUEST, VIP, OTHER), [FrameKind::ArpRequest]);
        assert_eq!(arp(ArpOperation::REPLY, VIP, OTHER), [FrameKind::ArpReply]);
        assert_eq!(arp(ArpOperation::REQUEST, VIP, VIP), [FrameKind::GratuitousRequest]);
        assert_eq!(arp(ArpOperation::REPLY, VIP, VIP), [FrameKind::GratuitousReply]);
        assert_eq!(arp(ArpOperation::REQUEST, [0; 4], VIP), []);
    }

    #[test]
    fn an_advertisement_claims_its_target_and_its_source() {
        let (vip, own): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let kind = |solicited| {
            Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
                router: false,
                solicited,
                r#override: true,
            })
        };
        let with_option = [&vip.octets()[..], &[2, 1], &GIVEN].concat();
        let claim = |vip: Ipv6Addr, kind, mac| Claim { vip: vip.into(), kind, mac: Mac(mac) };

        let announced = claim(vip, FrameKind::UnsolicitedAdvert, GIVEN);
        assert_eq!(icmpv6(vip, kind(false), &with_option), [announced]);
        let from_own = claim(own, FrameKind::UnsolicitedAdvert, SENDER);
        assert_eq!(icmpv6(own, kind(false), &with_option), [announced, from_own]);
        let answered = claim(vip, FrameKind::NeighbourAdvert, SENDER);
        assert_eq!(
            icmpv6(vip, kind(true), &vip.octets()),
            [answered],
            "without the option the sender's MAC counts"
        );
    }

    #[test]
    fn a_solicitation_and_any_packet_claim_their_source() {
        let vip: Ipv6Addr = "fd00::1".parse().unwrap();
        let kinds = |claims: Vec<Claim>| claims.into_iter().map(|claim| claim.kind).collect::<Vec<_>>();
        let asked = icmpv6(vip, Icmpv6Type::NeighborSolicitation, &[0; 16]);
        assert_eq!(kinds(asked), [FrameKind::NeighbourSolicit]);
        let mut packet = Vec::new();
        PacketBuilder::ethernet2(SENDER, GIVEN)
            .ipv4(VIP, OTHER, 64)
            .udp(1, 2)
            .write(&mut packet, &[7; 600])
            .unwrap();
        packet.truncate(256);
        assert_eq!(claims(&packet), [Claim { vip: VIP.into(), kind: FrameKind::Ip, mac: Mac(SENDER) }]);
        assert_eq!(claims(&packet[..20]), []);
        assert_eq!(claims(b"x"), []);
    }
}
