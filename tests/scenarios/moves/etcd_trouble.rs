//! etcd out of reach, restarted, silent or tampered with: no wrong owner, and no VIP left without one.

use std::thread::sleep;
use std::time::Duration;

use mantle_tests::Host;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::{PREFIX, PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::stage::{SOON, Setting, Stage, VIP};

use super::seen::get;

/// What a session declares with the default timing where the kernel program fences.
const BOUND: Duration = Duration::from_secs(1);

/// Those who answered, one after the other.
fn answerers(stage: Stage) -> Vec<String> {
    stage.end().of(VIP).runs().into_iter().map(|run| run.node).collect()
}

/// A node without etcd could wear nothing, and says so once more than a standby's renewal is overdue.
fn is_not_ready(host: &Host) {
    wait_for("a node that is not ready for want of etcd", Duration::from_secs(2), || {
        let (code, why) = get(host, "/readyz");
        (code == 503 && why.contains("etcd")).then_some(())
    });
}

/// A stage with an etcd of three members, and no doubt that its nodes have heard of each other.
fn with_three_members(name: &str) -> Stage {
    let stage = Stage::set(name, &Setting { members: 3, ..Setting::default() });
    stage.wait_status(1, "owner a", |status| status["vips"][0]["owner"] == "a");
    stage
}

#[test]
fn an_owner_cut_off_from_etcd_drops_the_vip_and_stands_by_when_it_is_back() {
    let stage = Stage::set("etcd-cut", &Setting::default());
    let a = &stage.nodes[0].host;
    let cut = now();
    a.port(PRIVATE_LINK).set_up(false);
    stage.wait_owner(1, cut);
    let status = stage.wait_status(0, "an etcd out of reach", |status| status["etcd"]["connected"] == false);
    assert_eq!(status["vips"][0]["stance"], "off");
    assert_eq!(status["session"]["right_left_ms"], 0);
    is_not_ready(a);
    assert!(a.addresses(PUBLIC_LINK).iter().all(|address| address.addr() != VIP));

    a.port(PRIVATE_LINK).set_up(true);
    stage.wait_status(0, "a live session beside owner b", |status| {
        let session = &status["session"];
        session["state"] == "live" && session["right_left_ms"] != 0 && status["vips"][0]["owner"] == "b"
    });
    let probes = stage.end();
    let runs = probes.of(VIP).runs();
    let names: Vec<_> = runs.iter().map(|run| run.node.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(runs[0].last < cut + BOUND, "a answered until {:?} after the cut", runs[0].last.since(cut));
}

#[test]
fn without_a_quorum_the_vip_is_dropped_and_comes_back_to_the_same_owner() {
    let stage = with_three_members("quorum");
    let lost = now();
    stage.etcd.kill9(0);
    stage.etcd.kill9(1);
    stage.wait_status(0, "no right", |status| {
        status["session"]["right_left_ms"] == 0 && status["vips"][0]["stance"] == "off"
    });
    let dropped = now();
    sleep(Duration::from_secs(4));
    stage.nodes.iter().for_each(|node| is_not_ready(&node.host));
    let back = now();
    stage.etcd.restart(0);
    stage.wait_owner(0, back);
    stage.etcd.restart(1);
    stage.etcd.wait_healthy(1);
    for node in &stage.nodes {
        wait_for("a ready node", SOON, || (get(&node.host, "/readyz").0 == 200).then_some(()));
    }

    let probes = stage.end();
    let of_vip = probes.of(VIP);
    let names: Vec<_> = of_vip.runs().into_iter().map(|run| run.node).collect();
    assert_eq!(names, ["a"], "nobody else was silent for less");
    let meanwhile = of_vip.probes().iter().filter(|probe| dropped < probe.sent && probe.sent < back);
    assert_eq!(of_vip.lost_in(dropped..back), meanwhile.count());
    let before = of_vip.probes().iter().filter(|probe| probe.sent < back);
    let latest = before.filter_map(|probe| probe.answer).map(|answer| answer.at).max().unwrap();
    assert!(latest < lost + BOUND, "answered until {:?} after the quorum was lost", latest.since(lost));
}

#[test]
fn members_that_restart_in_turn_leave_the_vip_with_an_owner() {
    let stage = with_three_members("rolling");
    for member in 0..3 {
        stage.etcd.stop(member);
        stage.client.wait_answerer(VIP, now(), SOON);
        stage.etcd.restart(member);
        stage.etcd.wait_healthy(member);
        stage.client.wait_answerer(VIP, now(), SOON);
    }
    stage.wait_live(0);
    stage.wait_live(1);
    stage.end();
}

#[test]
fn a_leader_killed_leaves_the_vip_with_an_owner() {
    let stage = with_three_members("leader");
    for _ in 0..2 {
        let leader = stage.etcd.leader();
        stage.etcd.kill9(leader);
        // The vote goes on for a while, and rights end in it.
        stage.etcd.leader();
        stage.client.wait_answerer(VIP, now(), SOON);
        stage.etcd.restart(leader);
        stage.etcd.wait_healthy(leader);
        stage.client.wait_answerer(VIP, now(), SOON);
    }
    stage.end();
}

#[test]
fn an_agent_keeps_trying_an_etcd_that_is_not_there_yet() {
    let mut stage = Stage::empty("etcd-later", &Setting::default());
    stage.etcd.stop(0);
    stage.add("a");
    let endpoint = stage.etcd.endpoints().remove(0);
    let status = stage.wait_status(0, "why there is no session", |status| {
        let reason = status["session"]["reason"].as_str().unwrap_or_default();
        reason.contains(&endpoint) && reason.contains("connection refused")
    });
    assert_ne!(status["session"]["state"], "live");
    assert_eq!(get(&stage.nodes[0].host, "/healthz").0, 200, "a missing etcd is no reason to be restarted");
    assert_eq!(get(&stage.nodes[0].host, "/readyz").0, 503);
    // Long enough for a try that comes ever more seldom to come too seldom.
    sleep(Duration::from_secs(3));
    assert!(stage.nodes[0].agent.is_running());

    let started = now();
    stage.etcd.restart(0);
    stage.wait_owner(0, started);
    stage.end();
}

#[test]
fn compaction_disturbs_nobody() {
    let stage = Stage::set("compaction", &Setting::default());
    let begun = now();
    for _ in 0..3 {
        stage.etcd.compact();
        sleep(Duration::from_millis(300));
    }
    stage.end_with_a_move_and_no_break_before(begun);
}

#[test]
fn a_frozen_member_silences_nobody() {
    let mut stage = with_three_members("frozen-member");
    for member in 0..3 {
        stage.etcd.freeze(member);
        // Long enough for a watch at that member to be missed, and for a standby that heard nothing to step forward. One of
        // the members is the leader, and a vote on a busy machine takes seconds.
        sleep(Duration::from_secs(5));
        stage.client.wait_answerer(VIP, now(), SOON);
        if member < 2 {
            stage.etcd.thaw(member);
            stage.etcd.wait_healthy(member);
        }
    }
    let owner = stage.client.wait_answerer(VIP, now(), SOON);
    let (from, to) = if owner == "a" { (0, 1) } else { (1, 0) };
    let stopped = now();
    assert!(stage.nodes[from].agent.stop(SOON).success());
    stage.wait_owner(to, stopped);
    stage.etcd.thaw(2);
    stage.end();
}

#[test]
fn an_owner_whose_session_was_deleted_drops_the_vip_and_claims_it_anew() {
    let stage = Stage::set("session-deleted", &Setting::default());
    let id = stage.status(0).unwrap()["session"]["id"].clone();
    stage.etcd.delete(&format!("{PREFIX}/node/a"));
    stage.wait_status(0, "a new session", |status| {
        status["session"]["state"] == "live" && status["session"]["id"] != id
    });
    stage.wait_status(0, "the VIP", |status| status["vips"][0]["stance"] == "owner");
    stage.client.wait_answered(VIP, "a", now(), SOON);
    stage.nodes[0].agent.wait_for_log("session lost", SOON);
    assert_eq!(answerers(stage), ["a"]);
}

#[test]
fn a_standby_whose_session_was_deleted_is_back_in_time() {
    let stage = Stage::set("standby-deleted", &Setting::default());
    let id = stage.status(1).unwrap()["session"]["id"].clone();
    let deleted = now();
    stage.etcd.delete(&format!("{PREFIX}/node/b"));
    stage.wait_status(1, "a new session", |status| {
        status["session"]["state"] == "live" && status["session"]["id"] != id
    });
    stage.end_with_a_move_and_no_break_before(deleted);
}

#[test]
fn a_record_deleted_by_hand_is_mended_by_its_owner() {
    let stage = Stage::set("record-deleted", &Setting::default());
    let record = format!("{PREFIX}/vip/{VIP}");
    let deleted = now();
    stage.etcd.delete(&record);
    wait_for("the record", SOON, || {
        stage.etcd.list(&record).iter().any(|kv| kv.value_str().unwrap().contains("\"a\"")).then_some(())
    });
    sleep(BOUND);
    stage.end_with_a_move_and_no_break_before(deleted);
}

/// Puts a record in good form that no agent wrote, and waits until one node answers as the record of then says. The owner of
/// before answers against the record until it has heard of it, so the judge cannot go by the records here.
fn settled_after_a_forged_record(name: &str, record: &str) -> Stage {
    let stage = Stage::set(name, &Setting::default());
    stage.etcd.put(&format!("{PREFIX}/vip/{VIP}"), record);
    for at in 0..2 {
        stage.wait_status(at, "an owner who lives", |status| {
            ["a", "b"].iter().any(|name| status["vips"][0]["owner"] == *name)
        });
    }
    let owner = stage.status(0).unwrap()["vips"][0]["owner"].as_str().unwrap().to_owned();
    let settled = stage.client.wait_answered(VIP, &owner, now(), SOON);
    sleep(BOUND);
    let probes = stage.client.so_far();
    assert!(probes.of(VIP).runs().iter().all(|run| run.node == owner || run.last < settled));
    assert_eq!(probes.of(VIP).last_answered_by(), Some(owner.as_str()));
    stage
}

#[test]
fn a_record_that_a_hand_released_is_claimed_again() {
    // A forged release is as good as the owner's own, and others may be faster to claim than the owner to hear of it.
    settled_after_a_forged_record("record-released", r#"{"owner":null}"#);
}

#[test]
fn a_record_that_a_hand_gave_to_nobody_known_is_taken_from_him() {
    let given = r#"{"owner":{"node":"ghost","session":1,"bound_ms":1000}}"#;
    let stage = settled_after_a_forged_record("record-given", given);
    stage.lab.verdict(None).assert_in_order();
}
