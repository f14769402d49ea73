//! The table: what is tried on which machines. A new driver or kernel is a row here.

use std::time::Duration;

use super::cluster::{Cluster, Plan, course, course_with, lossy};
use super::machine::{Card, Hardware, On};
use super::{Bench, unit_tests};

/// One row.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The lines of the kernels that it boots.
    pub(super) kernels: &'static [&'static str],
    /// Whether it belongs to the quick set.
    pub(super) quick: bool,
    /// Why it is red until that is repaired, and what it says then.
    pub(super) red: Option<Red>,
    pub(super) run: fn(&str, &Bench) -> String,
}

/// What a row that is known to be red says, and why. Anything else that goes wrong in it is a failure.
pub(super) struct Red {
    pub(super) says: &'static str,
    pub(super) because: &'static str,
}

/// All rows.
pub(super) fn all() -> Vec<Row> {
    let mut rows = vec![
        Row {
            name: "tests-6.1",
            about: "the data plane's and the links' tests on 6.1",
            kernels: &["6.1"],
            quick: true,
            red: None,
            run: |name, bench| unit_tests::run(name, "6.1", bench),
        },
        Row {
            name: "tests-6.12",
            about: "the data plane's and the links' tests on 6.12",
            kernels: &["6.12"],
            quick: true,
            red: None,
            run: |name, bench| unit_tests::run(name, "6.12", bench),
        },
    ];
    rows.extend(drivers());
    rows.extend(links());
    rows.extend(surroundings());
    rows.extend(trouble());
    rows
}

/// A row of the quick set.
fn quick(name: &'static str, about: &'static str, run: fn(&str, &Bench) -> String) -> Row {
    Row { quick: true, ..row(name, about, run) }
}

fn row(name: &'static str, about: &'static str, run: fn(&str, &Bench) -> String) -> Row {
    Row { name, about, kernels: MIXED, quick: false, red: None, run }
}

fn drivers() -> Vec<Row> {
    vec![
        quick("virtio-tc", "virtio-net, the program at TC, 6.1 and 6.12 mixed", |name, bench| {
            course(name, &plain("virtio-net-pci", "dataplane: {mode: tc}"), bench)
        }),
        quick("virtio-xdp", "virtio-net, the program at native XDP", |name, bench| {
            course(name, &plain("virtio-net-pci", "dataplane: {mode: xdp}"), bench)
        }),
        quick("e1000e", "e1000e", |name, bench| course(name, &plain("e1000e", ""), bench)),
        quick("vmxnet3", "vmxnet3", |name, bench| course(name, &plain("vmxnet3", ""), bench)),
    ]
}

fn links() -> Vec<Row> {
    vec![
        row("bond", "an active-backup bond of two e1000e, whose active slave changes", |name, bench| {
            course_with(name, &bonded("none"), bench, change_slave)
        }),
        row(
            "bond-mac",
            "likewise with fail_over_mac active: the MAC changes with the slave",
            |name, bench| course_with(name, &bonded("active"), bench, change_slave),
        ),
        row("bridge", "a bridge over the card, the VIP on the bridge", |name, bench| {
            let links = "ip link add br0 type bridge && ip link set eth0 master br0 && ip link set eth0 up";
            course(name, &on_top("br0", links), bench)
        }),
        row("macvlan", "a macvlan on the card", |name, bench| {
            let links = "ip link set eth0 up && ip link add link eth0 name mac0 type macvlan mode bridge";
            course(name, &on_top("mac0", links), bench)
        }),
        Row {
            red: Some(Red {
                says: "in vain for an answer of a",
                because: "no probe is answered on a link in a VRF; why is not known yet",
            }),
            ..row("vrf", "the card in a VRF", |name, bench| {
                let links = "sysctl -qw net.ipv4.udp_l3mdev_accept=1 && ip link add vrf0 type vrf table 10 \
                             && ip link set vrf0 up && ip link set eth0 master vrf0";
                course(name, &on_top("eth0", links), bench)
            })
        },
    ]
}

