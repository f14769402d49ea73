use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::addresses::{Candidate, Keeper, Patience, Subnets, trouble};
use crate::link::Fitness;
use mantle_protocol::Instant;

fn subnets(text: &str) -> Option<Subnets> {
    Subnets::new(text.split_whitespace().map(|entry| entry.parse().unwrap()).collect())
}

fn chosen(wishes: &Wishes, there: &str, vip: &str) -> Vec<Kept> {
    let candidate = |net: &str| {
        let (ip, prefix) = net.split_once('/').unwrap();
        Candidate {
            ip: ip.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            link: "eth0".to_owned(),
            up: true,
            fitness: Fitness::Good,
            ours: false,
        }
    };
    let machine: Vec<_> = there.split_whitespace().map(candidate).collect();
    let vips: BTreeSet<IpAddr> = vip.split_whitespace().map(|ip| ip.parse().unwrap()).collect();
    let mut keeper = Keeper::new(wishes, &BTreeMap::new(), Patience::NONE, Instant::ZERO);
    keeper.look(Instant::ZERO, &machine, &vips)
}

#[test]
fn etcd_hears_where_to_listen_and_what_to_advertise() {
    let wishes = Wishes {
        advertised: subnets("192.168.0.0/16 2001::/16"),
        listen: subnets("192.168.0.0/16"),
        etcd_encrypted: true,
        ..Wishes::default()
    };
    let there = "10.0.0.5/24 192.168.1.1/24 192.168.1.50/32 2001:db8:85a3::8a2e:370:7334/64 \
                 2002:db8:85a3::8a2e:370:7335/64";
    let all = chosen(&wishes, there, "192.168.1.50");
    let advertised =
        |port| format!("https://192.168.1.1:{port},https://[2001:db8:85a3::8a2e:370:7334]:{port}");
    assert_eq!(
        environment("etcd", &wishes, &all).unwrap(),
        format!(
            "ETCD_LISTEN_PEER_URLS=https://192.168.1.1:2380\nETCD_INITIAL_ADVERTISE_PEER_URLS={}\n\
             ETCD_LISTEN_CLIENT_URLS=https://127.0.0.1:2379,https://192.168.1.1:2379\n\
             ETCD_ADVERTISE_CLIENT_URLS={}\n",
            advertised(2380),
            advertised(2379)
        )
    );
}

#[test]
fn etcd_listens_where_it_advertises_and_everywhere_if_nothing_is_said() {
    let listen_lines = |wishes: &Wishes, there| -> Vec<String> {
        let text = environment("etcd", wishes, &chosen(wishes, there, "")).unwrap();
        text.lines().filter(|line| line.starts_with("ETCD_LISTEN")).map(str::to_owned).collect()
    };
    let advertised = Wishes { advertised: subnets("10.0.0.0/8"), ..Wishes::default() };
    assert_eq!(
        listen_lines(&advertised, "10.0.0.5/24 192.168.1.1/24"),
        [
            "ETCD_LISTEN_PEER_URLS=http://10.0.0.5:2380",
            "ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379,http://10.0.0.5:2379"
        ]
    );
    let nothing = Wishes::default();
    assert_eq!(
        listen_lines(&nothing, "10.0.0.5/24 fd00::1/64"),
        ["ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380", "ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379"]
    );
    assert_eq!(
        listen_lines(&nothing, "fd00::1/64"),
        ["ETCD_LISTEN_PEER_URLS=http://[::]:2380", "ETCD_LISTEN_CLIENT_URLS=http://[::]:2379"]
    );
}

#[test]
fn kubelet_and_others_get_theirs() {
    let named = BTreeMap::from([("my-db".to_owned(), subnets("10.0.0.0/8"))]);
    let wishes = Wishes { named, ..Wishes::default() };
    let all = chosen(&wishes, "10.0.0.5/24 10.0.0.6/24 fd00::1/64", "");
    assert_eq!(
        environment("kubelet", &wishes, &all).unwrap(),
        "KUBELET_NODE_IP=10.0.0.5,fd00::1\nKUBELET_EXTRA_ARGS=--node-ip=10.0.0.5,fd00::1\n"
    );
    assert_eq!(
        environment("my-db", &wishes, &all).unwrap(),
        "MY_DB_ADDRESS=10.0.0.5\nMY_DB_ADDRESSES=10.0.0.5,10.0.0.6\n"
    );
    assert_eq!(environment("nobody", &wishes, &all), None);
}

#[test]
fn where_nothing_fits_there_is_no_file_but_a_reason_for_each_address() {
    let wishes = Wishes {
        advertised: subnets("172.16.0.0/12 !172.16.0.1"),
        kubelet: subnets("!10.0.0.5"),
        ..Wishes::default()
    };
    let all = chosen(&wishes, "10.0.0.5/24 172.16.0.1/16", "");
    assert_eq!(environment("etcd", &wishes, &all), None);
    assert_eq!(
        trouble(&all[0]).unwrap(),
        "no address for etcd-advertised by [172.16.0.0/12, !172.16.0.1/32]\n  \
         10.0.0.5 on eth0: in none of the subnets\n  172.16.0.1 on eth0: taken away by !172.16.0.1/32"
    );
    let kubelet = trouble(&all[2]).unwrap();
    assert!(
        kubelet.starts_with("no address for kubelet: [!10.0.0.5/32] only takes away; begin the list with"),
        "{kubelet}"
    );
}

/// systemd unquotes, unescapes and strips what is in such a file (systemd.exec(5)), a shell splits and expands it besides.
#[test]
fn what_is_in_the_files_needs_no_quotes() {
    let wishes = Wishes {
        advertised: subnets("10.0.0.0/8 fd00::/8"),
        kubelet: subnets("10.0.0.0/8 fd00::/8"),
        named: [("my-db2".to_owned(), subnets("10.0.0.0/8 fd00::/8"))].into(),
        ..Wishes::default()
    };
    let all = chosen(&wishes, "10.0.0.1/24 10.0.0.2/24 fd00::1/64", "");
    for consumer in wishes.consumers() {
        let text = environment(consumer, &wishes, &all).unwrap();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap();
            let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(
                name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_name),
                "{line}"
            );
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.,:/[]=".contains(c);
            assert!(!value.is_empty() && value.chars().all(is_plain), "{line}");
        }
    }
}
