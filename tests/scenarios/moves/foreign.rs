//! Programs of others on an owner's link.

use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::{PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};

use crate::witness::{has_address, wait_stands_by};

/// With the default timing the lifetime that nothing but itself fences, in seconds.
const ALONE: u32 = 1;
/// The lifetime behind the kernel program: others may hold the kernel's routing lock for a while before it is put anew.
const BEHIND_THE_PROGRAM: u32 = 3;
/// How long an address that nothing else fences is at most there after it was put: the kernel may be a second late, and is
/// given half of one more on a busy machine.
const GONE: Duration = Duration::from_millis(ALONE as u64 * 1000 + 1500);

/// What an agent says of how long its node may go on answering after its last renewal.
fn bound(status: &serde_json::Value) -> u64 {
    status["session"]["bound_ms"].as_u64().expect("a number")
}

#[test]
fn a_program_that_comes_before_ours_makes_the_fence_slower_for_as_long_as_it_is_there() {
    let setting = Setting { vips: vec![VIP, VIP6], settings: "dataplane: {mode: tc}", ..Setting::default() };
    let stage = Stage::set("foreign-first", &setting);
    let left = |vip| stage.nodes[0].host.lifetime_left(PUBLIC_LINK, vip);
    let fast = bound(&stage.status(0).expect("an agent runs on a"));
    let theirs = stage.nodes[0].host.put_before_tc(PUBLIC_LINK);
    stage.wait_status(0, "a slower fence", |status| bound(status) > fast);
    drop(theirs);
    stage.wait_status(0, "the fast fence again", |status| bound(status) == fast);
    for vip in [VIP, VIP6] {
        wait_for(format_args!("{vip} to be put for long"), SOON, || {
            (left(vip) == Some(BEHIND_THE_PROGRAM)).then_some(())
        });
    }

    // Standbys wait as long as the slower fence takes.
    let theirs = stage.nodes[0].host.put_before_tc(PUBLIC_LINK);
    stage.wait_status(0, "a slower fence", |status| bound(status) > fast);
    for vip in [VIP, VIP6] {
        // None is left of the long lifetime when the slower fence is promised.
        assert!(left(vip).is_none_or(|seconds| seconds <= ALONE), "{vip} is kept for {:?} s", left(vip));
        wait_for(format_args!("{vip} to be put for a short time"), SOON, || left(vip));
    }
    let log = stage.nodes[0].agent.log();
    let said = log.lines().filter(|line| line.contains("programs of others came before")).count();
    assert_eq!(said, 2, "once each time:\n{log}");
    stage.nodes[0].agent.freeze();
    let frozen = now();
    for vip in [VIP, VIP6] {
        wait_for(format_args!("the kernel to take {vip} off a"), GONE, || {
            (!has_address(&stage, 0, vip)).then_some(())
        });
    }
    stage.wait_owner(1, frozen);
    stage.nodes[0].agent.thaw();
    wait_stands_by(&stage, 0, "b");
    drop(theirs);
    stage.end();
}

/// The others wait for no more than the fast fence until they have read of the slower one. A right of 8 s leaves the agent,
/// and the address's lifetime, all the time there is.
#[test]
fn what_is_promised_to_be_fenced_by_the_program_is_taken_off_when_it_is_no_more() {
    let settings = "timing: {renew: 500ms, lease: 8s, silence: 11s}\ndataplane: {mode: tc}";
    let setting = Setting { vips: vec![VIP, VIP6], settings, ..Setting::default() };
    let stage = Stage::set("foreign-promised", &setting);
    // So it has no way to tell them.
    stage.nodes[0].host.port(PRIVATE_LINK).set_up(false);
    let theirs = stage.nodes[0].host.put_before_tc(PUBLIC_LINK);
    let put = now();
    for vip in [VIP, VIP6] {
        wait_for(format_args!("{vip} to be taken off a"), SOON, || {
            (!has_address(&stage, 0, vip)).then_some(())
        });
    }
    assert!(now().since(put) < Duration::from_secs(6), "that was the end of the right");
    drop(theirs);
    stage.nodes[0].host.port(PRIVATE_LINK).set_up(true);
    stage.wait_status(0, "the VIPs to be worn again", |status| status["vips"][0]["stance"] == "owner");
    stage.end();
}