fn surroundings() -> Vec<Row> {
    vec![
        row(
            "nftables",
            "nftables with connection tracking: only what is known or wanted comes in",
            |name, bench| {
                let links = "nft 'add table inet f; add chain inet f in { type filter hook input priority 0; policy drop; }; \
                         add rule inet f in ct state established,related accept; add rule inet f in iif lo accept; \
                         add rule inet f in meta l4proto { icmp, icmpv6, udp } accept; add rule inet f in tcp dport 22 accept'";
                course(name, &on_top("eth0", links), bench)
            },
        ),
        row("router", "strict rp_filter, and ip_forward", |name, bench| {
            let links = "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.ip_forward=1 \
                         net.ipv6.conf.all.forwarding=1";
            course(name, &on_top("eth0", links), bench)
        }),
        Row {
            red: Some(Red {
                says: "is not ready",
                because: "an agent does not take a VIP that stands elsewhere on its machine",
            }),
            ..row(
                "dummy",
                "the VIP on a dummy device of every node, as kube-proxy puts it in IPVS mode",
                |name, bench| {
                    let links =
                        "ip link add kube-ipvs0 type dummy && ip addr add 10.77.0.100/32 dev kube-ipvs0";
                    course(name, &on_top("eth0", links), bench)
                },
            )
        },
    ]
}

fn trouble() -> Vec<Row> {
    vec![
        row(
            "netem",
            "delay, loss, duplicates and reordering on both networks of every node",
            |name, bench| {
                let links = "for link in eth0 eth1; do tc qdisc add dev $link root netem delay 10ms 5ms loss 0.5% duplicate 1% \
                         reorder 5%; done";
                lossy(name, &on_top("eth0", links), bench)
            },
        ),
        row("clock", "the owner's clock stepped by an hour, ahead and back", |name, bench| {
            course_with(name, &on_top("eth0", "true"), bench, |cluster, owner| {
                for step in ["+1 hour", "-2 hours"] {
                    cluster.nodes[owner].machine.run(&format!("date -s \"$(date -d '{step}')\" >/dev/null"));
                    std::thread::sleep(Duration::from_secs(5));
                }
            })
        }),
        row("full-disk", "no room below the state directory", |name, bench| {
            let links = "mkdir -p /var/lib/mantle && mount -t tmpfs -o size=16k tmpfs /var/lib/mantle \
                         && ! dd if=/dev/zero of=/var/lib/mantle/fill bs=1k 2>/dev/null";
            course(name, &on_top("eth0", links), bench)
        }),
    ]
}

/// The owner's active slave loses its cable for a while.
fn change_slave(cluster: &mut Cluster, owner: usize) {
    cluster.nodes[owner].machine.set_cable(0, false);
    std::thread::sleep(Duration::from_secs(5));
    cluster.nodes[owner].machine.set_cable(0, true);
    std::thread::sleep(Duration::from_secs(5));
}

/// The rows' names, for people.
pub(super) fn names() -> String {
    all().iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

const MIXED: &[&str] = &["6.1", "6.12"];

/// Three machines, of 6.1, 6.12 and 6.1, with these cards.
fn machines(cards: &[Card]) -> Vec<Hardware> {
    let machine = |kernel: &&str| Hardware { kernel: (*kernel).to_owned(), cards: cards.to_vec() };
    ["6.1", "6.12", "6.1"].iter().map(machine).collect()
}

/// Machines with a card for the VIP and one for etcd, and nothing else.
fn plain(model: &'static str, settings: &'static str) -> Plan {
    let cards = [Card { model, on: On::Public }, Card { model: "virtio-net-pci", on: On::Private }];
    Plan { hardware: machines(&cards), links: "true", link: "eth0", private: "eth1", settings }
}

/// Machines whose VIP is on a link that commands make of the card.
fn on_top(link: &'static str, links: &'static str) -> Plan {
    Plan { links, link, ..plain("virtio-net-pci", "") }
}

/// Machines whose VIP is on a bond of two cards.
fn bonded(fail_over_mac: &str) -> Plan {
    let public = Card { model: "e1000e", on: On::Public };
    let cards = [public, public, Card { model: "virtio-net-pci", on: On::Private }];
    let links = match fail_over_mac {
        "active" => {
            "ip link add bond0 type bond mode active-backup miimon 100 fail_over_mac active && ip link set eth0 master bond0 \
             && ip link set eth1 master bond0"
        }
        _ => {
            "ip link add bond0 type bond mode active-backup miimon 100 && ip link set eth0 master bond0 \
             && ip link set eth1 master bond0"
        }
    };
    Plan { hardware: machines(&cards), links, link: "bond0", private: "eth2", settings: "" }
}
