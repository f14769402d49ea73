//! The choice itself: a pure function of the rule, the node's addresses, the VIPs and the choice before.
//!
//! A rule's addresses fall into *groups*: those that one entry of a list let in, or those of one family. A group that has a
//! member of the previous choice keeps it and takes nothing new, so whatever containers or VPNs bring changes nothing; an
//! entry of which nothing was there before is filled as soon as something is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::candidate::Candidate;
use super::rule::Rule;
use super::subnets::{Place, Subnet};
use crate::link::Fitness;

/// What came of a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The addresses in force, in the rule's order.
    pub addresses: Vec<IpAddr>,
    /// Whether they are the previous ones though something about them isn't as it should be.
    pub stale: bool,
    /// Every other address, and why it is none of them.
    pub left_out: Vec<LeftOut>,
}

/// An address that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The address.
    pub ip: IpAddr,
    /// Its link; none if it isn't there.
    pub link: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why an address was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Reason {
    Vip,
    Loopback,
    LinkLocal,
    Multicast,
    Unspecified,
    LinkDown,
    Tentative,
    DadFailed,
    Temporary,
    Deprecated,
    Missing,
    Outside,
    TakenAway(Subnet),
    NotFirst,
    CameLater,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vip => "a VIP is no node's own",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::LinkDown => "its link is down",
            Self::Tentative => "still being checked for duplicates (tentative)",
            Self::DadFailed => "another machine has it too (dadfailed)",
            Self::Temporary => "temporary",
            Self::Deprecated => "deprecated",
            Self::Missing => "chosen before, and not there",
            Self::Outside => "in none of the subnets",
            Self::TakenAway(subnet) => return write!(f, "taken away by {subnet}"),
            Self::NotFirst => "others come before it",
            Self::CameLater => "there is a choice, which is kept",
        })
    }
}

impl Reason {
    /// Whether it may be over in a moment: what was chosen is waited for.
    fn passes(self) -> bool {
        matches!(self, Self::Missing | Self::LinkDown | Self::Tentative)
    }
}

/// Why nothing may choose an address, if so.
pub fn unfit(candidate: &Candidate, vips: &BTreeSet<IpAddr>) -> Option<Reason> {
    let ip = candidate.ip;
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match candidate.fitness {
        _ if candidate.ours || vips.contains(&ip) => Some(Reason::Vip),
        _ if ip.is_loopback() => Some(Reason::Loopback),
        _ if link_local => Some(Reason::LinkLocal),
        _ if ip.is_multicast() => Some(Reason::Multicast),
        _ if ip.is_unspecified() => Some(Reason::Unspecified),
        Fitness::DadFailed => Some(Reason::DadFailed),
        Fitness::Temporary => Some(Reason::Temporary),
        Fitness::Deprecated => Some(Reason::Deprecated),
        Fitness::Tentative => Some(Reason::Tentative),
        Fitness::Good if !candidate.up => Some(Reason::LinkDown),
        Fitness::Good => None,
    }
}

/// Chooses. What was chosen before and is missing is kept while it is `awaited`.
pub fn choose(
    rule: &Rule,
    machine: &[Candidate],
    vips: &BTreeSet<IpAddr>,
    previous: &[IpAddr],
    awaited: bool,
) -> Choice {
    let Sorted { fit, mut reasons } = sort(rule, machine, vips, previous);
    let is_missing =
        |ip: &IpAddr| reasons.get(ip).is_some_and(|(_, reason)| reason.passes()) && lets_in(rule, *ip);
    let stays: Vec<IpAddr> =
        previous.iter().filter(|ip| fit.contains_key(ip) || is_missing(ip)).copied().collect();
    let waits = awaited && stays.iter().any(is_missing);
    let chosen = if waits { stays } else { settle(rule, &fit, previous) };
    // Nothing fits: what was chosen stays in force, unless it has become a VIP, which is never one of the node's own.
    let nothing = chosen.is_empty();
    let addresses = if nothing {
        let is_vip =
            |ip: &IpAddr| vips.contains(ip) || reasons.get(ip).is_some_and(|(_, why)| *why == Reason::Vip);
        previous.iter().filter(|ip| !is_vip(ip)).copied().collect()
    } else {
        chosen
    };
    let kept = previous.iter().any(|ip| addresses.contains(ip));
    for (ip, (link, _)) in fit {
        let reason = if kept { Reason::CameLater } else { Reason::NotFirst };
        if !addresses.contains(&ip) {
            reasons.insert(ip, (Some(link), reason));
        }
    }
    let left_out = reasons.into_iter().map(|(ip, (link, reason))| LeftOut { ip, link, reason }).collect();
    Choice { stale: !addresses.is_empty() && (nothing || waits), addresses, left_out }
}

