//! Replies leave by the VIP's link: a rule per VIP leads what is sent in its name to a table of its link, which has that
//! link's routes only.
//!
//! `from VIP lookup TABLE` also decides where the kernel expects what is sent *to* the VIP (`fib_validate_source` looks the
//! way back up with the VIP as source), so strict `rp_filter` takes it on the VIP's link, wherever other routes lead.
//!
//! Rules and routes bear our protocol number, by which an agent that comes later finds what was left.

mod route;
mod rule;
mod talk;

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::MulticastGroup;
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::route::Route;
use self::rule::Rule;
use self::talk::Talk;
use super::socket::{Netlink, errno};

/// The tables: an `M`, and the link's index.
const TABLES: u32 = 0x4d00_0000;

/// A link that its VIPs' replies are to leave by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyLink {
    /// Its index.
    pub index: u32,
    /// Its VIPs.
    pub vips: Vec<IpAddr>,
    /// The ways off it that the main table doesn't have: one of a family, instead of the default routes that it has.
    pub gateways: Vec<IpAddr>,
}

/// Why replies don't leave by the VIP's link.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReplyError {
    /// No socket.
    #[error("a netlink socket can't be opened: {0}")]
    Socket(Errno),
    /// The kernel doesn't say what rules and routes there are.
    #[error("the kernel didn't list its {what}: {errno}")]
    List {
        /// Rules or routes.
        what: &'static str,
        /// What it said.
        errno: Errno,
    },
    /// It takes a rule or a route not as it should be.
    #[error("the kernel didn't {what}: {errno}; the agent needs CAP_NET_ADMIN")]
    Change {
        /// What was tried.
        what: String,
        /// What it said.
        errno: Errno,
    },
}

/// Makes rules and routes what they should be for these links; what else an agent left goes. A change that fails doesn't
/// keep the others from being made; the first failure is told. Says how many changes were made.
pub fn lead_replies(links: &[ReplyLink]) -> Result<usize, ReplyError> {
    let mut talk = Talk::open()?;
    let (ours, main): (Vec<_>, Vec<_>) = talk.routes()?.into_iter().partition(|route| route.table >= TABLES);
    let routes: BTreeSet<Route> = ours.into_iter().collect();
    let rules: BTreeSet<Rule> = talk.rules()?.into_iter().collect();
    let wanted_rules: BTreeSet<Rule> = links.iter().flat_map(rules_of).collect();
    let wanted_routes: BTreeSet<Route> = links.iter().flat_map(|link| routes_of(link, &main)).collect();

    let (mut made, mut failed) = (0, Ok(()));
    let mut note = |done: Result<(), ReplyError>| match done {
        Ok(()) => made += 1,
        Err(error) if failed.is_ok() => failed = Err(error),
        Err(_) => {}
    };
    // No rule leads to a table that is half there.
    for rule in rules.difference(&wanted_rules) {
        note(talk.delete_rule(rule));
    }
    for route in routes.difference(&wanted_routes) {
        note(talk.delete_route(route));
    }
    // A gateway is found by the route to its network.
    let mut missing: Vec<&Route> = wanted_routes.difference(&routes).collect();
    missing.sort_by_key(|route| route.gateway.is_some());
    for route in missing {
        note(talk.add_route(route));
    }
    for rule in wanted_rules.difference(&rules) {
        note(talk.add_rule(rule));
    }
    failed.map(|()| made)
}

fn rules_of(link: &ReplyLink) -> impl Iterator<Item = Rule> {
    link.vips.iter().map(|vip| Rule { vip: *vip, table: TABLES | link.index })
}

/// A link's routes in the main table, for its own; of the families that its VIPs are of.
fn routes_of(link: &ReplyLink, main: &[Route]) -> Vec<Route> {
    let table = TABLES | link.index;
    let wants = |v4: bool| link.vips.iter().any(|vip| vip.is_ipv4() == v4);
    let gateway = |v4: bool| link.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == v4);
    let is_replaced = |route: &Route| route.is_default() && gateway(route.is_v4()).is_some();
    let kept =
        main.iter().filter(|route| route.link == link.index && wants(route.is_v4()) && !is_replaced(route));
    let mut routes: Vec<Route> = kept.map(|route| Route { table, ..route.clone() }).collect();
    let gateways = [true, false].into_iter().filter(|v4| wants(*v4)).filter_map(gateway);
    routes.extend(gateways.map(|gateway| Route::by_gateway(table, link.index, gateway)));
    routes
}

/// Hears of changes to links, rules and routes, whoever made them.
pub struct RouteChanges {
    netlink: AsyncFd<Netlink>,
}

impl RouteChanges {
    /// Subscribes; wants a tokio runtime.
    pub fn open() -> Result<Self, ReplyError> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Rule,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        let netlink = Netlink::open(&groups).map_err(ReplyError::Socket)?;
        // SAFETY: `netlink` owns its socket, which is open for as long as it lives and is never exchanged for another.
        let registered = unsafe { AsyncFd::register_with_interest(netlink, Interest::READABLE) };
        let netlink = registered.map_err(|error| ReplyError::Socket(errno(error.into())))?;
        Ok(Self { netlink })
    }

    /// Waits until something may have changed. Can be dropped at any time.
    pub async fn next(&mut self) -> Result<(), ReplyError> {
        let failed = |error: std::io::Error| ReplyError::Socket(errno(error));
        self.netlink.readable().await.map_err(failed)?.clear_ready();
        self.forget();
        Ok(())
    }

    /// What has been told so far is not news any more.
    pub fn forget(&mut self) {
        // What was lost was a change too.
        while matches!(self.netlink.get_mut().receive(), Ok(Some(_)) | Err(Errno::ENOBUFS)) {}
    }
}

#[cfg(test)]
mod tests;
