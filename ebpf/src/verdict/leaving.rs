//! What leaves.

use super::sight::{self, Message, Payload};
use super::{Found, Frame, Host, Standing, Verdict, find_v4, find_v6, standing};
use crate::layout::{Counter, Kind};
use crate::wire::Mac;

/// The verdict on a frame that leaves: never a reply.
#[inline(always)]
pub fn leaving(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::ETHER }>() else {
        return Verdict::Pass;
    };
    match sight::payload(head) {
        Payload::Ipv4 => ipv4(frame, host),
        Payload::Ipv6 => ipv6(frame, host),
        Payload::Arp => arp(frame, host),
        Payload::Other => Verdict::Pass,
    }
}

#[inline(always)]
fn ipv4(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::IPV4 }>() else {
        return Verdict::Pass;
    };
    match find_v4(host, sight::ipv4_source(head)) {
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
        if let Some(claimed) = claimed
            && let Some(found) = find_v6(host, claimed)
        {
            let sender = sight::source(head);
            let mac = frame.head::<{ sight::NDP_OPTION }>().and_then(sight::ndp_mac);
            if claim(frame, host, &found, mac.unwrap_or(sender)) == Verdict::Drop {
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
    let sight = sight::arp(head);
    match find_v4(host, sight.sender) {
        Some(found) => claim(frame, host, &found, sight.sender_mac),
        None => Verdict::Pass,
    }
}

/// A frame that says the VIP is at `mac`.
#[inline(always)]
fn claim(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, mac: Mac) -> Verdict {
    if frame.is_tagged() {
        return Verdict::Pass;
    }
    let (allowed, fence) = match standing(host, found.vip) {
        // By the VIP's own link, or by one that carries it.
        Standing::Owner => (frame.link() == found.vip.link || mac == found.vip.own, None),
        // The answers of the other program, which leave through this one.
        Standing::Yielding => (mac == found.vip.peer, None),
        Standing::Prepared | Standing::Forwarding => (false, None),
        Standing::Fenced => (false, Some(Kind::FenceOut)),
    };
    if allowed {
        Verdict::Pass
    } else {
        found.drop(host, Counter::DroppedOut, fence, frame.link(), mac)
    }
}

/// IP with the VIP as source.
#[inline(always)]
fn ip(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) -> Verdict {
    if frame.is_tagged() {
        return Verdict::Pass;
    }
    let fence = match standing(host, found.vip) {
        Standing::Owner | Standing::Yielding | Standing::Forwarding => return Verdict::Pass,
        Standing::Prepared => None,
        Standing::Fenced => Some(Kind::FenceOut),
    };
    let Some(head) = frame.head::<{ sight::ETHER }>() else {
        return Verdict::Pass;
    };
    let sender = sight::source(head);
    found.drop(host, Counter::DroppedOut, fence, frame.link(), sender)
}
