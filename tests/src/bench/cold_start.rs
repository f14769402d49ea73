//! The first agent of a new cluster, with many VIPs: how long until the last of them is announced.

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_client::DeleteOptions;
use mantle_protocol::Instant;

use super::figures::COLD_START;
use super::series::Series;
use super::vips;
use crate::clock::{now, wait_for};
use crate::lab::PREFIX;
use crate::stage::{SOON, Setting, Stage};

/// One node and an etcd that holds none of its keys.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let vips = vips::many();
    // The client only looks on: the tap tells the instants.
    let interval = Duration::from_millis(500);
    let mut stage =
        Stage::empty("bench-cold-start", &Setting { vips: vips.clone(), interval, ..Setting::default() });
    let times = (0..runs).map(|run| {
        let started = now();
        if run == 0 {
            stage.add("a");
        } else {
            stage.restart(0);
        }
        let last = wait_for("every VIP's announcement", SOON, || last_announcement(&stage, started));
        assert!(stage.nodes[0].agent.stop(SOON).success(), "the agent did not stop in order");
        forget(&stage);
        last.since(started).as_secs_f64()
    });
    let series = Series::new(&COLD_START, times.collect());
    stage.end();
    vec![series]
}

/// When the last VIP was announced for the first time after `since`, once all were.
fn last_announcement(stage: &Stage, since: Instant) -> Option<Instant> {
    let mut announced = BTreeSet::new();
    let mut last = None;
    for frame in stage.lab.tap().frames() {
        if frame.at >= since && frame.claim.kind.is_announcement() && announced.insert(frame.claim.vip) {
            last = Some(frame.at);
        }
    }
    last.filter(|_| stage.vips.iter().all(|vip| announced.contains(vip)))
}

fn forget(stage: &Stage) {
    stage.etcd.call(async |mut client| client.delete(PREFIX, Some(DeleteOptions::new().with_prefix())).await);
}
