//! Requests about rules and routes, and the kernel's answers: one at a time.

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::ReplyError;
use super::route::Route;
use super::rule::Rule;
use crate::link::socket::{DUMPS, Netlink};

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

pub(super) struct Talk {
    netlink: Netlink,
}

impl Talk {
    pub(super) fn open() -> Result<Self, ReplyError> {
        Ok(Self { netlink: Netlink::open(&[]).map_err(ReplyError::Socket)? })
    }

    /// The routes of the main table, and ours.
    pub(super) fn routes(&mut self) -> Result<Vec<Route>, ReplyError> {
        let request = |family| {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            RouteNetlinkMessage::GetRoute(message)
        };
        self.list(request, Route::read).map_err(|errno| ReplyError::List { what: "routes", errno })
    }

    /// Our rules.
    pub(super) fn rules(&mut self) -> Result<Vec<Rule>, ReplyError> {
        let request = |family| {
            let mut message = RuleMessage::default();
            message.header.family = family;
            RouteNetlinkMessage::GetRule(message)
        };
        self.list(request, Rule::read).map_err(|errno| ReplyError::List { what: "rules", errno })
    }

    pub(super) fn add_rule(&mut self, rule: &Rule) -> Result<(), ReplyError> {
        let added = self.change(NLM_F_CREATE | NLM_F_EXCL, RouteNetlinkMessage::NewRule(rule.message()));
        settle(added, Errno::EEXIST, || format!("add the rule from {} to table {}", rule.vip, rule.table))
    }

    pub(super) fn delete_rule(&mut self, rule: &Rule) -> Result<(), ReplyError> {
        let deleted = self.change(0, RouteNetlinkMessage::DelRule(rule.message()));
        settle(deleted, Errno::ENOENT, || {
            format!("delete the rule from {} to table {}", rule.vip, rule.table)
        })
    }

    pub(super) fn add_route(&mut self, route: &Route) -> Result<(), ReplyError> {
        let added = self.change(NLM_F_CREATE | NLM_F_EXCL, RouteNetlinkMessage::NewRoute(route.message()));
        settle(added, Errno::EEXIST, || format!("add {route:?}"))
    }

    pub(super) fn delete_route(&mut self, route: &Route) -> Result<(), ReplyError> {
        let deleted = self.change(0, RouteNetlinkMessage::DelRoute(route.message()));
        settle(deleted, Errno::ESRCH, || format!("delete {route:?}"))
    }

    fn change(&mut self, flags: u16, message: RouteNetlinkMessage) -> Result<(), Errno> {
        let mut batch = Vec::new();
        let sequence = self.netlink.append(&mut batch, NLM_F_REQUEST | NLM_F_ACK | flags, message);
        self.netlink.send(&batch)?;
        while let Some(messages) = self.netlink.receive()? {
            for message in messages.filter(|message| message.sequence == sequence) {
                if let Some(outcome) = message.outcome() {
                    return outcome;
                }
            }
        }
        Err(Errno::EBADMSG)
    }

    fn list<T>(
        &mut self,
        request: impl Fn(AddressFamily) -> RouteNetlinkMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        let mut all = Vec::new();
        for family in FAMILIES {
            match self.list_family(|| request(family), &read) {
                Ok(some) => all.extend(some),
                // A kernel without IPv6.
                Err(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(all)
    }

    fn list_family<T>(
        &mut self,
        request: impl Fn() -> RouteNetlinkMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        for _ in 0..DUMPS {
            let mut all = Vec::new();
            // Nothing comes in between: this socket hears of no events.
            if self.netlink.dump(request(), |message| all.extend(read(message.payload)))? {
                return Ok(all);
            }
        }
        Err(Errno::EINTR)
    }
}

/// A change that somebody else was faster with is made.
fn settle(done: Result<(), Errno>, made: Errno, what: impl Fn() -> String) -> Result<(), ReplyError> {
    match done {
        Err(errno) if errno != made => Err(ReplyError::Change { what: what(), errno }),
        _ => Ok(()),
    }
}
