//! Where the programs look before they know if a frame is well-formed: at the places where a good one has its
//! addresses.

use super::Frame;
use crate::layout::Address;
use crate::wire::Mac;
use crate::wire::field::get;

/// What the payload is, by its ethertype.
pub(super) enum Payload {
    Arp,
    Ipv4,
    Ipv6,
    Other,
}

/// The Ethernet header.
pub(super) const ETHER: usize = 14;
/// Up to the end of an ARP packet for IPv4.
pub(super) const ARP: usize = ETHER + 28;
/// SPA.
pub(super) const ARP_SENDER: usize = 28;
/// Up to its end.
pub(super) const ARP_SENDER_END: usize = ARP_SENDER + 4;
/// Up to the end of an IPv4 header without options, which come after the addresses.
pub(super) const IPV4: usize = ETHER + 20;
/// Up to the end of the IPv6 header.
pub(super) const IPV6: usize = ETHER + 40;
/// The checksum of an `ICMPv6` message.
pub(super) const ICMPV6_CHECKSUM: usize = IPV6 + 2;
/// Up to its end.
pub(super) const ICMPV6_CHECKSUM_END: usize = ICMPV6_CHECKSUM + 2;
/// Up to the end of the target of a neighbour solicitation or advertisement.
pub(super) const NDP: usize = IPV6 + 24;
/// Up to the end of its first option, if that is a link-layer address.
pub(super) const NDP_OPTION: usize = NDP + 8;

#[inline(always)]
pub(super) fn payload(head: &[u8; ETHER]) -> Payload {
    match get::<12, 2, _>(head) {
        [0x08, 0x00] => Payload::Ipv4,
        [0x86, 0xdd] => Payload::Ipv6,
        [0x08, 0x06] => Payload::Arp,
        _ => Payload::Other,
    }
}

/// Where the frame goes.
#[inline(always)]
pub(super) fn destination<const N: usize>(head: &[u8; N]) -> Mac {
    Mac(get::<0, 6, N>(head))
}

/// Who sent the frame.
#[inline(always)]
pub(super) fn source<const N: usize>(head: &[u8; N]) -> Mac {
    Mac(get::<6, 6, N>(head))
}

/// Whether an ARP packet answers, whatever its header says of it.
#[inline(always)]
pub(super) fn is_arp_reply(head: &[u8; ARP]) -> bool {
    get::<20, 2, _>(head) == [0, 2]
}

/// SHA.
#[inline(always)]
pub(super) fn arp_sender_mac(head: &[u8; ARP]) -> Mac {
    Mac(get::<22, 6, _>(head))
}

/// SPA.
#[inline(always)]
pub(super) fn arp_sender(head: &[u8; ARP]) -> Address {
    Address::v4(get::<ARP_SENDER, 4, _>(head))
}

/// TPA.
#[inline(always)]
pub(super) fn arp_target(head: &[u8; ARP]) -> Address {
    Address::v4(get::<38, 4, _>(head))
}

#[inline(always)]
pub(super) fn ipv4_source(head: &[u8; IPV4]) -> Address {
    Address::v4(get::<26, 4, _>(head))
}

#[inline(always)]
pub(super) fn ipv4_destination(head: &[u8; IPV4]) -> Address {
    Address::v4(get::<30, 4, _>(head))
}

#[inline(always)]
pub(super) fn ipv6_source(head: &[u8; IPV6]) -> Address {
    Address::v6(get::<22, 16, _>(head))
}

#[inline(always)]
pub(super) fn ipv6_destination(head: &[u8; IPV6]) -> Address {
    Address::v6(get::<38, 16, _>(head))
}

/// Whether an `ICMPv6` message follows the header at once. Behind extension headers neighbour discovery is none of
/// ours to answer; what the kernel's stack would answer to it meets the egress program.
#[inline(always)]
pub(super) fn is_icmpv6(head: &[u8; IPV6]) -> bool {
    get::<20, 1, _>(head) == [58]
}

