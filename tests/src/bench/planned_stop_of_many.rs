//! A planned stop of a node that owns many VIPs: how long until the last of them is answered by the other.

use std::time::Duration;

use super::figures::PLANNED_STOP_OF_MANY;
use super::series::Series;
use super::settle::{bring_back, owner_and_standby, wait_stands_by};
use super::vips;
use crate::clock::now;
use crate::stage::{SOON, Setting, Stage};

/// Two nodes. The client asks for each VIP every 50 ms, which the figure may be too long by.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let vips = vips::many();
    let interval = Duration::from_millis(50);
    let mut stage = Stage::set(
        "bench-planned-stop-of-many",
        &Setting { vips: vips.clone(), interval, ..Setting::default() },
    );
    wait_stands_by(&stage, 1);
    let times = (0..runs).map(|_| {
        let (owner, standby) = owner_and_standby(&stage);
        let stopped = now();
        assert!(stage.nodes[owner].agent.stop(SOON).success(), "the agent did not stop in order");
        let name = stage.nodes[standby].host.name();
        let answered = vips.iter().map(|vip| stage.client.wait_answered(*vip, name, stopped, SOON)).max();
        bring_back(&mut stage, owner);
        answered.expect("there are VIPs").since(stopped).as_secs_f64()
    });
    let series = Series::new(&PLANNED_STOP_OF_MANY, times.collect());
    stage.end();
    vec![series]
}
