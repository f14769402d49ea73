//! An etcd whose watch shows one node nothing any more, though it answers whatever that node asks.

use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::etcd::Relay;
use mantle_tests::judge::judge;
use mantle_tests::lab::PREFIX;
use mantle_tests::stage::{SOON, Setting, Stage, VIP};
use serde_json::Value;

use crate::witness::{gap_since, lost_since, owners, watch_for};

/// A node of each name behind a relay of its own; the first is owner, and all are live.
pub(crate) fn behind_relays(name: &str, nodes: &[&str], settings: &str) -> (Stage, Vec<Relay>) {
    let mut stage = Stage::empty(name, &Setting { settings, ..Setting::default() });
    let mut relays = Vec::new();
    for node in nodes {
        let since = now();
        let (at, relay) = stage.add_behind_relay(node);
        relays.push(relay);
        if at == 0 {
            stage.wait_owner(0, since);
        }
        stage.wait_live(at);
    }
    (stage, relays)
}

/// A standby of this timing waits 14 s for a silent owner, and its watch is found out long before.
const SLOW_TO_SUSPECT: &str = "timing: {renew: 200ms, lease: 10s, silence: 13s}";

/// How long a watch may be silent before it is found out and begun anew, and what a busy machine adds to it.
const FOUND_OUT: Duration = Duration::from_secs(5);

#[test]
fn a_standby_that_missed_what_was_compacted_away_hears_again() {
    let (stage, relays) = behind_relays("missed-compaction", &["a", "b"], SLOW_TO_SUSPECT);
    let begun = now();
    relays[1].cut();
    let epoch = |status: &Value| status["vips"][0]["epoch"].as_i64();
    let missed = epoch(&stage.status(0).unwrap());
    // What a mends gets a new epoch, of which b hears nothing.
    stage.etcd.delete(&format!("{PREFIX}/vip/{VIP}"));
    let mended = stage.wait_status(0, "a new epoch", |status| epoch(status) > missed);
    stage.etcd.compact();
    relays[1].mend();
    let back = now();
    stage.wait_status(1, "that epoch", |status| epoch(status) == epoch(&mended));
    assert!(now().since(back) < FOUND_OUT, "b was refused a takeover, and heard of it only by that");
    stage.end_with_a_move_and_no_break_before(begun);
}

#[test]
fn a_standby_whose_watch_fell_silent_takes_a_released_vip_nonetheless() {
    let (mut stage, relays) = behind_relays("silent-standby", &["a", "b"], SLOW_TO_SUSPECT);
    relays[1].silence_watches();
    watch_for(FOUND_OUT);
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    let gap = gap_since(&stage, VIP, stopped);
    assert!(gap < FOUND_OUT, "b heard nothing of the release, and waited {gap:?}");
    stage.end();
}

#[test]
fn an_owner_whose_watch_fell_silent_mends_its_record_nonetheless() {
    let (mut stage, relays) = behind_relays("silent-owner", &["a", "b"], "");
    let since = now();
    relays[0].silence_watches();
    let record = format!("{PREFIX}/vip/{VIP}");
    stage.etcd.delete(&record);
    wait_for("a record that names a", SOON, || {
        stage.etcd.list(&record).iter().any(|kv| kv.value_str().unwrap().contains("\"a\"")).then_some(())
    });
    assert_eq!(owners(&stage, VIP), [Some("a".into()), None, Some("a".into())]);
    assert_eq!(lost_since(&stage, VIP, since), 0, "nobody else steps in meanwhile");
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    // But for the record that the hand deleted while a went on, everything follows the records.
    let (frames, mut changes) = (stage.lab.tap().frames(), stage.history.changes());
    changes.get_mut(&VIP).unwrap().remove(1);
    judge(&frames, Some(&changes), stage.lab.tap().drops()).assert_in_order();
}
