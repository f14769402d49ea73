//! Moves on purpose that lose nothing: no packet, and no open connection.

use std::net::IpAddr;
use std::time::Duration;

use mantle_tests::clock::now;
use mantle_tests::echo::{Connection, Echo};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use serde_json::Value;

use crate::witness::{PATIENCE, has_address, lost_since, owners, watch_for};

/// Two nodes with a VIP of each family, of which the first is owner; both serve TCP.
struct Scene {
    stage: Stage,
    services: Vec<Echo>,
}

const VIPS: [IpAddr; 2] = [VIP, VIP6];

fn scene(name: &str, settings: &str) -> Scene {
    let setting = Setting { vips: VIPS.to_vec(), settings, ..Setting::default() };
    let stage = Stage::set(name, &setting);
    let services = stage.nodes.iter().map(|node| Echo::start(&node.host)).collect();
    Scene { stage, services }
}

/// Has a VIP handed over by the agent on a node; the exit code, and what was printed.
fn hand_off(stage: &Stage, at: usize, arguments: &[&str]) -> (Option<i32>, String) {
    let (vip, host) = (VIP.to_string(), &stage.nodes[at].host);
    let config = stage.lab.config_path(host);
    let mut command = vec!["handoff", &vip, "-c", config.to_str().unwrap()];
    command.extend(arguments);
    let output = stage.lab.mantle(host, &command);
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).unwrap())
}

fn shown(status: &Value, vip: IpAddr) -> &Value {
    let vips = status["vips"].as_array().expect("a list");
    vips.iter().find(|shown| shown["vip"] == vip.to_string()).expect("it is configured")
}

#[test]
fn an_owner_that_ends_loses_no_packet_and_no_connection() {
    let Scene { mut stage, services } = scene("handoff-sigterm", "");
    let client = stage.lab.host("client2");
    let mut open: Vec<Connection> = VIPS.iter().map(|vip| Connection::open(&client, *vip)).collect();
    assert!(open.iter().all(|connection| connection.server == "a"));
    let stopped = now();
    stage.nodes[0].agent.signal(nix::sys::signal::Signal::SIGTERM);
    stage.wait_owner(1, stopped);
    for connection in &mut open {
        connection.ask();
    }
    for vip in VIPS {
        assert_eq!(Connection::open(&client, vip).server, "b", "new ones go to the new owner");
        assert_eq!(lost_since(&stage, vip, stopped), 0, "of {vip}");
        assert_eq!(owners(&stage, vip), [Some("a".into()), Some("b".into())]);
    }
    let draining = stage.wait_status(0, "the connections that are left", |status| {
        VIPS.iter().all(|vip| shown(status, *vip)["connections"] == 1)
    });
    assert_eq!(shown(&draining, VIP)["stance"], "forwarding");
    assert!(stage.nodes[0].agent.is_running(), "it lives on for them");
    for connection in &mut open {
        connection.ask();
    }
    drop(open);
    let exit = stage.nodes[0].agent.wait(SOON).expect("the agent ends when no connection is left");
    assert!(exit.success(), "{exit}");
    assert!(now().since(stopped) < Duration::from_secs(10), "it did not wait for the drain's end");
    for vip in VIPS {
        assert!(!has_address(&stage, 0, vip));
        assert_eq!(lost_since(&stage, vip, stopped), 0, "of {vip}, with the drain ended");
    }
    stage.end();
    drop(services);
}

#[test]
fn a_vip_is_handed_there_and_back_by_command() {
    let Scene { stage, services } = scene("handoff-command", "handoff: {drain: 3s}");
    let began = now();
    for number in 0..10 {
        let from = number % 2;
        let asked = now();
        let arguments: &[&str] = if number < 5 { &[] } else { &["--to", ["b", "a"][from]] };
        let (code, told) = hand_off(&stage, from, arguments);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains(["handed over to b in ", "handed over to a in "][from]), "{told}");
        stage.client.wait_answered(VIP, ["b", "a"][from], asked, SOON);
        watch_for(Duration::from_millis(200));
    }
    assert_eq!(lost_since(&stage, VIP, began), 0);
    assert_eq!(owners(&stage, VIP).len(), 11, "one record for each move");
    assert_eq!(owners(&stage, VIP6), [Some("a".into())], "the other stays where it is");
    let (code, told) = hand_off(&stage, 0, &["--wait"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("drained after "), "{told}");
    assert!(!has_address(&stage, 0, VIP));
    watch_for(Duration::from_millis(200));
    assert_eq!(lost_since(&stage, VIP, began), 0, "nor by the drain's end");
    stage.end();
    drop(services);
}

