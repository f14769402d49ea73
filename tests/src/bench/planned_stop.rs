//! A planned stop of the owner: what the client notices.

use super::figures::PLANNED_STOP;
use super::series::Series;
use super::settle::{bring_back, longest_gap, look_on, owner_and_standby, wait_stands_by};
use crate::clock::now;
use crate::stage::{SOON, Setting, Stage};

/// Two nodes and three members; the owner is stopped, and comes back as a standby, in turns.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let mut stage = Stage::set("bench-planned-stop", &Setting { members: 3, ..Setting::default() });
    wait_stands_by(&stage, 1);
    let gaps = (0..runs).map(|_| {
        let (owner, standby) = owner_and_standby(&stage);
        let stopped = now();
        assert!(stage.nodes[owner].agent.stop(SOON).success(), "the agent did not stop in order");
        stage.wait_owner(standby, stopped);
        let gap = longest_gap(&stage, stopped, look_on());
        bring_back(&mut stage, owner);
        gap.as_secs_f64() * 1000.0
    });
    let series = Series::new(&PLANNED_STOP, gaps.collect());
    stage.end();
    vec![series]
}
