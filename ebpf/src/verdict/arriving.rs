//! What arrives.

use super::ndp;
use super::relay::{self, Side};
use super::sight::{self, Message, Payload};
use super::{Found, Frame, Host, Standing, Verdict, find, find_v6, ndp_mac, payload, sender, standing};
use crate::layout::{Counter, Kind};
use crate::wire::{Advertisement, Arp, Mac, Operation};

/// The verdict on a frame that arrives.
#[inline(always)]
pub fn arriving(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    match payload(frame) {
        Payload::Ipv4 => ipv4(frame, host),
        Payload::Ipv6 => ipv6(frame, host),
        Payload::Arp => arp(frame, host),
        Payload::Other => Verdict::Pass,
    }
}

#[inline(always)]
fn ipv4(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let address = frame.head().map(sight::ipv4_destination);
    match address.and_then(|address| find(host, address)) {
        Some(found) => match ip(frame, host, &found) {
            Fate::Sealed(verdict) => verdict,
            Fate::Shared(side) => relay::ipv4(frame, host, &found, side),
        },
        None => Verdict::Pass,
    }
}

#[inline(always)]
fn ipv6(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::IPV6 }>() else {
        return Verdict::Pass;
    };
    let destination = sight::ipv6_destination(head);
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
    match find_v6(host, destination) {
        Some(found) => match ip(frame, host, &found) {
            Fate::Sealed(verdict) => verdict,
            Fate::Shared(side) => relay::ipv6(frame, host, &found, side),
        },
        None => Verdict::Pass,
    }
}

/// What becomes of IP to the VIP.
enum Fate {
    Sealed(Verdict),
    /// Two nodes serve the VIP: it depends on what is in the packet.
    Shared(Side),
}

/// IP to the VIP.
#[inline(always)]
fn ip<F: Frame>(frame: &mut F, host: &impl Host, found: &Found<'_>) -> Fate {
    let Some(head) = frame.head::<{ sight::ETHER }>() else {
        return Fate::Sealed(Verdict::Pass);
    };
    let is_to_many = sight::destination(head).is_group();
    let has_peer = found.peer().is_some();
    let is_from_peer = has_peer && sight::source(head) == found.vip.peer;
    if !found.is_reached_by(head) || frame.is_tagged() {
        return Fate::Sealed(Verdict::Pass);
    }
    let is_shared = has_peer && frame.link() == found.vip.link;
    Fate::Sealed(match standing(host, found.vip) {
        Standing::Owner if !has_peer => Verdict::Pass,
        // No loops, whatever the other node makes of it.
        Standing::Owner | Standing::Yielding | Standing::Forwarding | Standing::Prepared if is_from_peer => {
            Verdict::Pass
        }
        Standing::Owner | Standing::Yielding | Standing::Forwarding if !is_shared || !F::RELAYS => {
            Verdict::Pass
        }
        // To whoever has no better idea: the other node gets it too.
        Standing::Owner | Standing::Yielding if is_to_many => Verdict::Pass,
        Standing::Forwarding if is_to_many => found.drop(frame, host, Counter::DroppedIp, None),
        // What yields serves what arrives as an owner does: the node that it yields to may be the one that still drains.
        Standing::Owner | Standing::Yielding => return Fate::Shared(Side::Successor),
        Standing::Forwarding => return Fate::Shared(Side::Predecessor),
        Standing::Prepared if is_shared && !is_to_many && !F::RELAYS => Verdict::Pass,
        Standing::Prepared if is_shared && !is_to_many => return Fate::Shared(Side::Prepared),
        Standing::Prepared => found.drop(frame, host, Counter::DroppedIp, None),
        Standing::Fenced => found.drop(frame, host, Counter::DroppedIp, Some(Kind::FenceIn)),
    })
}

#[inline(always)]
fn arp(frame: &mut impl Frame, host: &impl Host) -> Verdict {
    let Some(head) = frame.head::<{ sight::ARP }>() else {
        return Verdict::Pass;
    };
    let is_reply = sight::is_arp_reply(head);
    let target = sight::arp_target(head);
    if let Some(claimed) = find(host, sight::arp_sender(head)) {
        arp_claim(frame, host, &claimed);
    }
    let Some(found) = find(host, target) else {
        return Verdict::Pass;
    };
    if !is_reached(frame, &found) || frame.is_tagged() {
        return Verdict::Pass;
    }
    let owner = match standing(host, found.vip) {
        Standing::Owner => found.vip.own,
        Standing::Yielding if found.peer().is_some() => found.vip.peer,
        // A reply is never answered, and tells this node where its neighbours are: those of its open
        // connections, and the successor whose VIP it may itself want to reach when the address is off.
        Standing::Yielding | Standing::Forwarding | Standing::Prepared | Standing::Fenced if is_reply => {
            return Verdict::Pass;
        }
        Standing::Yielding | Standing::Forwarding | Standing::Prepared => {
            return found.drop(frame, host, Counter::DroppedArp, None);
        }
        Standing::Fenced => return found.drop(frame, host, Counter::DroppedArp, Some(Kind::FenceIn)),
    };
    if frame.link() != found.vip.link {
        return Verdict::Pass;
    }
    // Read where it is: a copy by a helper costs more than the loads.
    let Some(head) = frame.head::<{ sight::ARP }>() else {
        return Verdict::Pass;
    };
    let mut desk = ArpDesk { offset: [0; 2], frame: [0; Arp::LEN] };
    match Arp::parse(head) {
        // Who says that the VIP is his own does not ask where it is.
        Ok(request) if request.operation == Operation::Request && !request.is_gratuitous() => {
            request.answer(found.vip.own, owner).write(&mut desk.frame);
        }
        _ => return Verdict::Pass,
    }
    if !frame.overwrite(&desk.frame) {
        return Verdict::Pass;
    }
    found.count(host, Counter::AnsweredArp);
    Verdict::Reply
}

