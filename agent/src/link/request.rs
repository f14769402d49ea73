//! The requests that put an address in place, take it off and ask whether it is in use, and the kernel's answers.

use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NlasIterator,
    parse_string,
};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::lifetime::Lifetime;
use super::socket::{Message, Netlink};

/// The protocol number (`IFA_PROTO`) of our addresses: an `M`. The kernel uses 1 to 3; there is no registry.
pub(super) const OURS: u8 = b'M';

/// So many requests go into one datagram: their answers, and the events they cause, fit into the smallest of queues.
const BATCH: usize = 64;

/// One change to one address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Put it where nothing is.
    Add(Lifetime),
    /// Put it anew: it starts its lifetime over.
    Refresh(Lifetime),
    /// Take it off.
    Remove,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The kernel said no, and perhaps why.
    Kernel { errno: Errno, note: Option<String> },
    /// The answer was lost: the change may have been made.
    Unanswered(Errno),
}

/// The prefix length of a single address.
pub(super) const fn host_prefix(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// The socket that requests go through.
pub(super) struct Requests {
    netlink: Netlink,
    batch: Vec<u8>,
}

impl Requests {
    pub(super) fn open() -> Result<Self, Errno> {
        Ok(Self { netlink: Netlink::open(&[])?, batch: Vec::new() })
    }

    /// Makes changes one after the other, and says of each, in the same order, what became of it.
    ///
    /// One refused doesn't keep the others from being made. `made` is told of each few of them, so that the events
    /// they cause can be read before there are too many.
    pub(super) fn carry_out(
        &mut self,
        changes: &[(u32, IpAddr, Change)],
        mut made: impl FnMut(&[(u32, IpAddr, Change)], &[Result<(), Refusal>]),
    ) -> Vec<Result<(), Refusal>> {
        let mut results = Vec::with_capacity(changes.len());
        for changes in changes.chunks(BATCH) {
            let start = results.len();
            self.carry_out_batch(changes, &mut results);
            made(changes, &results[start..]);
        }
        results
    }

    /// Whether the kernel takes in what is sent to an address. An IPv6 address is in its tables only when its own worker comes
    /// round to it, which may take until others let go of the routing lock, and is acknowledged before.
    pub(super) fn is_local(&mut self, ip: IpAddr) -> Result<bool, Errno> {
        let mut route = RouteMessage::default();
        route.header.address_family = family(ip);
        route.header.destination_prefix_length = host_prefix(ip);
        route.attributes = vec![RouteAttribute::Destination(ip.into())];
        self.batch.clear();
        let sequence =
            self.netlink.append(&mut self.batch, NLM_F_REQUEST, RouteNetlinkMessage::GetRoute(route));
        self.netlink.send(&self.batch)?;
        while let Some(mut answers) = self.netlink.receive()? {
            let Some(answer) = answers.find(|answer| answer.sequence == sequence) else { continue };
            return match answer.outcome() {
                // There is no way to it at all.
                Some(Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH)) => Ok(false),
                Some(outcome) => outcome.map(|()| false),
                None => {
                    Ok(RouteHeader::parse(answer.payload).is_ok_and(|found| found.kind == RouteType::Local))
                }
            };
        }
        Err(Errno::EBADMSG)
    }

    fn carry_out_batch(&mut self, changes: &[(u32, IpAddr, Change)], results: &mut Vec<Result<(), Refusal>>) {
        let start = results.len();
        let mut first = None;
        self.batch.clear();
        for &(index, ip, change) in changes {
            let (flags, message) = message(index, ip, change);
            let sequence = self.netlink.append(&mut self.batch, flags, message);
            first.get_or_insert(sequence);
        }
        let Some(first) = first else { return };
        let lost = match self.netlink.send(&self.batch) {
            Ok(()) => Errno::ENOBUFS,
            Err(errno) => errno,
        };
        results.resize(start + changes.len(), Err(Refusal::Unanswered(lost)));
        loop {
            match self.netlink.receive() {
                Ok(Some(answers)) => {
                    for answer in answers {
                        let at = answer.sequence.wrapping_sub(first) as usize;
                        if let (Some(result), Some(answer)) = (results.get_mut(start + at), read(&answer)) {
                            *result = answer;
                        }
                    }
                }
                // An overrun has lost some answers, not all.
                Err(Errno::ENOBUFS) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

fn message(index: u32, ip: IpAddr, change: Change) -> (u16, RouteNetlinkMessage) {
    let asked = NLM_F_REQUEST | NLM_F_ACK;
    match change {
        // EXCL: where the kernel has the address already it isn't ours, or we would know.
        Change::Add(lifetime) => {
            let message = RouteNetlinkMessage::NewAddress(placed(index, ip, lifetime));
            (asked | NLM_F_CREATE | NLM_F_EXCL, message)
        }
        Change::Refresh(lifetime) => {
            let message = RouteNetlinkMessage::NewAddress(placed(index, ip, lifetime));
            (asked | NLM_F_CREATE | NLM_F_REPLACE, message)
        }
        Change::Remove => (asked, RouteNetlinkMessage::DelAddress(named(index, ip))),
    }
}

/// The address alone: with both `IFA_LOCAL` and `IFA_ADDRESS` the kernel matches the prefix and the peer too, so that
/// nothing but the host address itself can be meant.
fn named(index: u32, ip: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = host_prefix(ip);
    message.header.family = family(ip);
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    message
}

/// The address as a VIP: never the source of the node's own traffic (I7), and gone by itself when its lifetime ends (I2).
fn placed(index: u32, ip: IpAddr, lifetime: Lifetime) -> AddressMessage {
    let mut message = named(index, ip);
    // Preferred 0 keeps an IPv6 address from being chosen as a source, but not an IPv4 one.
    let mut life = CacheInfo::default();
    life.ifa_valid = lifetime.seconds();
    message.attributes.push(AddressAttribute::CacheInfo(life));
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OURS)));
    if ip.is_ipv4() {
        // An address of host scope is answered for like any other, and left out by `inet_select_addr` when a source
        // is chosen for a packet that leaves; one of global scope is taken where the link has no address
        // of the subnet, and for multicast where it was added first.
        message.header.scope = AddressScope::Host;
    } else {
        // Duplicate address detection would keep the address silent for a second or two, and end it for good where the
        // old owner still answers. A prefix route to a single address is of no use.
        let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    message
}

/// What an acknowledgement says; nothing if the message is none.
fn read(answer: &Message<'_>) -> Option<Result<(), Refusal>> {
    Some(answer.outcome()?.map_err(|errno| Refusal::Kernel { errno, note: note(answer) }))
}

/// What the kernel says in words: the attribute `NLMSGERR_ATTR_MSG`, after the code and the header of the request.
fn note(answer: &Message<'_>) -> Option<String> {
    const CODE_AND_HEADER: usize = 4 + 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    if answer.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    NlasIterator::new(answer.payload.get(CODE_AND_HEADER..)?)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .and_then(|attribute| parse_string(attribute.value()).ok())
}

#[cfg(test)]
mod tests {
    use super::super::namespace::in_namespace;
    use super::*;

    #[test]
    fn each_change_gets_its_own_answer_and_an_addition_replaces_nothing() {
        in_namespace(async |ground| {
            let index = ground.pair("v0", "v1").await;
            ground.add_address(index, "10.9.0.1", 32).await;
            ground.add_address(index, "fd09::1", 128).await;
            let lifetime = Lifetime::LONGEST;
            let of = |ip: &str, change| (index, ip.parse().unwrap(), change);
            let mut requests = Requests::open().unwrap();
            let mut told = 0;
            let answers = requests.carry_out(
                &[
                    of("10.9.0.1", Change::Add(lifetime)),
                    of("10.9.0.2", Change::Add(lifetime)),
                    of("fd09::1", Change::Add(lifetime)),
                    of("fd09::2", Change::Add(lifetime)),
                    of("fd09::3", Change::Remove),
                    (index + 99, "10.9.0.4".parse().unwrap(), Change::Add(lifetime)),
                    of("10.9.0.2", Change::Remove),
                ],
                |changes, results| told += changes.len().min(results.len()),
            );
            let errno = |answer: &Result<(), Refusal>| match answer {
                Ok(()) => None,
                Err(Refusal::Kernel { errno, .. } | Refusal::Unanswered(errno)) => Some(*errno),
            };
            let (exists, absent, no_link) = (Errno::EEXIST, Errno::EADDRNOTAVAIL, Errno::ENODEV);
            assert_eq!(
                answers.iter().map(errno).collect::<Vec<_>>(),
                [Some(exists), None, Some(exists), None, Some(absent), Some(no_link), None]
            );
            assert!(
                matches!(&answers[2], Err(Refusal::Kernel { note: Some(note), .. }) if note.contains("assigned")),
                "the kernel says why: {:?}",
                answers[2]
            );
            assert_eq!(told, answers.len());
        });
    }
}
