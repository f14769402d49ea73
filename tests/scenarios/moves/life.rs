//! The life of an agent on its node: first start, restart, and what else runs or stands there.

use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use ipnet::IpNet;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};

use crate::witness::{
    PATIENCE, gap_since, has_address, last_frame, lost_since, owners, session_revision, wait_stands_by,
    watch_for,
};

#[test]
fn the_first_node_on_an_empty_etcd_is_owner_and_the_others_stand_by() {
    let stage = Stage::set("first-start", &Setting { nodes: &["a", "b", "c"], ..Setting::default() });
    let live = now();
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into())]);
    for (at, name) in [(1, "b"), (2, "c")] {
        wait_stands_by(&stage, at, "a");
        assert_eq!(last_frame(&stage, name, VIP), None, "a standby says nothing for the VIP");
        assert!(!has_address(&stage, at, VIP));
    }
    let probes = stage.end();
    assert_eq!(probes.of(VIP).lost_in(live..live + PATIENCE), 0);
}

#[test]
fn an_agent_killed_and_back_within_the_right_goes_on_without_a_gap() {
    // The steady timing leaves a busy machine two seconds to start the agent in.
    let setting = Setting { vips: vec![VIP, VIP6], settings: "timing: steady", ..Setting::default() };
    let mut stage = Stage::set("resume", &setting);
    let before = stage.status(0).expect("an agent runs on a");
    let killed = now();
    stage.nodes[0].agent.kill9();
    stage.restart(0);
    let after = stage.wait_status(0, "a resumed owner", |status| status["vips"][1]["stance"] == "owner");
    assert_eq!(after["session"]["id"], before["session"]["id"]);
    for at in [0, 1] {
        assert_eq!(after["vips"][at]["epoch"], before["vips"][at]["epoch"]);
    }
    // Longer than a standby of that timing waits.
    watch_for(Duration::from_secs(6));
    for vip in [VIP, VIP6] {
        assert_eq!(owners(&stage, vip), [Some("a".into())]);
    }
    let until = now();
    let probes = stage.end();
    for of_vip in probes.iter() {
        assert_eq!(of_vip.lost_in(killed..until), 0, "{}", of_vip.vip());
    }
}

#[test]
fn an_agent_back_after_a_takeover_stands_by() {
    let mut stage = Stage::set("back-late", &Setting::default());
    let session = stage.status(0).expect("an agent runs on a")["session"]["id"].clone();
    stage.nodes[0].agent.kill9();
    stage.wait_owner(1, now());
    stage.restart(0);
    let status = wait_stands_by(&stage, 0, "b");
    assert_ne!(status["session"]["id"], session, "the old session was ended by the takeover");
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())]);
    stage.end();
}

#[test]
fn the_only_node_comes_back_after_its_right() {
    let mut stage = Stage::set("only-node", &Setting { nodes: &["a"], ..Setting::default() });
    let epoch = stage.status(0).expect("an agent runs on a")["vips"][0]["epoch"].as_i64();
    stage.nodes[0].agent.kill9();
    wait_for("the kernel to take the address off", SOON, || (!has_address(&stage, 0, VIP)).then_some(()));
    watch_for(Duration::from_secs(1));
    let restarted = now();
    stage.restart(0);
    stage.wait_owner(0, restarted);
    let status = stage.wait_status(0, "an owner", |status| status["vips"][0]["stance"] == "owner");
    // What had gone off the link is never armed again under the record it had then.
    assert!(status["vips"][0]["epoch"].as_i64() > epoch);
    stage.end();
}

#[test]
fn a_second_agent_on_a_node_is_refused_and_the_first_is_not_disturbed() {
    let stage = Stage::set("second-agent", &Setting::default());
    let since = now();
    let host = &stage.nodes[0].host;
    let mut second = stage.lab.agent(host, &stage.config());
    let exit = second.wait(SOON).expect("the second agent ends");
    assert_eq!(exit.code(), Some(4), "{}", second.log());
    let told = format!("another mantle agent (pid {}) runs", stage.nodes[0].agent.pid());
    assert!(second.log().contains(&told), "{}", second.log());

    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into())]);
    assert!(stage.status(0).is_some(), "the first agent's socket is still its own");
    let until = now();
    let probes = stage.end();
    assert_eq!(probes.of(VIP).lost_in(since..until), 0);
}

