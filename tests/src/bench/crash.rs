//! The owner's machine dies while etcd's leader lives elsewhere: what the client notices.

use super::figures::{CRASH, CRASH_FAST, CRASH_FASTEST, Figure};
use super::series::Series;
use super::settle::{bring_back, longest_gap, look_on, owner_and_standby, wait_stands_by};
use crate::clock::now;
use crate::stage::{Setting, Stage};

pub(super) fn by_default(runs: usize) -> Vec<Series> {
    measure("bench-crash", &CRASH, "timing: default", runs)
}

pub(super) fn fast(runs: usize) -> Vec<Series> {
    measure("bench-crash-fast", &CRASH_FAST, "timing: fast", runs)
}

pub(super) fn fastest(runs: usize) -> Vec<Series> {
    measure("bench-crash-fastest", &CRASH_FASTEST, "timing: fastest", runs)
}

/// Two nodes and three members; the owner loses its cables and its agent at once, and comes back as a standby.
fn measure(name: &str, figure: &'static Figure, settings: &str, runs: usize) -> Vec<Series> {
    let mut stage = Stage::set(name, &Setting { members: 3, settings, ..Setting::default() });
    wait_stands_by(&stage, 1);
    let gaps = (0..runs).map(|_| {
        let (owner, standby) = owner_and_standby(&stage);
        let crashed = now();
        stage.nodes[owner].host.unplug();
        stage.nodes[owner].agent.kill9();
        stage.wait_owner(standby, crashed);
        let gap = longest_gap(&stage, crashed, look_on());
        stage.nodes[owner].host.plug();
        bring_back(&mut stage, owner);
        gap.as_secs_f64()
    });
    let series = Series::new(figure, gaps.collect());
    stage.end();
    vec![series]
}
