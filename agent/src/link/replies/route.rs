//! A route by one link, as netlink has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_core::{NlasIterator, ParseableParametrized};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteLwEnCapType, RouteMessage, RouteProtocol,
    RouteScope, RouteType,
};

use super::TABLES;
use crate::link::request::OURS;

const HEADER: usize = 12;
const MAIN: u32 = 254;

/// What IPv6 gives a route that asks for no metric (`IP6_RT_PRIO_USER`).
const METRIC: u32 = 1024;

/// A route by one link: of the main table, or of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) table: u32,
    pub(super) destination: IpNet,
    pub(super) gateway: Option<IpAddr>,
    pub(super) link: u32,
    pub(super) metric: u32,
    /// The gateway is taken to be on the link, whatever networks the link has.
    pub(super) onlink: bool,
}

impl Route {
    /// All that is not on the link goes to a gateway there.
    pub(super) fn by_gateway(table: u32, link: u32, gateway: IpAddr) -> Self {
        Self {
            table,
            destination: everything(gateway.is_ipv4()),
            gateway: Some(gateway),
            link,
            metric: METRIC,
            onlink: true,
        }
    }

    pub(super) fn is_v4(&self) -> bool {
        self.destination.addr().is_ipv4()
    }

    pub(super) fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0
    }

    /// The route in a message, if it is one of ours, or one of the main table that can be copied: one by several links can't,
    /// nor can one into a tunnel.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let header = RouteHeader::parse(payload).ok()?;
        let mut destination = match header.address_family {
            AddressFamily::Inet => everything(true),
            AddressFamily::Inet6 => everything(false),
            _ => return None,
        };
        let (mut table, mut gateway, mut link, mut metric) = (u32::from(header.table), None, None, 0);
        for raw in NlasIterator::new(payload.get(HEADER..)?).map_while(Result::ok) {
            let of = (header.address_family, header.kind, RouteLwEnCapType::None);
            match RouteAttribute::parse_with_param(&raw, of) {
                Ok(RouteAttribute::Destination(ip)) => {
                    destination = IpNet::new(address(&ip)?, header.destination_prefix_length).ok()?;
                }
                Ok(RouteAttribute::Gateway(ip)) => gateway = Some(address(&ip)?),
                Ok(RouteAttribute::Oif(index)) => link = Some(index),
                Ok(RouteAttribute::Table(number)) => table = number,
                Ok(RouteAttribute::Priority(number)) => metric = number,
                Ok(RouteAttribute::MultiPath(_) | RouteAttribute::Via(_) | RouteAttribute::EncapType(_)) => {
                    return None;
                }
                _ => {}
            }
        }
        let ours = table >= TABLES && header.protocol == RouteProtocol::Other(OURS);
        let wanted = ours || table == MAIN && header.kind == RouteType::Unicast;
        let onlink = header.flags.contains(RouteFlags::Onlink);
        let link = link.filter(|_| wanted)?;
        Some(Self { table, destination, gateway, link, metric, onlink })
    }

    pub(super) fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        let header = &mut message.header;
        header.address_family = if self.is_v4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        header.destination_prefix_length = self.destination.prefix_len();
        header.protocol = RouteProtocol::Other(OURS);
        header.kind = RouteType::Unicast;
        header.scope =
            if self.is_v4() && self.gateway.is_none() { RouteScope::Link } else { RouteScope::Universe };
        if self.onlink {
            header.flags = RouteFlags::Onlink;
        }
        message.attributes = vec![RouteAttribute::Table(self.table), RouteAttribute::Oif(self.link)];
        if !self.is_default() {
            message.attributes.push(RouteAttribute::Destination(self.destination.network().into()));
        }
        message.attributes.extend(self.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        if self.metric != 0 {
            message.attributes.push(RouteAttribute::Priority(self.metric));
        }
        message
    }
}

fn everything(v4: bool) -> IpNet {
    let ip: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new(ip, 0).expect("no bits are a prefix of any address")
}

fn address(given: &RouteAddress) -> Option<IpAddr> {
    match given {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}
