//! What arrives.

use super::sight::{self, Message, Payload};
use super::{Desk, Found, Frame, Host, Standing, Verdict, find_v4, find_v6, standing};
use crate::layout::{Counter, Kind};
use crate::wire::{Advertisement, Arp, Mac, Solicitation};

/// The verdict on a frame that arrives.
#[inline(always)]
pub fn arriving(frame: &mut impl Frame, host: &impl Host) -> Verdict {
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
    let Some(found) = find_v4(host, sight::ipv4_destination(head)) else {
        return Verdict::Pass;
    };
    let (destination, source) = (sight::destination(head), sight::source(head));
    ip(frame, host, &found, destination, source)
}

#[inline(always)]
fn ipv6(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::IPV6 }>() else {
        return Verdict::Pass;
    };
    let to = sight::ipv6_destination(head);
    if sight::is_icmpv6(head)
        && let Some(head) = frame.head::<{ sight::NDP }>()
        && let Some(found) = find_v6(host, sight::ndp_target(head))
    {
        match sight::message(head) {
            Message::Solicitation => return solicitation(frame, host, &found),
            Message::Advertisement => return advertisement(frame, host, &found),
            Message::Other => {}
        }
    }
    let Some(found) = find_v6(host, to) else {
        return Verdict::Pass;
    };
    let Some(head) = frame.head::<{ sight::ETHER }>() else {
        return Verdict::Pass;
    };
    let (destination, source) = (sight::destination(head), sight::source(head));
    ip(frame, host, &found, destination, source)
}

/// IP to the VIP.
#[inline(always)]
fn ip(frame: &impl Frame, host: &impl Host, found: &Found<'_>, destination: Mac, source: Mac) -> Verdict {
    if frame.is_tagged() || !found.is_reached_at(destination) {
        return Verdict::Pass;
    }
    match standing(host, found.vip) {
        Standing::Owner | Standing::Yielding | Standing::Forwarding => Verdict::Pass,
        Standing::Prepared if source == found.vip.peer => Verdict::Pass,
        Standing::Prepared => found.drop(host, Counter::DroppedIp, None, frame.link(), source),
        Standing::Fenced => {
            found.drop(host, Counter::DroppedIp, Some(Kind::FenceIn), frame.link(), source)
        }
    }
}

#[inline(always)]
fn arp(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::ARP }>() else {
        return Verdict::Pass;
    };
    let destination = sight::destination(head);
    let sight = sight::arp(head);
    if let Some(claimed) = find_v4(host, sight.sender)
        && claimed.is_reached_at(destination)
        && !frame.is_tagged()
        && parse_arp(frame, &mut Desk::new()).is_some()
    {
        claim(frame, host, &claimed, sight.sender_mac);
    }
    let Some(found) = find_v4(host, sight.target) else {
        return Verdict::Pass;
    };
    if !found.is_reached_at(destination) || frame.is_tagged() {
        return Verdict::Pass;
    }
    let owner = match standing(host, found.vip) {
        Standing::Owner => found.vip.own,
        Standing::Yielding => found.vip.peer,
        // Replies still tell this node where the neighbours of its open connections are.
        Standing::Forwarding if !sight.is_request => return Verdict::Pass,
        Standing::Forwarding | Standing::Prepared => {
            return found.drop(host, Counter::DroppedArp, None, frame.link(), sight.sender_mac);
        }
        Standing::Fenced => {
            let (link, mac) = (frame.link(), sight.sender_mac);
            return found.drop(host, Counter::DroppedArp, Some(Kind::FenceIn), link, mac);
        }
    };
    // Who says that the VIP is his own does not ask where it is.
    if !sight.is_request || sight.sender == sight.target || frame.link() != found.vip.link {
        return Verdict::Pass;
    }
    let mut desk = Desk::new();
    let Some(request) = parse_arp(frame, &mut desk) else {
        return Verdict::Pass;
    };
    let Some(answer) = desk.room() else {
        return Verdict::Pass;
    };
    request.answer(found.vip.own, owner).write(answer);
    if frame.overwrite(answer) {
        found.count(host, Counter::AnsweredArp);
        Verdict::Reply
    } else {
        Verdict::Pass
    }
}

