//! Programs of others on an owner's link.

use mantle_tests::clock::now;
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{Setting, Stage};

use crate::witness::wait_stands_by;

/// What an agent says of how long its node may go on answering after its last renewal.
fn bound(status: &serde_json::Value) -> u64 {
    status["session"]["bound_ms"].as_u64().expect("a number")
}

#[test]
fn a_program_that_comes_before_ours_makes_the_fence_slower_for_as_long_as_it_is_there() {
    let stage =
        Stage::set("foreign-first", &Setting { settings: "dataplane: {mode: tc}", ..Setting::default() });
    let fast = bound(&stage.status(0).expect("an agent runs on a"));
    let theirs = stage.nodes[0].host.put_before_tc(PUBLIC_LINK);
    stage.wait_status(0, "a slower fence", |status| bound(status) > fast);
    drop(theirs);
    stage.wait_status(0, "the fast fence again", |status| bound(status) == fast);

    // Standbys wait as long as the slower fence takes.
    let theirs = stage.nodes[0].host.put_before_tc(PUBLIC_LINK);
    stage.wait_status(0, "a slower fence", |status| bound(status) > fast);
    let log = stage.nodes[0].agent.log();
    let said = log.lines().filter(|line| line.contains("programs of others came before")).count();
    assert_eq!(said, 2, "once each time:\n{log}");
    stage.nodes[0].agent.freeze();
    let frozen = now();
    stage.wait_owner(1, frozen);
    stage.nodes[0].agent.thaw();
    wait_stands_by(&stage, 0, "b");
    drop(theirs);
    stage.end();
}