/// The addresses that the rule can take with link and prefix, and the others with link and reason.
struct Sorted {
    fit: BTreeMap<IpAddr, (String, u8)>,
    reasons: BTreeMap<IpAddr, (Option<String>, Reason)>,
}

fn sort(rule: &Rule, machine: &[Candidate], vips: &BTreeSet<IpAddr>, previous: &[IpAddr]) -> Sorted {
    let mut sorted = Sorted { fit: BTreeMap::new(), reasons: BTreeMap::new() };
    for candidate in machine {
        let place = rule.subnets().map(|subnets| subnets.place(candidate.ip));
        let reason = unfit(candidate, vips).or(match place {
            None | Some(Place::In(_)) => None,
            Some(Place::Outside) => Some(Reason::Outside),
            Some(Place::TakenAway(by)) => Some(Reason::TakenAway(by)),
        });
        let link = candidate.link.clone();
        // One address may stand on two links: one that will do is enough, the more specific prefix counts.
        if let Some(reason) = reason {
            sorted.reasons.entry(candidate.ip).or_insert((Some(link), reason));
            continue;
        }
        let best = sorted.fit.entry(candidate.ip).or_insert((link, candidate.prefix));
        best.1 = best.1.max(candidate.prefix);
    }
    for ip in previous {
        if !sorted.fit.contains_key(ip) {
            let reason = if vips.contains(ip) { Reason::Vip } else { Reason::Missing };
            sorted.reasons.entry(*ip).or_insert((None, reason));
        }
    }
    let fit = &sorted.fit;
    sorted.reasons.retain(|ip, _| !fit.contains_key(ip));
    sorted
}

fn lets_in(rule: &Rule, ip: IpAddr) -> bool {
    rule.subnets().is_none_or(|subnets| subnets.lets_in(ip))
}

/// The choice from what fits, group by group.
fn settle(rule: &Rule, fit: &BTreeMap<IpAddr, (String, u8)>, previous: &[IpAddr]) -> Vec<IpAddr> {
    let kept = |group: &[IpAddr]| -> Vec<IpAddr> {
        group.iter().filter(|ip| previous.contains(ip)).copied().collect()
    };
    let first = |group: &[IpAddr]| kept(group).first().or(group.first()).copied();
    match rule {
        Rule::All(_) => {
            let kept_or_all = |group: Vec<IpAddr>| match kept(&group) {
                none if none.is_empty() => group,
                kept => kept,
            };
            by_entry(rule, fit).into_iter().flat_map(kept_or_all).collect()
        }
        Rule::First => first(&by_rank(fit)).into_iter().collect(),
        Rule::OneOfEachFamily(subnets) => {
            let ordered = if subnets.is_some() { by_entry(rule, fit).concat() } else { by_rank(fit) };
            // Nobody asked for a family that there was none of: what comes with a VPN is none of the node's.
            let holds = subnets.is_none() && ordered.iter().any(|ip| previous.contains(ip));
            let had = |v4| previous.iter().any(|ip| ip.is_ipv4() == v4);
            let family_of_first = ordered.first().is_none_or(IpAddr::is_ipv4);
            let (same, other): (Vec<_>, Vec<_>) =
                ordered.into_iter().partition(|ip| ip.is_ipv4() == family_of_first);
            let one = |family: &[IpAddr]| first(family).filter(|ip| !holds || had(ip.is_ipv4()));
            one(&same).into_iter().chain(one(&other)).collect()
        }
    }
}

/// What each entry of the rule's list lets in, in the order of the addresses.
fn by_entry(rule: &Rule, fit: &BTreeMap<IpAddr, (String, u8)>) -> Vec<Vec<IpAddr>> {
    let Some(subnets) = rule.subnets() else { return Vec::new() };
    let mut groups = vec![Vec::new(); subnets.len()];
    for ip in fit.keys() {
        if let Place::In(entry) = subnets.place(*ip) {
            groups[entry].push(*ip);
        }
    }
    groups
}

/// IPv4 before IPv6, the more specific prefix first, then by address.
fn by_rank(fit: &BTreeMap<IpAddr, (String, u8)>) -> Vec<IpAddr> {
    let mut all: Vec<_> = fit.iter().map(|(ip, (_, prefix))| (ip.is_ipv6(), u8::MAX - prefix, *ip)).collect();
    all.sort();
    all.into_iter().map(|(_, _, ip)| ip).collect()
}

#[cfg(test)]
mod tests;
