//! The owner's agent is killed while its machine lives on, and nobody starts another: what the client notices.

use super::figures::{KILLED_AGENT, KILLED_AGENT_MOVED};
use super::series::Series;
use super::settle::{bring_back, longest_gap, look_on, owner_and_standby, wait_stands_by};
use crate::clock::now;
use crate::stage::{SOON, Setting, Stage, VIP};

/// Two nodes and three members; the killed one comes back as a standby, in turns.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let mut stage = Stage::set("bench-killed-agent", &Setting { members: 3, ..Setting::default() });
    wait_stands_by(&stage, 1);
    let (mut gaps, mut moves) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (owner, standby) = owner_and_standby(&stage);
        let killed = now();
        stage.nodes[owner].agent.kill9_alone();
        let name = stage.nodes[standby].host.name().to_owned();
        let answered = stage.client.wait_answered(VIP, &name, killed, SOON);
        moves.push(answered.since(killed).as_secs_f64() * 1000.0);
        gaps.push(longest_gap(&stage, killed, look_on()).as_secs_f64() * 1000.0);
        bring_back(&mut stage, owner);
    }
    stage.end();
    vec![Series::new(&KILLED_AGENT, gaps), Series::new(&KILLED_AGENT_MOVED, moves)]
}
