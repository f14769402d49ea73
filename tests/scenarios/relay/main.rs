//! A VIP that two nodes serve for a while: what the kernel program sends on and back, on the wire. The protocol has no
//! part in it: a scenario tells each node's program how to stand to the VIPs.

#![expect(clippy::unwrap_used, reason = "a scenario's own functions fail where they stand, like its tests")]

mod pair;

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use mantle::dataplane::Counter;
use mantle_tests::Host;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::echo::{Connection, Echo};
use mantle_tests::lab::PUBLIC_LINK;

use pair::{Hook, Node, Pair, VIPS};

const SOON: Duration = Duration::from_secs(10);

/// So many connections to each VIP are open when it is handed over.
const OPEN: usize = 25;

/// Enough to be sent in frames as long as they may become.
const BULK: u64 = 8 << 20;

fn own_addresses(host: &Host) -> Vec<IpAddr> {
    host.addresses(PUBLIC_LINK).into_iter().map(|net| net.addr()).collect()
}

fn connections(host: &Host, count: usize) -> Vec<Connection> {
    VIPS.into_iter().flat_map(|vip| (0..count).map(move |_| Connection::open(host, vip))).collect()
}

fn assert_served_by(connections: &[Connection], name: &str) {
    assert!(connections.iter().all(|connection| connection.server == name));
}

const BY_ONE: &str = "one";
const BY_OTHER: &str = "other";

fn open_connections_live_on_and_new_ones_go_to_the_successor(name: &str, hook: Hook) {
    let mut pair = Pair::new(name, hook);
    let _services = [&pair.one, &pair.other].map(|node| Echo::start(&node.host));
    let neighbour = pair.lab.host("neighbour");
    // It believes no announcement. A kernel would believe a solicitation, and so be able to answer it; this one is known.
    let stubborn = pair.lab.host("stubborn");
    for vip in VIPS {
        stubborn.pin_neighbour(PUBLIC_LINK, vip, pair.one.mac);
    }
    for own in own_addresses(&stubborn) {
        pair.other.host.pin_neighbour(pair.other.link, own, stubborn.port(PUBLIC_LINK).mac());
    }
    let probes = pair.lab.client(&VIPS);
    for vip in VIPS {
        probes.wait_answered(vip, "one", now(), SOON);
    }
    let mut open = connections(&neighbour, OPEN);
    open.extend(connections(&stubborn, OPEN));
    assert_served_by(&open, BY_ONE);

    let before = now();
    pair.hand_over();
    for vip in VIPS {
        probes.wait_answered(vip, "other", now(), SOON);
    }

    for _ in 0..20 {
        open.iter_mut().for_each(Connection::ask);
    }
    // In both directions, by way of the other node and without.
    for connection in open.iter_mut().step_by(OPEN) {
        connection.upload(BULK);
        connection.download(BULK);
    }
    assert!(pair.other.counted(Counter::SentBack).iter().all(|count| *count > 0), "the neighbour's packets");
    let forwarded = pair.one.counted(Counter::Forwarded);
    for from in [&neighbour, &stubborn] {
        let mut new = connections(from, 10);
        assert_served_by(&new, BY_OTHER);
        new.iter_mut().for_each(Connection::ask);
        for connection in new.iter_mut().step_by(10) {
            connection.upload(BULK);
            connection.download(BULK);
        }
    }
    let by_then = pair.one.counted(Counter::Forwarded);
    assert!(
        forwarded.iter().zip(by_then).all(|(before, after)| *before < after),
        "the stubborn one's packets"
    );

    // The one no longer knows where they are, and asks without saying that it has the VIPs.
    pair.one.host.forget_neighbours(pair.one.link);
    open.iter_mut().for_each(Connection::ask);

    let probes = probes.stop();
    for of_vip in probes.iter() {
        assert_eq!(of_vip.lost_in(before..), 0, "{}", of_vip.vip());
        let nodes: Vec<_> = of_vip.runs().into_iter().map(|run| run.node).collect();
        assert_eq!(nodes, ["one", "other"]);
        assert_eq!(of_vip.doubled(), 0);
    }
    for node in [&pair.one, &pair.other] {
        assert_eq!(node.counted(Counter::Conflicts), [0; 2]);
        assert_eq!(node.counted(Counter::Expired), [0; 2]);
    }
    pair.assert_one_owner_on_the_wire();
}

#[test]
fn open_connections_live_on_and_new_ones_go_to_the_successor_at_tc() {
    open_connections_live_on_and_new_ones_go_to_the_successor("relay-tc", Hook::Tc);
}

#[test]
fn open_connections_live_on_and_new_ones_go_to_the_successor_at_native_xdp() {
    open_connections_live_on_and_new_ones_go_to_the_successor("relay-xdp", Hook::NativeXdp);
}

