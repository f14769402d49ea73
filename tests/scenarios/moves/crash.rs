//! Owners that end without a word.

use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};

use crate::witness::{
    PATIENCE, gap_since, has_address, last_frame, lost_since, owners, wait_stands_by, watch_for,
};

#[test]
fn a_crashed_node_is_taken_over_from_and_comes_back_as_standby() {
    let mut stage = Stage::set("crash", &Setting::default());
    stage.nodes[0].agent.kill9();
    stage.nodes[0].host.unplug();
    let crashed = now();
    stage.wait_owner(1, crashed);

    stage.nodes[0].host.plug();
    stage.restart(0);
    wait_stands_by(&stage, 0, "b");
    let back = now();
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())]);
    assert!(last_frame(&stage, "a", VIP).expect("a was owner") < crashed + Duration::from_millis(50));
    let probes = stage.end();
    assert_eq!(probes.of(VIP).lost_in(back..back + PATIENCE), 0, "the return disturbs nobody");
}

/// After what time at most an address is off that no agent keeps on its link, with the default timing and the kernel program
/// before it: a lifetime of 3 s, and up to 1 s until the kernel looks.
const BEHIND_THE_PROGRAM: Duration = Duration::from_secs(4);

/// How long a node with the default timing may go on answering after its last renewal, as it declares.
fn bound(stage: &Stage) -> Duration {
    let status = stage.status(0).expect("an agent runs on a");
    Duration::from_millis(status["session"]["bound_ms"].as_u64().expect("a number"))
}

#[test]
fn a_frozen_owner_is_silent_past_its_bound_and_stands_by_when_thawed() {
    let mut stage = Stage::set("frozen", &Setting { vips: vec![VIP, VIP6], ..Setting::default() });
    let bound = bound(&stage);
    let session = stage.status(0).expect("an agent runs on a")["session"]["id"].clone();
    stage.nodes[0].agent.freeze();
    let frozen = now();
    stage.wait_owner(1, frozen);
    for vip in [VIP, VIP6] {
        // By itself, as the agent is frozen. A move needs not wait for that where the kernel program fences.
        wait_for(format_args!("the kernel to take {vip} off a"), BEHIND_THE_PROGRAM, || {
            (!has_address(&stage, 0, vip)).then_some(())
        });
    }

    let thawed = now();
    stage.nodes[0].agent.thaw();
    wait_stands_by(&stage, 0, "b");
    let status = stage.wait_status(0, "a new session", |status| status["session"]["id"] != session);
    assert_eq!(status["session"]["state"], "live");
    watch_for(PATIENCE);
    for vip in [VIP, VIP6] {
        let last = last_frame(&stage, "a", vip).expect("a was owner");
        assert!(last < frozen + bound, "a acted for {vip} {:?} after it was frozen", last.since(frozen));
        assert_eq!(owners(&stage, vip), [Some("a".into()), Some("b".into())]);
    }
    assert!(stage.nodes[0].agent.is_running());
    let probes = stage.end();
    for of_vip in probes.iter() {
        assert_eq!(of_vip.lost_in(thawed..thawed + PATIENCE), 0, "the thaw disturbs nobody");
    }
}

#[test]
fn an_owner_frozen_past_its_right_only_goes_on_as_owner() {
    // The standby waits so long that on no machine it comes before the thaw.
    let settings = "timing: {renew: 200ms, lease: 1s, silence: 20s}";
    let stage = Stage::set("frozen-shortly", &Setting { settings, ..Setting::default() });
    stage.nodes[0].agent.freeze();
    // Longer than the right.
    watch_for(Duration::from_millis(1200));
    stage.nodes[0].agent.thaw();
    let thawed = now();
    stage.wait_owner(0, thawed);
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [Some("a".into())], "the same record, so the same epoch");
    assert_eq!(stage.client.so_far().of(VIP).last_answered_by(), Some("a"));
    stage.end();
}

#[test]
fn a_dead_standby_is_not_waited_for() {
    let mut stage = Stage::set("dead-standby", &Setting { nodes: &["a", "b", "c"], ..Setting::default() });
    // b comes before c in rank, and nobody can know yet that it is gone.
    stage.nodes[1].agent.kill9();
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(2, stopped);
    let gap = gap_since(&stage, VIP, stopped);
    assert!(gap < Duration::from_secs(1), "{gap:?}");
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("c".into())], "handed over to the next");
    stage.end();
}

#[test]
fn vips_of_different_owners_on_one_link_fail_over_apart() {
    let both = vec![VIP, VIP6];
    let mut stage = Stage::empty("apart", &Setting { vips: both.clone(), ..Setting::default() });
    for (name, vips) in [("a", vec![VIP]), ("b", vec![VIP6]), ("c", both)] {
        let since = now();
        stage.vips = vips.clone();
        let at = stage.add(name);
        stage.wait_live(at);
        for vip in vips.into_iter().filter(|_| name != "c") {
            stage.client.wait_answered(vip, name, since, SOON);
        }
    }

    stage.nodes[0].agent.kill9();
    stage.nodes[0].host.port(PUBLIC_LINK).set_up(false);
    let crashed = now();
    stage.client.wait_answered(VIP, "c", crashed, SOON);
    assert_eq!(lost_since(&stage, VIP6, crashed), 0, "b's is left alone");
    assert_eq!(owners(&stage, VIP6), [Some("b".into())]);

    let stopped = now();
    assert!(stage.nodes[1].agent.stop(SOON).success());
    stage.client.wait_answered(VIP6, "c", stopped, SOON);
    assert_eq!(lost_since(&stage, VIP, stopped), 0, "c's is left alone");
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("c".into())]);
    stage.end();
}
