//! The config held against the machine.

use super::super::{Findings, MachineLink, check_against};
use super::read;

fn link(names: &[&str], addresses: &[&str]) -> MachineLink {
    MachineLink {
        names: names.iter().map(ToString::to_string).collect(),
        addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
    }
}

/// What is found about these VIPs: errors and warnings by line.
fn found(vips: &[(&str, &str)], links: &[MachineLink]) -> (Vec<String>, Vec<String>) {
    let document = |(ip, link): &(&str, &str)| {
        format!("--- {{apiVersion: v1alpha1, kind: Layer2VIPConfig, name: \"{ip}\", link: {link}}}\n")
    };
    let config = read(&vips.iter().map(document).collect::<String>()).unwrap();
    let Findings { errors, warnings } = check_against(&config, links);
    (errors.iter().map(ToString::to_string).collect(), warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_vip_in_its_links_network_is_fine_by_whichever_name() {
    let links = [
        link(&["lo"], &["127.0.0.1/8", "::1/128"]),
        link(&["eth0", "enp0s2", "uplink"], &["192.168.0.2/24", "fd00::2/64", "fe80::1/64"]),
    ];
    for name in ["eth0", "enp0s2", "uplink"] {
        let vips = [("192.168.0.15", name), ("fd00::15", name)];
        assert_eq!(found(&vips, &links), (vec![], vec![]));
    }
}

#[test]
fn a_nodes_own_address_is_refused_on_whichever_link() {
    let links = [link(&["eth0"], &["192.168.0.2/24"]), link(&["eth1"], &["10.0.0.1/32"])];
    assert_eq!(
        found(&[("192.168.0.2", "eth0"), ("10.0.0.1", "eth0")], &links).0,
        [
            "t.yaml:1:57: VIP 192.168.0.2 is this node's own address on link eth0; write an address that no machine has as \
             its own",
            "t.yaml:2:57: VIP 10.0.0.1 is this node's own address on link eth1; write an address that no machine has as its \
             own",
        ]
    );
}

#[test]
fn the_ends_of_an_ipv4_network_are_refused() {
    let links = [link(&["eth0"], &["192.168.0.2/24", "10.0.0.0/31", "fd00::2/64"])];
    let (errors, warnings) = found(
        &[("192.168.0.255", "eth0"), ("192.168.0.0", "eth0"), ("10.0.0.1", "eth0"), ("fd00::", "eth0")],
        &links,
    );
    assert_eq!(
        errors,
        [
            "t.yaml:1:57: VIP 192.168.0.255 is the broadcast address of 192.168.0.0/24 on link eth0; write another address \
             of that network",
            "t.yaml:2:57: VIP 192.168.0.0 is the network address of 192.168.0.0/24 on link eth0; write another address of \
             that network",
        ]
    );
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn what_may_not_be_meant_is_warned_of() {
    let links = [link(&["eth0"], &["192.168.0.2/24", "10.0.0.2/8"]), link(&["eth1"], &[])];
    let (errors, warnings) = found(
        &[("172.16.0.1", "eth0"), ("fd00::1", "eth0"), ("10.0.0.3", "eth1"), ("10.0.0.4", "eth2")],
        &links,
    );
    assert_eq!(errors, [""; 0]);
    assert_eq!(
        warnings,
        [
            "t.yaml:1:57: VIP 172.16.0.1 is outside the networks of link eth0 (192.168.0.0/24, 10.0.0.0/8): neighbours \
             there will not look for it",
            "t.yaml:2:57: VIP fd00::1 is outside the networks of link eth0 (it has none of this family): neighbours there \
             will not look for it",
            "t.yaml:3:57: VIP 10.0.0.3 is outside the networks of link eth1 (it has none of this family): neighbours there \
             will not look for it",
            "t.yaml:4:57: no link eth2 on this machine by name, altname or alias: VIP 10.0.0.4 waits for it",
        ]
    );
}