#[test]
fn open_connections_live_on_and_new_ones_go_to_the_successor_at_generic_xdp() {
    open_connections_live_on_and_new_ones_go_to_the_successor("relay-generic", Hook::GenericXdp);
}

/// Who asks while the one yields is told of the other, which is not owner yet.
fn who_asks_in_between_is_served_by_the_one_still(name: &str, hook: Hook) {
    let mut pair = Pair::new(name, hook);
    let _services = [&pair.one, &pair.other].map(|node| Echo::start(&node.host));
    pair.give_way();
    let (asker, probes) = (pair.lab.host("asker"), pair.lab.client(&VIPS));
    for vip in VIPS {
        probes.wait_answered(vip, "one", now(), SOON);
    }
    let mut open = connections(&asker, 1);
    open.iter_mut().for_each(Connection::ask);
    assert_served_by(&open, BY_ONE);
    assert!(pair.other.counted(Counter::SentBack).iter().all(|count| *count > 0), "they came by the other");
    pair.take_up();
    for vip in VIPS {
        probes.wait_answered(vip, "other", now(), SOON);
    }
    open.iter_mut().for_each(Connection::ask);
    for of_vip in probes.stop().iter() {
        assert_eq!(of_vip.lost(), 0, "{}", of_vip.vip());
        assert_eq!(of_vip.doubled(), 0);
    }
    pair.assert_one_owner_on_the_wire();
}

#[test]
fn who_asks_in_between_is_served_by_the_one_still_at_tc() {
    who_asks_in_between_is_served_by_the_one_still("between-tc", Hook::Tc);
}

#[test]
fn who_asks_in_between_is_served_by_the_one_still_at_native_xdp() {
    who_asks_in_between_is_served_by_the_one_still("between-xdp", Hook::NativeXdp);
}

#[test]
fn who_asks_in_between_is_served_by_the_one_still_at_generic_xdp() {
    who_asks_in_between_is_served_by_the_one_still("between-generic", Hook::GenericXdp);
}

/// Packets that neither node knows the connection of.
const STRAYS: u64 = 300;

/// A segment of no connection, to a VIP by way of a node.
fn stray(from: &Host, to: &Node, vip: IpAddr, port: u16) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(from.port(PUBLIC_LINK).mac().0, to.mac.0);
    let own = own_addresses(from).into_iter().find(|ip| ip.is_ipv4() == vip.is_ipv4()).unwrap();
    let ip = match (own, vip) {
        (IpAddr::V4(own), IpAddr::V4(vip)) => ethernet.ipv4(own.octets(), vip.octets(), 64),
        (IpAddr::V6(own), IpAddr::V6(vip)) => ethernet.ipv6(own.octets(), vip.octets(), 64),
        _ => unreachable!("both are of one family"),
    };
    let mut frame = Vec::new();
    ip.tcp(port, 7000, 1, 1000).ack(1).write(&mut frame, b"stray").unwrap();
    frame
}

fn strays_cross_once(name: &str, hook: Hook) {
    let mut pair = Pair::new(name, hook);
    let client = pair.lab.host("client");
    pair.hand_over();
    let counted = |pair: &Pair| [pair.one.counted(Counter::Forwarded), pair.other.counted(Counter::SentBack)];
    for (to, expected) in [(&pair.one, [STRAYS, 0]), (&pair.other, [0, STRAYS])] {
        let before = counted(&pair);
        for vip in VIPS {
            let frames: Vec<_> =
                (0..STRAYS).map(|n| stray(&client, to, vip, 10_000 + u16::try_from(n).unwrap())).collect();
            client.send_frames(PUBLIC_LINK, frames);
        }
        let rise = |counts: [[u64; 2]; 2]| {
            [0, 1].map(|node| [0, 1].map(|vip| counts[node][vip] - before[node][vip]))
        };
        let expected = expected.map(|count| [count; 2]);
        wait_for("every stray", SOON, || {
            let rise = rise(counted(&pair));
            assert!(
                rise.iter().zip(expected).all(|(rise, most)| rise.iter().all(|count| *count <= most[0])),
                "{rise:?}"
            );
            (rise == expected).then_some(())
        });
        // None crosses again.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(rise(counted(&pair)), expected);
    }
    for node in [&pair.one, &pair.other] {
        assert_eq!(node.counted(Counter::Expired), [0; 2]);
    }
}

#[test]
fn strays_cross_once_at_tc() {
    strays_cross_once("strays-tc", Hook::Tc);
}

#[test]
fn strays_cross_once_at_native_xdp() {
    strays_cross_once("strays-xdp", Hook::NativeXdp);
}

#[test]
fn strays_cross_once_at_generic_xdp() {
    strays_cross_once("strays-generic", Hook::GenericXdp);
}