#[test]
fn what_is_on_its_way_when_a_vip_moves_arrives_whole() {
    const MUCH: u64 = 128 << 20;
    // Checking every byte takes long on a busy machine.
    let Scene { stage, services } = scene("handoff-bulk", "handoff: {drain: 1m}");
    let client = stage.lab.host("client2");
    let mut connections = [VIP, VIP].map(|vip| Connection::open(&client, vip));
    let (moved, [down, up]) = std::thread::scope(|scope| {
        let [down, up] = &mut connections;
        let down = scope.spawn(|| (down.download(MUCH), now()).1);
        let up = scope.spawn(|| (up.upload(MUCH), now()).1);
        watch_for(Duration::from_millis(20));
        let (code, told) = hand_off(&stage, 0, &[]);
        assert_eq!(code, Some(0), "{told}");
        (now(), [down, up].map(|thread| thread.join().unwrap()))
    });
    assert!(down > moved && up > moved, "too little was on its way");
    stage.end();
    drop(services);
}

#[test]
fn a_successor_that_is_frozen_is_passed_over_and_nothing_is_lost() {
    let stage = Stage::set("handoff-frozen", &Setting { nodes: &["a", "b", "nc"], ..Setting::default() });
    stage.nodes[1].agent.freeze();
    let asked = now();
    let (code, told) = hand_off(&stage, 0, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("handed over to nc"), "{told}");
    stage.client.wait_answered(VIP, "nc", asked, SOON);
    stage.nodes[1].agent.thaw();
    // It finds an offer that stands no more.
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("nc".into())]);
    assert_eq!(lost_since(&stage, VIP, asked), 0);
    assert!(!has_address(&stage, 1, VIP));
    stage.end();
}

#[test]
fn a_successor_that_dies_with_connections_left_behind_leaves_them_where_they_are() {
    let Scene { mut stage, services } = scene("handoff-successor-dies", "");
    let client = stage.lab.host("client2");
    let mut open = Connection::open(&client, VIP);
    let (code, told) = hand_off(&stage, 0, &[]);
    assert_eq!(code, Some(0), "{told}");
    // It is owner by the record a moment before it answers, and until then a does.
    stage.client.wait_answered(VIP, "b", now(), SOON);
    open.ask();
    stage.nodes[1].agent.kill9();
    let died = now();
    stage.client.wait_answered(VIP, "a", died, SOON);
    open.ask();
    assert_eq!(open.server, "a");
    assert_eq!(owners(&stage, VIP).last(), Some(&Some("a".into())));
    stage.end();
    drop(services);
}

#[test]
fn a_preferred_node_that_is_back_is_handed_the_vip_after_the_delay() {
    let mut stage = Stage::empty("handoff-preempt", &Setting::default());
    let began = now();
    let settings = stage.config();
    let preferring = settings.replacen("\n---", "\nhandoff: {preempt: 2s, drain: 1s}\n---", 1);
    let preferred = settings.replacen("\n---", "\npriority: 200\n---", 1);
    let host = stage.lab.host("a");
    stage.add_host(host, &preferring);
    stage.wait_owner(0, began);
    let host = stage.lab.host("b");
    let added = now();
    stage.add_host(host, &preferred);
    stage.wait_owner(1, added);
    let moved = stage.history.changes()[&VIP][1].at;
    assert!(moved.since(added) >= Duration::from_secs(2), "{:?}", moved.since(added));
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())], "and there it stays");
    assert_eq!(lost_since(&stage, VIP, added), 0);
    stage.end();
}

#[test]
fn what_nobody_is_ready_for_stays_and_the_command_says_why() {
    let Scene { stage, services } = scene("handoff-refused", "");
    let (code, told) = hand_off(&stage, 1, &[]);
    assert_eq!(code, Some(7), "{told}");
    assert!(told.contains("a is owner"), "{told}");
    let (code, told) = hand_off(&stage, 0, &["--to", "nobody"]);
    assert_eq!((code, told.contains("nobody is not alive")), (Some(7), true), "{told}");
    stage.nodes[1].host.set_link(PUBLIC_LINK, false);
    stage.wait_status(1, "that nothing is ready", |status| shown(status, VIP)["ready"] == false);
    let since = now();
    // What b says of itself takes a moment to get to a.
    watch_for(Duration::from_millis(300));
    for (arguments, why) in
        [(&[][..], "no other node is alive, ready for it"), (&["--to", "b"], "b is not ready for it")]
    {
        let (code, told) = hand_off(&stage, 0, arguments);
        assert_eq!((code, told.contains(why)), (Some(7), true), "{told}");
    }
    assert_eq!(lost_since(&stage, VIP, since), 0);
    assert_eq!(owners(&stage, VIP), [Some("a".into())]);
    stage.end();
    drop(services);
}