#[inline(always)]
fn parse_arp(frame: &impl Frame, desk: &mut Desk) -> Option<Arp> {
    let question = desk.room()?;
    if frame.copy(question) { Arp::parse(question).ok() } else { None }
}

#[inline(always)]
fn solicitation(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) -> Verdict {
    let Some(head) = frame.head::<{ sight::ETHER }>() else {
        return Verdict::Pass;
    };
    let (destination, source) = (sight::destination(head), sight::source(head));
    if frame.is_tagged() || !found.is_reached_at(destination) {
        return Verdict::Pass;
    }
    let owner = match standing(host, found.vip) {
        Standing::Owner => found.vip.own,
        Standing::Yielding => found.vip.peer,
        Standing::Prepared | Standing::Forwarding => {
            return found.drop(host, Counter::DroppedNs, None, frame.link(), source);
        }
        Standing::Fenced => {
            return found.drop(host, Counter::DroppedNs, Some(Kind::FenceIn), frame.link(), source);
        }
    };
    if frame.link() != found.vip.link {
        return Verdict::Pass;
    }
    let mut desk = Desk::new();
    let Some(asked) = parse_solicitation(frame, &mut desk) else {
        return Verdict::Pass;
    };
    if asked.is_probe() {
        claim(frame, host, found, source);
    }
    let Some(answer) = desk.room() else {
        return Verdict::Pass;
    };
    asked.answer(found.vip.own, owner, found.vip.router != 0).write(answer);
    if frame.len() != ADVERTISEMENT && !frame.resize(ADVERTISEMENT) {
        return Verdict::Pass;
    }
    if frame.overwrite(answer) {
        found.count(host, Counter::AnsweredNs);
        Verdict::Reply
    } else {
        Verdict::Pass
    }
}

#[expect(clippy::cast_possible_truncation, reason = "86")]
const ADVERTISEMENT: u32 = Advertisement::LEN as u32;

/// Reads a solicitation of the two lengths that occur: with no option, and with one of eight bytes.
#[inline(always)]
fn parse_solicitation(frame: &impl Frame, desk: &mut Desk) -> Option<Solicitation> {
    const BARE: usize = Solicitation::LEN;
    const ONE_OPTION: usize = BARE + 8;
    match frame.len() as usize {
        BARE => parse_solicitation_of::<BARE>(frame, desk),
        ONE_OPTION => parse_solicitation_of::<ONE_OPTION>(frame, desk),
        _ => None,
    }
}

#[inline(always)]
fn parse_solicitation_of<const LEN: usize>(frame: &impl Frame, desk: &mut Desk) -> Option<Solicitation> {
    let question = desk.room::<LEN>()?;
    if frame.copy(question) { Solicitation::parse(question).ok() } else { None }
}

#[inline(always)]
fn advertisement(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) -> Verdict {
    let Some(head) = frame.head::<{ sight::NDP }>() else {
        return Verdict::Pass;
    };
    let (destination, source) = (sight::destination(head), sight::source(head));
    let heeded = sight::is_heeded(head);
    if frame.is_tagged() || !found.is_reached_at(destination) {
        return Verdict::Pass;
    }
    match standing(host, found.vip) {
        Standing::Owner => {
            if heeded {
                let mac = frame.head::<{ sight::NDP_OPTION }>().and_then(sight::ndp_mac);
                claim(frame, host, found, mac.unwrap_or(source));
            }
            Verdict::Pass
        }
        // The kernel's stack would only complain that somebody advertises its address.
        Standing::Prepared | Standing::Yielding | Standing::Forwarding => {
            found.drop(host, Counter::DroppedNs, None, frame.link(), source)
        }
        Standing::Fenced => {
            found.drop(host, Counter::DroppedNs, Some(Kind::FenceIn), frame.link(), source)
        }
    }
}

/// Somebody says that the VIP is at `mac`. It is a conflict if this node is the owner and `mac` is another's.
#[inline(always)]
fn claim(frame: &impl Frame, host: &impl Host, found: &Found<'_>, mac: Mac) {
    if mac != found.vip.own
        && frame.link() == found.vip.link
        && standing(host, found.vip) == Standing::Owner
    {
        found.count(host, Counter::Conflicts);
        found.report(host, Kind::Conflict, frame.link(), mac);
    }
}
