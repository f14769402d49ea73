//! Netlink messages into the facts they state.
//!
//! Attribute by attribute, leaving out what can't be read: `packet_route` on its own refuses a whole link when it doesn't
//! know the shape of a single attribute, and drivers and kernels bring new ones all the time.

use std::net::IpAddr;

use nix::libc::{RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK};
use rtnetlink::packet_core::{NlaBuffer, NlasIterator, Parseable, ParseableParametrized};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeader, CacheInfo};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkHeader, LinkInfo, Prop};

use crate::wire::Mac;

use super::inventory::{Address, Fact, Fitness, Link};
use super::lifetime::Lifetime;
use super::request::{OURS, host_prefix};
use super::socket::Message;

const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// What a message says, if it is about a link or an address.
pub(super) fn fact(message: &Message<'_>) -> Option<Fact> {
    match message.kind {
        RTM_NEWLINK => link(message.payload).map(Fact::Link),
        RTM_DELLINK => link_header(message.payload).map(|header| Fact::LinkGone(header.index)),
        RTM_NEWADDR => address(message.payload).map(|(index, address)| Fact::Address(index, address)),
        RTM_DELADDR => address(message.payload).map(|(index, address)| Fact::AddressGone(index, address)),
        _ => None,
    }
}

fn attributes(payload: &[u8], header: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(payload.get(header..).unwrap_or_default()).map_while(Result::ok)
}

/// The attributes of a link that can be read.
pub(super) fn link_attributes(payload: &[u8]) -> impl Iterator<Item = LinkAttribute> {
    attributes(payload, LINK_HEADER)
        .filter_map(|raw| LinkAttribute::parse_with_param(&raw, AddressFamily::Unspec).ok())
}

fn link_header(payload: &[u8]) -> Option<LinkHeader> {
    let header = LinkHeader::parse(payload).ok()?;
    // A bridge reports its ports under its own family: there, DELLINK is a port that left the bridge.
    (header.interface_family == AddressFamily::Unspec).then_some(header)
}

fn link(payload: &[u8]) -> Option<Link> {
    let header = link_header(payload)?;
    let mut name = None;
    let mut elsewhere = false;
    let mut link = Link {
        index: header.index,
        name: String::new(),
        altnames: Vec::new(),
        alias: None,
        mac: None,
        up: header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        mtu: 0,
        kind: None,
        parent: None,
    };
    for attribute in link_attributes(payload) {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text),
            LinkAttribute::IfAlias(text) => link.alias = Some(text).filter(|text| !text.is_empty()),
            LinkAttribute::Address(mac) => link.mac = <[u8; 6]>::try_from(mac).ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Link(index) => link.parent = Some(index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::PropList(props) => link.altnames.extend(props.into_iter().filter_map(altname)),
            LinkAttribute::LinkInfo(infos) => link.kind = infos.iter().find_map(kind),
            _ => {}
        }
    }
    // A parent in another namespace has an index of that namespace; and a link is no parent of itself.
    link.parent = link.parent.filter(|parent| !elsewhere && *parent != link.index && *parent != 0);
    // Wireless drivers send events of their own as NEWLINK, without the link's attributes.
    link.name = name?;
    Some(link)
}

fn altname(prop: Prop) -> Option<String> {
    match prop {
        Prop::AltIfName(name) => Some(name),
        _ => None,
    }
}

fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

fn address(payload: &[u8]) -> Option<(u32, Address)> {
    let header = AddressHeader::parse(payload).ok()?;
    let (mut local, mut remote) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    let mut life = CacheInfo::default();
    let mut protocol = 0;
    for raw in attributes(payload, ADDRESS_HEADER) {
        let Ok(attribute) = AddressAttribute::parse(&raw) else { continue };
        match attribute {
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Address(ip) => remote = Some(ip),
            AddressAttribute::Flags(all) => flags = all,
            AddressAttribute::CacheInfo(info) => life = info,
            AddressAttribute::Protocol(number) => protocol = u8::from(number),
            _ => {}
        }
    }
    // IFA_LOCAL is left out by IPv6 where there is no peer; IFA_ADDRESS is then the address itself.
    let ip = local.or(remote)?;
    let peer = remote.filter(|remote| *remote != ip);
    let unmarked = || protocol == 0 && bears_our_signs(ip, flags, life);
    let ours = header.prefix_len == host_prefix(ip) && peer.is_none() && (protocol == OURS || unmarked());
    let fitness = if ours { Fitness::Good } else { fitness(ip, flags) };
    Some((header.index, Address { ip, prefix: header.prefix_len, peer, ours, fitness }))
}

fn fitness(ip: IpAddr, flags: AddressFlags) -> Fitness {
    if flags.contains(AddressFlags::Dadfailed) {
        Fitness::DadFailed
    } else if flags.contains(AddressFlags::Tentative) {
        Fitness::Tentative
    } else if ip.is_ipv6() && flags.contains(AddressFlags::Secondary) {
        // IFA_F_TEMPORARY is the same bit; IPv4 calls by it every address but a network's first (include/uapi/linux/if_addr.h).
        Fitness::Temporary
    } else if flags.contains(AddressFlags::Deprecated) {
        Fitness::Deprecated
    } else {
        Fitness::Good
    }
}

/// Kernels before 5.18 don't keep an address's protocol number. There our addresses are told by what nobody else's are:
/// a host address that is not preferred, not checked for duplicates, and over in seconds.
fn bears_our_signs(ip: IpAddr, flags: AddressFlags, life: CacheInfo) -> bool {
    (1..=Lifetime::LONGEST.seconds()).contains(&life.ifa_valid)
        && life.ifa_preferred == 0
        && (ip.is_ipv4() || flags.contains(AddressFlags::Nodad | AddressFlags::Noprefixroute))
}

#[cfg(test)]
mod tests;
