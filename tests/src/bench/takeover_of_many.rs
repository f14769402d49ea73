//! The machine of a node that owns many VIPs dies: how long from the first one taken up elsewhere to the last.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::Instant;

use super::figures::{Figure, TAKEOVER_OF_256, TAKEOVER_OF_1024};
use super::series::Series;
use super::settle::{bring_back, owner_and_standby, wait_stands_by};
use super::vips;
use crate::clock::{now, wait_for};
use crate::stage::{SOON, Setting, Stage, VIP};

pub(super) fn of_256(runs: usize) -> Vec<Series> {
    measure("bench-takeover-of-256", &TAKEOVER_OF_256, vips::many(), runs)
}

pub(super) fn of_1024(runs: usize) -> Vec<Series> {
    measure("bench-takeover-of-1024", &TAKEOVER_OF_1024, vips::very_many(), runs)
}

/// Two nodes. A VIP is answered for before it is announced, so the tap tells the instants.
fn measure(name: &str, figure: &'static Figure, vips: Vec<IpAddr>, runs: usize) -> Vec<Series> {
    // The client asks for the first alone, which tells who is owner.
    let interval = Duration::from_millis(50);
    let mut stage = Stage::empty(name, &Setting { vips: vec![VIP], interval, ..Setting::default() });
    stage.vips = vips;
    let started = now();
    stage.add("a");
    wait_for("every VIP's announcement", SOON, || taken_up(&stage, 0, started));
    stage.add("b");
    wait_stands_by(&stage, 1);
    let times = (0..runs).map(|_| {
        let (owner, standby) = owner_and_standby(&stage);
        let crashed = now();
        stage.nodes[owner].host.unplug();
        stage.nodes[owner].agent.kill9();
        let times = wait_for("every VIP's announcement", SOON, || taken_up(&stage, standby, crashed));
        stage.nodes[owner].host.plug();
        bring_back(&mut stage, owner);
        times.as_secs_f64() * 1e3
    });
    let series = Series::new(figure, times.collect());
    stage.end();
    vec![series]
}

/// From the first to the last of the VIPs' first announcements by a node since then, once all were made.
fn taken_up(stage: &Stage, node: usize, since: Instant) -> Option<Duration> {
    let host = stage.nodes[node].host.name();
    let mut announced = BTreeMap::new();
    for frame in stage.lab.tap().frames() {
        if frame.at >= since && *frame.host == *host && frame.claim.kind.is_announcement() {
            announced.entry(frame.claim.vip).or_insert(frame.at);
        }
    }
    let all = stage.vips.iter().all(|vip| announced.contains_key(vip));
    let (first, last) = (announced.values().min()?, announced.values().max()?);
    all.then(|| last.since(*first))
}
