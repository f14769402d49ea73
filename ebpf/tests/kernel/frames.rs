//! Frames, made by another implementation than ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, PacketBuilder};
use mantle_ebpf::wire::{Mac, solicited_node};

use crate::lab::{ASKER, OWN};

pub(crate) const VIP4: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 15);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15);
/// Who asks.
pub(crate) const HOST4: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 9);
pub(crate) const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
/// Addresses of no VIP, one of which the filter admits all the same.
pub(crate) const OTHER4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 0, 16), Ipv4Addr::new(10, 0, 0, 15)];
pub(crate) const OTHER6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x16), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, 0x15)];

/// An ARP packet in its frame.
pub(crate) fn arp(
    destination: Mac,
    operation: ArpOperation,
    (sender_mac, sender): (Mac, Ipv4Addr),
    (target_mac, target): (Mac, Ipv4Addr),
) -> Vec<u8> {
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &sender_mac.0,
        &sender.octets(),
        &target_mac.0,
        &target.octets(),
    )
    .unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(sender_mac.0, destination.0).arp(arp).write(&mut frame).unwrap();
    frame
}

/// Who has `target`? asked by [`ASKER`].
pub(crate) fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    arp(Mac::BROADCAST, ArpOperation::REQUEST, (ASKER, HOST4), (Mac::ZERO, target))
}

/// `ip` is at `mac`, to everybody, as a request or a reply.
pub(crate) fn gratuitous(operation: ArpOperation, mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    arp(Mac::BROADCAST, operation, (mac, ip), (mac, ip))
}

/// The link-layer option of a solicitation.
pub(crate) fn source_option(mac: Mac) -> Vec<u8> {
    [&[1, 1], mac.0.as_slice()].concat()
}

/// The link-layer option of an advertisement.
pub(crate) fn target_option(mac: Mac) -> Vec<u8> {
    [&[2, 1], mac.0.as_slice()].concat()
}

/// A message of neighbour discovery with its options.
pub(crate) fn ndp(
    kind: Icmpv6Type,
    (source_mac, source): (Mac, Ipv6Addr),
    (destination_mac, destination): (Mac, Ipv6Addr),
    target: Ipv6Addr,
    options: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(source_mac.0, destination_mac.0)
        .ipv6(source.octets(), destination.octets(), 255)
        .icmpv6(kind)
        .write(&mut frame, &[target.octets().as_slice(), options].concat())
        .unwrap();
    frame
}

/// Who has `target`? asked of everybody who might.
pub(crate) fn solicitation(target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    ndp(
        Icmpv6Type::NeighborSolicitation,
        (ASKER, HOST6),
        (Mac::of_group(group), group),
        target,
        &source_option(ASKER),
    )
}

/// Has anybody `target`? asked before taking it.
pub(crate) fn probe(target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let from = (ASKER, Ipv6Addr::UNSPECIFIED);
    ndp(Icmpv6Type::NeighborSolicitation, from, (Mac::of_group(group), group), target, &[])
}

/// `target` is at `mac`, to everybody.
pub(crate) fn advertisement(mac: Mac, target: Ipv6Addr) -> Vec<u8> {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let header =
        etherparse::icmpv6::NeighborAdvertisementHeader { router: false, solicited: false, r#override: true };
    ndp(
        Icmpv6Type::NeighborAdvertisement(header),
        (mac, target),
        (Mac::of_group(all), all),
        target,
        &target_option(mac),
    )
}

/// A datagram.
pub(crate) fn udp(
    (source_mac, source): (Mac, IpAddr),
    (destination_mac, destination): (Mac, IpAddr),
) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(source_mac.0, destination_mac.0);
    let mut frame = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), 64).udp(1000, 80)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), 64).udp(1000, 80)
        }
        _ => panic!("{source} cannot speak to {destination}"),
    }
    .write(&mut frame, b"hello, mantle")
    .unwrap();
    frame
}

/// A datagram to that address, at this node.
pub(crate) fn udp_to(destination: IpAddr) -> Vec<u8> {
    let source = if destination.is_ipv4() { HOST4.into() } else { HOST6.into() };
    udp((ASKER, source), (OWN, destination))
}

/// A datagram from that address, from this node.
pub(crate) fn udp_from(source: IpAddr) -> Vec<u8> {
    let destination = if source.is_ipv4() { HOST4.into() } else { HOST6.into() };
    udp((OWN, source), (ASKER, destination))
}

/// TCP's flags.
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

/// A segment, between these ports.
pub(crate) fn tcp(
    (source, source_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
    flags: u8,
) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(ASKER.0, OWN.0);
    let (mut frame, payload) = (Vec::new(), b"hello, mantle");
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), 64)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), 64)
        }
        _ => panic!("{source} cannot speak to {destination}"),
    };
    ip.tcp(source_port, destination_port, 1, 1000).write(&mut frame, payload).unwrap();
    let flags_at = frame.len() - payload.len() - 20 + 13;
    with(frame, flags_at, &[flags])
}

/// A segment to that address, at this node.
pub(crate) fn tcp_to(destination: IpAddr, flags: u8) -> Vec<u8> {
    let source = if destination.is_ipv4() { HOST4.into() } else { HOST6.into() };
    tcp((source, 1000), (destination, 80), flags)
}

/// The IPv6 frame with extension headers: each by its number, and what comes after its own next header.
pub(crate) fn extended(mut frame: Vec<u8>, extensions: &[(u8, &[u8; 7])]) -> Vec<u8> {
    for (kind, rest) in extensions.iter().rev() {
        let next = std::mem::replace(&mut frame[20], *kind);
        frame.splice(54..54, [&[next], rest.as_slice()].concat());
    }
    frame
}

/// The frame with the bytes at an offset replaced.
pub(crate) fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame with bytes put in at an offset.
pub(crate) fn with_inserted(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame.splice(offset..offset, bytes.iter().copied());
    frame
}

/// The frame with a VLAN tag.
pub(crate) fn tagged(frame: Vec<u8>) -> Vec<u8> {
    with_inserted(frame, 12, &[0x81, 0, 0, 10])
}

/// The frame with the checksum of its `ICMPv6` message made right, whatever else is wrong with it.
pub(crate) fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    let Ok((mut header, payload)) = etherparse::Icmpv6Header::from_slice(&frame[54..]) else {
        return frame;
    };
    let address = |at: usize| frame[at..at + 16].try_into().unwrap();
    if header.update_checksum(address(22), address(38), payload).is_ok() {
        frame[56..58].copy_from_slice(&header.checksum.to_be_bytes());
    }
    frame
}