#[repr(C, align(8))]
struct ArpDesk {
    offset: [u8; 2],
    frame: [u8; Arp::LEN],
}

/// ARP with the VIP as sender.
#[inline(always)]
fn arp_claim(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) {
    if !is_reached(frame, found) || frame.is_tagged() {
        return;
    }
    let Some(head) = frame.head::<{ sight::ARP }>() else {
        return;
    };
    if Arp::parse(head).is_ok() {
        let mac = sight::arp_sender_mac(head);
        claim(frame, host, found, mac);
    }
}

#[inline(always)]
fn is_reached(frame: &mut impl Frame, found: &Found<'_>) -> bool {
    frame.head::<{ sight::ETHER }>().is_some_and(|head| found.is_reached_by(head))
}

#[inline(always)]
fn solicitation(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) -> Verdict {
    if !is_reached(frame, found) || frame.is_tagged() {
        return Verdict::Pass;
    }
    let owner = match standing(host, found.vip) {
        Standing::Owner => found.vip.own,
        Standing::Yielding if found.peer().is_some() => found.vip.peer,
        Standing::Prepared | Standing::Yielding | Standing::Forwarding => {
            return found.drop(frame, host, Counter::DroppedNs, None);
        }
        Standing::Fenced => return found.drop(frame, host, Counter::DroppedNs, Some(Kind::FenceIn)),
    };
    if frame.link() != found.vip.link {
        return Verdict::Pass;
    }
    let mut desk = ndp::Desk::new();
    let Some(asked) = desk.read(frame) else {
        return Verdict::Pass;
    };
    desk.write(&asked, found.vip, owner);
    // Who is about to take it claims it, but does not announce it.
    if asked.is_probe() && standing(host, found.vip) == Standing::Owner {
        let mac = sender(frame);
        claim(frame, host, found, mac);
    }
    if !frame.resize(ADVERTISEMENT) || !frame.overwrite(&desk.frame) {
        return Verdict::Pass;
    }
    found.count(host, Counter::AnsweredNs);
    Verdict::Reply
}

#[expect(clippy::cast_possible_truncation, reason = "86")]
const ADVERTISEMENT: u32 = Advertisement::LEN as u32;

#[inline(always)]
fn advertisement(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>) -> Verdict {
    let Some(head) = frame.head::<{ sight::NDP }>() else {
        return Verdict::Pass;
    };
    let is_heeded = sight::is_heeded(head);
    if !found.is_reached_by(head) || frame.is_tagged() {
        return Verdict::Pass;
    }
    match standing(host, found.vip) {
        Standing::Owner => {
            if is_heeded {
                let mac = ndp_mac(frame);
                claim(frame, host, found, mac);
            }
            Verdict::Pass
        }
        // Where the address is off, as behind a dead agent, this is how the node itself finds the successor's VIP; where
        // it stands the kernel's stack complains in its log (`ndisc_recv_na`), no more: DAD is off for it.
        Standing::Prepared | Standing::Fenced => Verdict::Pass,
        // The address stands: there is nothing to learn for the kernel's stack.
        Standing::Yielding | Standing::Forwarding => {
            if is_heeded {
                let mac = ndp_mac(frame);
                claim(frame, host, found, mac);
            }
            found.drop(frame, host, Counter::DroppedNs, None)
        }
    }
}

/// Somebody says that the VIP is at `mac`. It is a conflict if this node is the owner and `mac` is another's; if it is
/// yielding, and the successor says so itself, then the VIP is there.
#[inline(always)]
fn claim(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, mac: Mac) {
    if mac == found.vip.own || frame.link() != found.vip.link {
        return;
    }
    match standing(host, found.vip) {
        Standing::Owner => {
            found.count(host, Counter::Conflicts);
            found.report(host, Kind::Conflict, frame.link(), mac);
        }
        Standing::Yielding if found.peer() == Some(mac) && sender(frame) == mac => {
            host.note_announced(&found.address, found.vip.turn);
            found.report(host, Kind::Announced, frame.link(), mac);
        }
        _ => {}
    }
}
