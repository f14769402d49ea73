//! Moves on purpose.

use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::stage::{SOON, Setting, Stage, VIP};
use nix::sys::signal::Signal;

use crate::witness::{gap_since, has_address, last_claim, last_frame, owners, session_revision};

/// A planned move waits for nobody's silence: those take more than twice as long.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Half a right of the default timing: so long a VIP is offered, served meanwhile, to a node that does not hear of it.
const LONGEST_OFFER: Duration = Duration::from_millis(400);

#[test]
fn sigterm_of_the_owner_moves_the_vip_at_once() {
    moves_the_vip_at_once("sigterm", Signal::SIGTERM);
}

#[test]
fn sigint_of_the_owner_moves_the_vip_at_once() {
    moves_the_vip_at_once("sigint", Signal::SIGINT);
}

fn moves_the_vip_at_once(name: &str, signal: Signal) {
    let mut stage = Stage::set(name, &Setting::default());
    let stopped = now();
    stage.nodes[0].agent.signal(signal);
    let exit = stage.nodes[0].agent.wait(SOON).expect("the agent ends");
    assert!(exit.success(), "{exit}");
    assert!(!has_address(&stage, 0, VIP), "the address is off once the agent has ended");
    assert!(session_revision(&stage, "a").is_none(), "the session goes with its agent");
    stage.wait_owner(1, stopped);

    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())]);
    // I4: when the record was handed over nothing was answered any more in the node's own name.
    let handed = stage.history.changes()[&VIP][1].at;
    let last = last_claim(&stage, "a", VIP).expect("a was owner");
    assert!(last < handed, "a still acted as owner after it handed over");
    let gap = gap_since(&stage, VIP, stopped);
    assert!(gap < AT_ONCE, "{gap:?}");
    stage.end();
}

#[test]
fn a_release_that_etcd_does_not_take_is_silent_after_its_offer_and_given_up_in_time() {
    let mut stage = Stage::set("release-without-etcd", &Setting::default());
    stage.etcd.freeze(0);
    let stopped = now();
    let exit = stage.nodes[0].agent.stop(SOON);
    assert_eq!(exit.code(), Some(1), "an agent that could not release says so");
    let took = now().since(stopped);
    assert!(took < Duration::from_secs(8), "{took:?}");
    let last = last_frame(&stage, "a", VIP).expect("a was owner");
    assert!(
        last.since(stopped) < LONGEST_OFFER + Duration::from_millis(500),
        "but for the offer the wire is not made to wait for etcd"
    );
    assert!(stage.nodes[0].agent.log().contains("not everything was released"));

    stage.etcd.thaw(0);
    stage.wait_owner(1, now());
    stage.end();
}

#[test]
fn a_second_signal_ends_the_agent_at_once() {
    let mut stage = Stage::set("second-signal", &Setting::default());
    stage.etcd.freeze(0);
    stage.nodes[0].agent.signal(Signal::SIGTERM);
    wait_for("the address to go, whatever etcd does", SOON, || (!has_address(&stage, 0, VIP)).then_some(()));
    assert!(stage.nodes[0].agent.is_running(), "the release is still waiting for etcd");
    let again = now();
    stage.nodes[0].agent.signal(Signal::SIGINT);
    let exit = stage.nodes[0].agent.wait(SOON).expect("the agent ends");
    assert_eq!(exit.code(), Some(1));
    let took = now().since(again);
    assert!(took < AT_ONCE, "{took:?}");
    assert!(stage.nodes[0].agent.log().contains("by a second signal"));

    stage.etcd.thaw(0);
    stage.wait_owner(1, now());
    stage.end();
}

#[test]
fn fifty_moves_in_a_row_strand_nobody_and_double_nothing() {
    const MOVES: usize = 50;
    let mut stage = Stage::set("fifty-moves", &Setting { nodes: &["a", "b", "c"], ..Setting::default() });
    let mut owner = "a".to_owned();
    for number in 1..=MOVES {
        let at = stage.nodes.iter().position(|node| node.host.name() == owner).expect("a node of the stage");
        let stopped = now();
        assert!(stage.nodes[at].agent.stop(SOON).success(), "move {number}");
        let next = wait_for(format_args!("the owner after move {number}, of {owner}"), SOON, || {
            let named = stage.history.changes_so_far()[&VIP].last()?.owner.clone()?;
            (named != owner).then_some(named)
        });
        stage.client.wait_answered(VIP, &next, stopped, SOON);
        let gap = gap_since(&stage, VIP, stopped);
        assert!(gap < AT_ONCE, "move {number} of {owner} to {next} took {gap:?}");
        // Not waited for: it may come to life in the midst of the next move.
        stage.restart(at);
        owner = next;
    }

    let owners = owners(&stage, VIP);
    assert_eq!(owners.len(), MOVES + 1, "each move is one transaction: {owners:?}");
    assert!(owners.iter().all(Option::is_some), "{owners:?}");
    let probes = stage.end();
    assert_eq!(probes.of(VIP).doubled(), 0);
}
