//! What the kernel program counts, as an agent shows it: over every move of a VIP, and over the agent's own end.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use etherparse::{Icmpv6Type, PacketBuilder};
use mantle::wire::{Arp, Mac, solicited_node};
use mantle_tests::Host;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use serde_json::Value;

use crate::seen::metric;
use crate::witness::wait_stands_by;

/// How many ARP requests make a round.
const ROUND: u64 = 10;

/// Asks for the VIP by ARP.
fn ask(host: &Host) {
    let (IpAddr::V4(own), IpAddr::V4(vip)) = (host.address(PUBLIC_LINK), VIP) else {
        unreachable!("both are IPv4");
    };
    let mac = Mac([2, 0, 0, 0, 0xa5, 0x4e]);
    let request = Arp { sender_ip: own, ..Arp::gratuitous_request(vip, mac) };
    for _ in 0..ROUND {
        host.send_frame(PUBLIC_LINK, &request.frame());
    }
}

/// What the agent on a node says of a count of its kernel program.
fn count(status: &Value, what: &str) -> u64 {
    let kernel = &status["vips"][0]["kernel"];
    kernel.pointer(what).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {what} in {kernel}"))
}

/// Asks for the VIP, which the first node answers, and waits until it says so; how many it has answered by then, after
/// so many `before`.
#[track_caller]
fn asked_and_answered(stage: &Stage, asker: &Host, before: u64) -> u64 {
    ask(asker);
    let answered = |status: &Value| count(status, "/answered/arp") >= before + ROUND;
    count(&stage.wait_status(0, "every answer counted", answered), "/answered/arp")
}

#[test]
fn what_the_kernel_program_counts_is_shown_and_never_goes_backwards() {
    let mut stage = Stage::set("counted", &Setting::default());
    let asker = stage.lab.host("asker");
    for at in 0..2 {
        let status = stage.wait_status(at, "a link", |status| status["links"][0]["link"] == "eth0");
        assert!(["tc", "xdp"].contains(&status["links"][0]["mode"].as_str().unwrap()), "{status:#}");
        assert_eq!(status["vips"][0]["fence"], "kernel");
    }
    let answered = asked_and_answered(&stage, &asker, 0);

    // The client goes on sending to the frozen owner, whose kernel program drops that when the right is over.
    stage.nodes[0].agent.freeze();
    let frozen = now();
    stage.wait_owner(1, frozen);
    stage.nodes[0].agent.thaw();
    wait_stands_by(&stage, 0, "b");
    let status = stage.wait_status(0, "what was dropped", |status| count(status, "/dropped/ip") > 0);
    assert!(count(&status, "/answered/arp") >= answered, "the entry is gone, and what it counted stays");
    assert_eq!(count(&status, "/conflicts"), 0);

    let stopped = now();
    assert!(stage.nodes[1].agent.stop(SOON).success());
    stage.wait_owner(0, stopped);
    let status = stage.wait_status(0, "an owner again", |status| status["vips"][0]["stance"] == "owner");
    assert!(count(&status, "/answered/arp") >= answered, "the next entry goes on where the last one ended");
    let answered = asked_and_answered(&stage, &asker, answered);

    let host = &stage.nodes[0].host;
    let shown = format!("mantle_vip_answers_total{{vip=\"{VIP}\",kind=\"arp\"}}");
    wait_for("the count among the metrics", SOON, || {
        let counted = metric(host, &shown).to_string().parse::<u64>();
        (counted.expect("a count") >= answered).then_some(())
    });
    assert!(metric(host, &format!("mantle_vip_dropped_total{{vip=\"{VIP}\",what=\"ip\"}}")) > 0.5);

    stage.nodes[0].agent.kill9();
    stage.restart(0);
    stage.nodes[0].agent.wait_for_log("session of the previous agent resumed", SOON);
    // The last round was answered from the entry that it was left.
    stage.wait_status(0, "what its predecessor's entry counted", |status| {
        let answered = status.pointer("/vips/0/kernel/answered/arp").and_then(Value::as_u64);
        answered.is_some_and(|answered| answered >= ROUND)
    });
    stage.end();
}

/// Asks for the IPv6 VIP, as who knows nothing or, from nowhere, as who is about to take it.
fn solicit(host: &Host, from: IpAddr) {
    let (IpAddr::V6(from), IpAddr::V6(vip)) = (from, VIP6) else { unreachable!("both are IPv6") };
    let mac = Mac([2, 0, 0, 0, 0xa5, 0x4e]);
    let group = solicited_node(vip);
    let option = if from.is_unspecified() { Vec::new() } else { [&[1, 1][..], &mac.0].concat() };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac.0, Mac::of_group(group).0)
        .ipv6(from.octets(), group.octets(), 255)
        .icmpv6(Icmpv6Type::NeighborSolicitation)
        .write(&mut frame, &[&vip.octets()[..], &option].concat())
        .unwrap();
    for _ in 0..ROUND {
        host.send_frame(PUBLIC_LINK, &frame);
    }
}

#[test]
fn solicitations_conflicts_and_what_the_fence_keeps_in_are_counted() {
    // The address's lifetime is 4 s with this: time in which the right is over and it stands.
    let settings = "timing: {renew: 200ms, lease: 1100ms, silence: 1400ms}";
    let stage = Stage::set("counted-more", &Setting { vips: vec![VIP6], settings, ..Setting::default() });
    let asker = stage.lab.host("asker");
    let mut own = asker.addresses(PUBLIC_LINK).into_iter().map(|net| net.addr());
    let own = own.find(|ip| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local())).unwrap();

    let status = stage.wait_status(0, "an owner", |status| status["vips"][0]["stance"] == "owner");
    let (answered, conflicts) = (count(&status, "/answered/ns"), count(&status, "/conflicts"));
    solicit(&asker, own);
    let status = stage
        .wait_status(0, "every answer counted", |status| count(status, "/answered/ns") >= answered + ROUND);
    assert_eq!(count(&status, "/conflicts"), conflicts, "who asks claims nothing");
    solicit(&asker, Ipv6Addr::UNSPECIFIED.into());
    stage.wait_status(0, "every conflict counted", |status| count(status, "/conflicts") >= conflicts + ROUND);
    stage.nodes[0].agent.wait_for_log("another machine claims the VIP: defending it", SOON);

    // Somebody on the owner goes on speaking from the VIP, to whom he knows.
    let to = SocketAddr::new(own, 9);
    let speaking = stage.nodes[0].host.on_thread(move || {
        let socket = UdpSocket::bind((VIP6, 0)).unwrap();
        let end = now() + Duration::from_secs(3);
        while now() < end {
            // Without the address the kernel refuses.
            let _ = socket.send_to(b"still here", to);
            sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(count(&status, "/dropped/out"), 0);
    stage.nodes[0].agent.freeze();
    let frozen = now();
    stage.wait_owner(1, frozen);
    speaking.join().unwrap();
    stage.nodes[0].agent.thaw();
    wait_stands_by(&stage, 0, "b");
    stage.wait_status(0, "what was kept in", |status| count(status, "/dropped/out") > 0);
    stage.nodes[0].agent.wait_for_log("what leaves for the VIP is dropped", SOON);
    stage.end();
}