/// What a message of neighbour discovery is for.
pub(super) enum Message {
    Solicitation,
    Advertisement,
    Other,
}

#[inline(always)]
pub(super) fn message<const N: usize>(head: &[u8; N]) -> Message {
    match get::<54, 1, N>(head) {
        [135] => Message::Solicitation,
        [136] => Message::Advertisement,
        _ => Message::Other,
    }
}

#[inline(always)]
pub(super) fn ndp_target(head: &[u8; NDP]) -> Address {
    Address::v6(get::<62, 16, _>(head))
}

/// Whether a receiver heeds it: hop limit 255 and code 0 (RFC 4861 §7.1).
#[inline(always)]
pub(super) fn is_heeded(head: &[u8; NDP]) -> bool {
    get::<21, 1, _>(head) == [255] && get::<55, 1, _>(head) == [0]
}

/// The MAC in the first option, if that is the link-layer address of a solicitation's source or of an
/// advertisement's target.
#[inline(always)]
pub(super) fn ndp_mac(head: &[u8; NDP_OPTION]) -> Option<Mac> {
    let wanted = match message(head) {
        Message::Solicitation => 1,
        Message::Advertisement => 2,
        Message::Other => return None,
    };
    (get::<78, 2, _>(head) == [wanted, 1]).then(|| Mac(get::<80, 6, _>(head)))
}

/// What an IP packet carries.
#[derive(Clone, Copy)]
pub(super) enum Transport {
    /// TCP, whose header begins there.
    Tcp(u32),
    /// A later fragment of TCP, without the ports.
    TcpFragment,
    /// What concerns the link and nobody beyond.
    Link,
    Other,
}

const TCP: u8 = 6;

#[inline(always)]
pub(super) fn ipv4_transport(head: &[u8; IPV4]) -> Transport {
    let [protocol] = get::<23, 1, _>(head);
    if protocol != TCP {
        return Transport::Other;
    }
    if u16::from_be_bytes(get::<20, 2, _>(head)) & 0x1fff != 0 {
        return Transport::TcpFragment;
    }
    let [version_and_length] = get::<14, 1, _>(head);
    // Where the length is a bad one, so is what is found there; the kernel's stack drops such a packet anywhere.
    Transport::Tcp(14 + u32::from(version_and_length & 0x0f) * 4)
}

/// How many extension headers are looked behind.
const EXTENSIONS: usize = 4;

/// What is behind the extension headers that a host looks behind (RFC 8200 §4).
#[inline(always)]
pub(super) fn ipv6_transport(frame: &mut impl Frame) -> Transport {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const ICMPV6: u8 = 58;
    const DESTINATION: u8 = 60;
    /// Router solicitation to redirect (RFC 4861 §4).
    const NEIGHBOUR_DISCOVERY: core::ops::RangeInclusive<u8> = 133..=137;

    let Some(head) = frame.head::<IPV6>() else {
        return Transport::Other;
    };
    let [mut next] = get::<20, 1, _>(head);
    let mut at = 54_u32;
    for _ in 0..EXTENSIONS {
        let mut extension = [0; 4];
        match next {
            TCP => return Transport::Tcp(at),
            HOP_BY_HOP | ROUTING | DESTINATION | FRAGMENT | ICMPV6 => {}
            _ => return Transport::Other,
        }
        if !frame.copy(at, &mut extension) {
            return Transport::Other;
        }
        let [first, length, offset @ ..] = extension;
        if next == ICMPV6 {
            // Its first byte is the type.
            return if NEIGHBOUR_DISCOVERY.contains(&first) { Transport::Link } else { Transport::Other };
        }
        let is_fragment = next == FRAGMENT;
        next = first;
        if !is_fragment {
            at += (u32::from(length) + 1) * 8;
            continue;
        }
        if u16::from_be_bytes(offset) & 0xfff8 != 0 {
            return if next == TCP { Transport::TcpFragment } else { Transport::Other };
        }
        at += 8;
    }
    if next == TCP { Transport::Tcp(at) } else { Transport::Other }
}
