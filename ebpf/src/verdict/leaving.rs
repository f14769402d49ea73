//! What leaves.

use super::sight::{self, Message, Payload};
use super::{Found, Frame, Host, Standing, Verdict, find, find_v6, ndp_mac, payload, standing};
use crate::layout::{Counter, Kind};
use crate::wire::Mac;

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
        let claimed = match sight::message(head) {
            Message::Solicitation => Some(source),
            Message::Advertisement => Some(sight::ndp_target(head)),
            Message::Other => None,
        };
        if let Some(found) = claimed.and_then(|claimed| find_v6(host, claimed)) {
            let mac = ndp_mac(frame);
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
    match find(host, sight::arp_sender(head)) {
        Some(found) => claim(frame, host, &found, mac),
        None => Verdict::Pass,
    }
}

/// A frame that says the VIP is at `mac`.
#[inline(always)]
fn claim(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, mac: Mac) -> Verdict {
    if frame.is_tagged() {
        return Verdict::Pass;
    }
    let (is_own, is_peer) = (mac == found.vip.own, mac == found.vip.peer);
    let (is_allowed, fence) = match standing(host, found.vip) {
        // By the VIP's own link, or by one that carries it.
        Standing::Owner => (is_own || frame.link() == found.vip.link, None),
        // The answers of the other program, which leave through this one.
        Standing::Yielding => (is_peer, None),
        Standing::Prepared | Standing::Forwarding => (false, None),
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
