//! The owner's machine dies, and etcd's leader with it: what the client notices, and how much of it is etcd's own.

use std::time::Duration;

use super::figures::{
    Figure, LEADER_250, LEADER_250_BEYOND, LEADER_500, LEADER_500_BEYOND, LEADER_1000, LEADER_1000_BEYOND,
};
use super::series::Series;
use super::settle::{bring_back, longest_gap, look_on, owner_and_standby, wait_stands_by};
use crate::clock::now;
use crate::etcd::{EtcdOptions, Pulse};
use crate::stage::{Setting, Stage};

/// S of the default timing.
const SILENCE: Duration = Duration::from_millis(1300);

/// How often each member is written to: how exactly an outage is known.
const BEAT: Duration = Duration::from_millis(10);

/// etcd with each pair of heartbeat interval and election time-out that is worth to know of.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let timings: [(u64, u64, [&'static Figure; 2]); 3] = [
        (100, 1000, [&LEADER_1000, &LEADER_1000_BEYOND]),
        (100, 500, [&LEADER_500, &LEADER_500_BEYOND]),
        (50, 250, [&LEADER_250, &LEADER_250_BEYOND]),
    ];
    let with = |(heartbeat, election, figures): (u64, u64, _)| {
        let options = EtcdOptions {
            heartbeat: Duration::from_millis(heartbeat),
            election: Duration::from_millis(election),
            ..EtcdOptions::default()
        };
        with_options(&format!("bench-leader-{election}"), options, figures, runs)
    };
    timings.into_iter().flat_map(with).collect()
}

/// Two nodes and three members, one of which leads and dies with the owner.
fn with_options(name: &str, options: EtcdOptions, figures: [&'static Figure; 2], runs: usize) -> Vec<Series> {
    let mut stage = Stage::set(name, &Setting { members: 3, options, ..Setting::default() });
    wait_stands_by(&stage, 1);
    let (mut gaps, mut beyond) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (owner, standby) = owner_and_standby(&stage);
        let leader = stage.etcd.leader();
        let pulse = Pulse::start(&stage.etcd, BEAT);
        let crashed = now();
        stage.etcd.kill9(leader);
        stage.nodes[owner].host.unplug();
        stage.nodes[owner].agent.kill9();
        stage.wait_owner(standby, crashed);
        let gap = longest_gap(&stage, crashed, look_on());
        let dark = pulse.outages().map(|outage| outage.length()).max().unwrap_or_default();
        drop(pulse);
        gaps.push(gap.as_secs_f64());
        beyond.push(gap.saturating_sub(dark.max(SILENCE)).as_secs_f64() * 1e3);
        stage.etcd.restart(leader);
        stage.etcd.wait_healthy(leader);
        stage.nodes[owner].host.plug();
        bring_back(&mut stage, owner);
    }
    stage.end();
    let [gap, rest] = figures;
    vec![Series::new(gap, gaps), Series::new(rest, beyond)]
}
