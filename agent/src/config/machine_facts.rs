//! The config held against what is on the machine. Pure: who calls it has asked the kernel.

use ipnet::IpNet;

use super::error::{Concern, Error, Fault, Warning};
use super::{Config, Vip};

/// A link as the machine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineLink {
    /// Its name, its altnames and its alias.
    pub names: Vec<String>,
    /// Its addresses with their prefix lengths, without those that Mantle itself put there.
    pub addresses: Vec<IpNet>,
}

/// What is wrong or doubtful about a config on this machine.
#[derive(Debug, Default)]
pub struct Findings {
    /// With these the agent cannot do what the config says.
    pub errors: Vec<Error>,
    /// These may not be meant.
    pub warnings: Vec<Warning>,
}

/// Holds the VIPs of a config against the machine's links.
pub fn check_against(config: &Config, links: &[MachineLink]) -> Findings {
    let mut findings = Findings::default();
    for vip in &config.vips {
        if let Some(fault) = own_address(vip, links) {
            findings.errors.push(Error { origin: vip.origin.clone(), fault });
            continue;
        }
        match links.iter().find(|link| link.names.contains(&vip.link)) {
            Some(link) => check_networks(vip, link, &mut findings),
            None => warn(vip, Concern::LinkMissing { vip: vip.ip, link: vip.link.clone() }, &mut findings),
        }
    }
    findings
}

/// A VIP is never one of a node's own addresses (I7): on whichever link, the kernel would answer for it.
fn own_address(vip: &Vip, links: &[MachineLink]) -> Option<Fault> {
    let has_it = |link: &&MachineLink| link.addresses.iter().any(|net| net.addr() == vip.ip);
    let link = links.iter().find(has_it)?;
    Some(Fault::OwnAddress { vip: vip.ip, link: link.names.first().cloned().unwrap_or_default() })
}

fn check_networks(vip: &Vip, link: &MachineLink, findings: &mut Findings) {
    let networks: Vec<IpNet> = link
        .addresses
        .iter()
        .filter(|net| net.addr().is_ipv4() == vip.ip.is_ipv4())
        .map(IpNet::trunc)
        .collect();
    let Some(net) = networks.iter().find(|net| net.contains(&vip.ip)) else {
        let nets = match networks.as_slice() {
            [] => "it has none of this family".to_owned(),
            some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let concern = Concern::OutsideNetworks { vip: vip.ip, link: vip.link.clone(), nets };
        return warn(vip, concern, findings);
    };
    if let Some(which) = not_a_host(vip, *net) {
        let fault = Fault::NotAHost { vip: vip.ip, which, net: *net, link: vip.link.clone() };
        findings.errors.push(Error { origin: vip.origin.clone(), fault });
    }
}

/// The first and the last address of an IPv4 network are no host's, except in a /31 (RFC 3021) and a /32. IPv6 knows
/// no such thing but the anycast address of the routers, which an owner may well be meant to answer for.
fn not_a_host(vip: &Vip, net: IpNet) -> Option<&'static str> {
    match net {
        IpNet::V4(net) if net.prefix_len() < 31 && vip.ip == net.broadcast() => Some("broadcast"),
        IpNet::V4(net) if net.prefix_len() < 31 && vip.ip == net.network() => Some("network"),
        _ => None,
    }
}

fn warn(vip: &Vip, concern: Concern, findings: &mut Findings) {
    findings.warnings.push(Warning { origin: vip.origin.clone(), concern });
}
