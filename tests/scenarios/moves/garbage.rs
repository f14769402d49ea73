//! Somebody else writes among our keys: it is reported and ignored, or mended.

use std::thread::sleep;
use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PREFIX;
use mantle_tests::stage::{SOON, Setting, Stage, VIP};

use super::seen::metric;

/// How long something unreadable is waited for that may have been written by the slowest of all nodes.
const LONGEST: Duration = Duration::from_secs(25);

fn garbage_seen(stage: &Stage, at: usize) -> f64 {
    metric(&stage.nodes[at].host, "mantle_garbage_total")
}

/// Waits until a node has counted so many pieces of garbage.
fn wait_garbage(stage: &Stage, at: usize, least: f64) {
    wait_for("the garbage in the metrics", SOON, || (garbage_seen(stage, at) >= least).then_some(()));
}

#[test]
fn foreign_keys_are_reported_and_ignored() {
    let stage = Stage::set("foreign-keys", &Setting::default());
    let begun = now();
    let foreign = ["lock/x", "vip/not-an-address", "vip/010.77.0.100", "node/a/b", "node/", ""];
    for key in foreign {
        stage.etcd.put(&format!("{PREFIX}/{key}"), "whatever");
    }
    for at in 0..2 {
        wait_garbage(&stage, at, 6.0);
        stage.nodes[at].agent.wait_for_log("vip/not-an-address", SOON);
    }
    for key in foreign {
        stage.etcd.delete(&format!("{PREFIX}/{key}"));
    }
    stage.end_with_a_move_and_no_break_before(begun);
}

#[test]
fn garbage_in_a_standbys_session_is_reported_and_written_over() {
    let stage = Stage::set("garbage-standby", &Setting::default());
    let session = |stage: &Stage| stage.status(1).unwrap()["session"]["id"].clone();
    let (before, begun) = (session(&stage), now());
    stage.etcd.put(&format!("{PREFIX}/node/b"), [0xff, 0, b'{'].as_slice());
    wait_garbage(&stage, 0, 1.0);
    stage.nodes[0].agent.wait_for_log("node/b", SOON);
    let peer_is_back = |status: &serde_json::Value| status["peers"][0]["node"] == "b";
    stage.wait_status(0, "b's session again", peer_is_back);
    assert_eq!(session(&stage), before, "what somebody wrote into it is no end of a session");
    stage.end_with_a_move_and_no_break_before(begun);
}

#[test]
fn garbage_in_the_owners_session_is_reported_and_written_over() {
    let stage = Stage::set("garbage-owner", &Setting::default());
    let begun = now();
    stage.etcd.put(&format!("{PREFIX}/node/a"), "{\"machine\":7}");
    wait_garbage(&stage, 1, 1.0);
    // Longer than a standby waits for an owner whom it takes for silent.
    sleep(Duration::from_secs(3));
    stage.end_with_a_move_and_no_break_before(begun);
}

#[test]
fn garbage_in_a_record_is_reported_and_mended() {
    let stage = Stage::set("garbage-record", &Setting::default());
    let begun = now();
    let key = format!("{PREFIX}/vip/{VIP}");
    stage.etcd.put(&key, "mine!");
    for at in 0..2 {
        wait_garbage(&stage, at, 1.0);
        stage.nodes[at].agent.wait_for_log(&format!("vip/{VIP}"), SOON);
    }
    wait_for("a record that names a", SOON, || {
        stage.etcd.list(&key).iter().any(|kv| kv.value_str().unwrap().contains("\"a\"")).then_some(())
    });
    stage.end_with_a_move_and_no_break_before(begun);
}

#[test]
fn a_record_that_nobody_ever_read_is_waited_for_and_then_taken() {
    let mut stage = Stage::empty("garbage-first", &Setting::default());
    stage.etcd.put(&format!("{PREFIX}/vip/{VIP}"), "mine!");
    let since = now();
    stage.add("a");
    let answered = stage.client.wait_answered(VIP, "a", since, LONGEST);
    assert!(answered.since(since) > Duration::from_secs(12), "somebody may have been answering for so long");
    stage.end();
}

#[test]
fn a_node_whose_name_holds_garbage_waits_and_then_competes() {
    let mut stage = Stage::empty("garbage-name", &Setting::default());
    stage.etcd.put(&format!("{PREFIX}/node/a"), "mine!");
    let since = now();
    stage.add("a");
    stage.add("b");
    stage.wait_owner(1, since);
    wait_for("a session of a", LONGEST, || {
        stage.status(0).filter(|status| status["session"]["state"] == "live")
    });
    let stopped = now();
    stage.nodes[1].agent.stop(SOON);
    stage.wait_owner(0, stopped);
    stage.end();
}
