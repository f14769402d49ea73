//! `from VIP lookup TABLE`, as netlink has it.

use std::net::IpAddr;

use rtnetlink::packet_core::{NlasIterator, Parseable};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};

use crate::link::request::{OURS, host_prefix};

const HEADER: usize = 12;

/// Before the main table (32766), after what an administrator would write.
const PRIORITY: u32 = 32_700;

/// A rule of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) vip: IpAddr,
    pub(super) table: u32,
}

impl Rule {
    /// The rule in a message, if it is one of ours.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let header = RuleHeader::parse(payload).ok()?;
        let (mut vip, mut table, mut ours, mut priority) = (None, None, false, 0);
        for raw in NlasIterator::new(payload.get(HEADER..)?).map_while(Result::ok) {
            match RuleAttribute::parse(&raw) {
                Ok(RuleAttribute::Source(ip)) => vip = Some(ip),
                Ok(RuleAttribute::Table(number)) => table = Some(number),
                Ok(RuleAttribute::Priority(number)) => priority = number,
                Ok(RuleAttribute::Protocol(RouteProtocol::Other(number))) => ours = number == OURS,
                _ => {}
            }
        }
        let (vip, table) = (vip?, table?);
        let is_ours = ours && priority == PRIORITY && header.src_len == host_prefix(vip);
        is_ours.then_some(Self { vip, table })
    }

    pub(super) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = if self.vip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.src_len = host_prefix(self.vip);
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Source(self.vip),
            RuleAttribute::Table(self.table),
            RuleAttribute::Priority(PRIORITY),
            RuleAttribute::Protocol(RouteProtocol::Other(OURS)),
        ];
        message
    }
}