#[test]
fn an_agent_that_cannot_listen_keeps_no_vip_however_often_it_is_started() {
    // Time to look at the session before b ends it, on a busy machine too.
    let settings = "timing: {renew: 200ms, lease: 4s, silence: 5200ms}";
    let mut stage = Stage::set("cannot-listen", &Setting { settings, ..Setting::default() });
    stage.nodes[0].agent.kill9();
    let killed = now();
    let taken = stage.nodes[0].host.run(|| TcpListener::bind("127.0.0.1:9480")).expect("the port is free");
    // A renewal may have been on its way.
    watch_for(Duration::from_millis(300));
    let renewed = session_revision(&stage, "a").expect("the session outlives the agent");
    // Until the takeover ends the session.
    while let Some(revision) = session_revision(&stage, "a") {
        assert_eq!(revision, renewed, "an agent that ends renewed the session, and so kept b waiting");
        assert!(now().since(killed) < SOON, "b never took over");
        stage.restart(0);
        let exit = stage.nodes[0].agent.wait(SOON).expect("the agent ends");
        assert_eq!(exit.code(), Some(1));
        let log = stage.nodes[0].agent.log();
        assert!(log.contains("cannot listen on http://127.0.0.1:9480"), "{log}");
    }
    stage.wait_owner(1, killed);
    drop(taken);
    stage.restart(0);
    wait_stands_by(&stage, 0, "b");
    stage.end();
}

#[test]
fn a_node_name_in_use_is_refused_until_it_is_free() {
    let mut stage = Stage::set("same-name", &Setting { nodes: &["a"], ..Setting::default() });
    let b = stage.lab.host("b");
    let config = stage.config().replace("kind: MantleConfig\n", "kind: MantleConfig\nnode: a\n");
    let since = now();
    let mut twin = stage.lab.agent(&b, &config);
    let is_refused = |status: &serde_json::Value| status["session"]["state"] == "refused";
    let status = wait_for("the twin's refusal", SOON, || stage.lab.status(&b).filter(is_refused));
    let reason = status["session"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("the name a is held by machine"), "{reason}");

    watch_for(Duration::from_secs(20));
    assert!(stage.lab.status(&b).is_some_and(|status| is_refused(&status)));
    assert_eq!(owners(&stage, VIP), [Some("a".into())]);
    assert_eq!(lost_since(&stage, VIP, since), 0, "the first is not disturbed");
    stage.lab.verdict(Some(&stage.history)).assert_in_order();

    stage.nodes[0].agent.kill9();
    stage.client.wait_answered(VIP, "b", now(), SOON);
    assert!(twin.is_running());
    // The records cannot tell the two apart: the order on the wire does.
    stage.lab.verdict(None).assert_in_order();
}

#[test]
fn leftovers_of_an_agent_are_removed_and_given_up_and_foreign_addresses_left_alone() {
    let foreign =
        ["10.77.0.200/32", "10.77.0.201/24", "fd77::200/128"].map(|net| net.parse::<IpNet>().unwrap());
    // On however busy a machine the agent is back before the kernel takes the address off.
    let settings = "timing: {renew: 500ms, lease: 8s, silence: 11s}";
    let setting = Setting { vips: vec![VIP, VIP6], settings, ..Setting::default() };
    let mut stage = Stage::set("leftovers", &setting);
    for net in foreign {
        stage.nodes[0].host.add_address(PUBLIC_LINK, net);
    }
    let before = stage.nodes[0].host.addresses(PUBLIC_LINK);
    stage.nodes[0].agent.kill9();
    let killed = now();

    stage.vips = vec![VIP6];
    stage.restart(0);
    wait_for("the leftover to go", SOON, || (!has_address(&stage, 0, VIP)).then_some(()));
    stage.nodes[0].agent.wait_for_log("removed what an earlier agent left", SOON);
    let mut after = stage.nodes[0].host.addresses(PUBLIC_LINK);
    after.push(IpNet::from(VIP));
    assert_eq!(sorted(after), sorted(before), "only the leftover is gone");

    // Its record goes too: or everybody would wait for a node that does not know the VIP any more.
    stage.client.wait_answered(VIP, "b", killed, SOON);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), None, Some("b".into())]);
    assert_eq!(owners(&stage, VIP6), [Some("a".into())]);
    assert!(gap_since(&stage, VIP6, killed) < Duration::from_millis(100), "the other VIP goes on");
    stage.wait_status(0, "no word of the VIP it gave up", |status| known(status) == [VIP6]);
    assert!(stage.nodes[0].agent.stop(SOON).success());
    let left = stage.nodes[0].host.addresses(PUBLIC_LINK);
    assert!(foreign.iter().all(|net| left.contains(net)), "{left:?}");
    stage.wait_owner(1, now());
    stage.end();
}

fn sorted(mut nets: Vec<IpNet>) -> Vec<IpNet> {
    nets.sort();
    nets
}

/// The VIPs that an agent knows of, by its status.
fn known(status: &serde_json::Value) -> Vec<IpAddr> {
    let vips = status["vips"].as_array().expect("a list").iter();
    vips.map(|vip| vip["vip"].as_str().expect("an address").parse().expect("an address")).collect()
}
