//! What leaves.
//!
//! A node that has handed a VIP over still serves connections, and its kernel asks for a client's MAC in the name of the
//! address it has something to send from: "who has the client? tell the VIP, at this MAC". That would teach the client
//! the wrong MAC, and without an answer the connection is lost. So the question goes out in the name of another address of
//! the node ([`Vip::asks_as`](crate::layout::Vip::asks_as)), and the answer comes to that. (For ARP `arp_announce` would do
//! the same; IPv6 has nothing like it. A question in nobody's name would be a probe, which a client that is just checking
//! its own address for duplicates would take for one.)

use super::sight::{self, Message, Payload};
use super::{Found, Frame, Host, Standing, Verdict, find, find_v6, ndp_mac, payload, standing};
use crate::layout::{Counter, Kind};
use crate::wire::Mac;
use crate::wire::field::{get, put};

/// The verdict on a frame that leaves: never a reply.
#[inline(always)]
pub fn leaving(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    match payload(frame) {
        Payload::Ipv4 => ipv4(frame, host),
        Payload::Ipv6 => ipv6(frame, host),
        Payload::Arp => arp(frame, host),
        Payload::Other => Verdict::Pass,
    }
}

#[inline(always)]
fn ipv4(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let address = frame.head().map(sight::ipv4_source);
    match address.and_then(|address| find(host, address)) {
        Some(found) => ip(frame, host, &found),
        None => Verdict::Pass,
    }
}

#[inline(always)]
fn ipv6(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::IPV6 }>() else {
        return Verdict::Pass;
    };
    let source = sight::ipv6_source(head);
    if sight::is_icmpv6(head)
        && let Some(head) = frame.head::<{ sight::NDP }>()
    {
        let is_question = matches!(sight::message(head), Message::Solicitation);
        let claimed = match sight::message(head) {
            Message::Solicitation => Some(source),
            Message::Advertisement => Some(sight::ndp_target(head)),
            Message::Other => None,
        };
        if let Some(found) = claimed.and_then(|claimed| find_v6(host, claimed)) {
            let mac = ndp_mac(frame);
            if is_question && asks_for_itself(frame, host, &found, mac) && solicit_as_another(frame, &found) {
                return Verdict::Pass;
            }
            if claim(frame, host, &found, mac) == Verdict::Drop {
                return Verdict::Drop;
            }
        }
    }
    match find_v6(host, source) {
        Some(found) => ip(frame, host, &found),
        None => Verdict::Pass,
    }
}

#[inline(always)]
fn arp(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::ARP }>() else {
        return Verdict::Pass;
    };
    let mac = sight::arp_sender_mac(head);
    let is_question = !sight::is_arp_reply(head) && sight::arp_target(head) != sight::arp_sender(head);
    match find(host, sight::arp_sender(head)) {
        Some(found)
            if is_question
                && asks_for_itself(frame, host, &found, mac)
                && request_as_another(frame, &found) =>
        {
            Verdict::Pass
        }
        Some(found) => claim(frame, host, &found, mac),
        None => Verdict::Pass,
    }
}

/// Whether the node itself asks, in the name of a VIP that it is handing over or has handed over.
#[inline(always)]
fn asks_for_itself(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, mac: Mac) -> bool {
    mac == found.vip.own
        && frame.link() == found.vip.link
        && !frame.is_tagged()
        && matches!(standing(host, found.vip), Standing::Yielding | Standing::Forwarding)
}

/// Puts another address of the node in the VIP's place in an ARP request; says whether there is one.
#[inline(always)]
fn request_as_another(frame: &mut impl Frame, found: &Found<'_>) -> bool {
    let Some(octets) = found.vip.asks_as.octets_v4() else {
        return false;
    };
    let mut start = [0; sight::ARP_SENDER_END];
    frame.copy(0, &mut start) && {
        put::<{ sight::ARP_SENDER }, 4, _>(&mut start, octets);
        frame.overwrite(&start)
    }
}

/// Puts another address of the node in the VIP's place in a solicitation; says whether there is one.
#[inline(always)]
fn solicit_as_another(frame: &mut impl Frame, found: &Found<'_>) -> bool {
    let Some(words) = found.vip.asks_as.words_v6() else {
        return false;
    };
    let mut start = [0; sight::ICMPV6_CHECKSUM_END];
    if !frame.copy(0, &mut start) {
        return false;
    }
    let [first, second, third, fourth] = words.map(u32::to_ne_bytes);
    let checksum = u16::from_ne_bytes(get::<{ sight::ICMPV6_CHECKSUM }, 2, _>(&start));
    // RFC 1624: the complement of the sum, with the old words taken away and the new ones added.
    let mut sum = u64::from(!checksum);
    exchange::<22>(&mut start, first, &mut sum);
    exchange::<26>(&mut start, second, &mut sum);
    exchange::<30>(&mut start, third, &mut sum);
    exchange::<34>(&mut start, fourth, &mut sum);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let [low, high, ..] = sum.to_le_bytes();
    let checksum = !u16::from_le_bytes([low, high]);
    put::<{ sight::ICMPV6_CHECKSUM }, 2, _>(&mut start, checksum.to_ne_bytes());
    frame.overwrite(&start)
}

/// Exchanges four bytes, and in a sum over them too.
#[inline(always)]
fn exchange<const AT: usize>(start: &mut [u8; sight::ICMPV6_CHECKSUM_END], word: [u8; 4], sum: &mut u64) {
    let old = get::<AT, 4, _>(start);
    put::<AT, 4, _>(start, word);
    *sum += u64::from(!u32::from_ne_bytes(old)) + u64::from(u32::from_ne_bytes(word));
}

/// A frame that says the VIP is at `mac`.
#[inline(always)]
fn claim(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, mac: Mac) -> Verdict {
    if frame.is_tagged() {
        return Verdict::Pass;
    }
    let (is_own, is_peer) = (mac == found.vip.own, found.peer() == Some(mac));
    let (is_allowed, fence) = match standing(host, found.vip) {
        // By the VIP's own link, or by one that carries it.
        Standing::Owner => (is_own || frame.link() == found.vip.link, None),
        // The answers of the other program, which leave through this one; the successor may announce itself meanwhile.
        Standing::Yielding | Standing::Forwarding => (is_peer, None),
        Standing::Prepared => (false, None),
        Standing::Fenced => (false, Some(Kind::FenceOut)),
    };
    if is_allowed { Verdict::Pass } else { found.drop(frame, host, Counter::DroppedOut, fence) }
}

/// IP with the VIP as source.
#[inline(always)]
fn ip(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) -> Verdict {
    if frame.is_tagged() {
        return Verdict::Pass;
    }
    match standing(host, found.vip) {
        Standing::Owner | Standing::Yielding | Standing::Forwarding => Verdict::Pass,
        Standing::Prepared => found.drop(frame, host, Counter::DroppedOut, None),
        Standing::Fenced => found.drop(frame, host, Counter::DroppedOut, Some(Kind::FenceOut)),
    }
}
