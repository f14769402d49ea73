//! Moves by command: what the client notices, what it loses, and how long they take.

use mantle_protocol::Instant;

use super::figures::{HANDOFF_ANNOUNCED, HANDOFF_GAP, HANDOFF_LOST};
use super::series::Series;
use super::settle::{counted, longest_gap, look_on, owner_and_standby, wait_stands_by};
use crate::clock::now;
use crate::stage::{Setting, Stage, VIP};

/// So many moves for each run: the worst of them counts.
const MOVES: usize = 10;

/// Two nodes and three members; the VIP is handed there and back.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let setting = Setting { members: 3, settings: "handoff: {drain: 1s}", ..Setting::default() };
    let stage = Stage::set("bench-handoff", &setting);
    wait_stands_by(&stage, 1);
    let (mut gaps, mut lost, mut announced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs * MOVES {
        let (owner, standby) = owner_and_standby(&stage);
        let asked = hand_off(&stage, owner);
        stage.wait_owner(standby, asked);
        let end = look_on();
        gaps.push(longest_gap(&stage, asked, end).as_secs_f64() * 1e3);
        let count = stage.client.look(|probes| probes.of(VIP).lost_in(asked..end));
        lost.push(counted(count));
        let first = first_announcement(&stage, standby, asked);
        announced.push(first.since(asked).as_secs_f64() * 1e3);
    }
    stage.end();
    vec![
        Series::new(&HANDOFF_GAP, gaps),
        Series::new(&HANDOFF_LOST, lost),
        Series::new(&HANDOFF_ANNOUNCED, announced),
    ]
}

/// Has the owner hand the VIP over by command; when it was given.
fn hand_off(stage: &Stage, owner: usize) -> Instant {
    let host = &stage.nodes[owner].host;
    let config = stage.lab.config_path(host);
    let (config, vip) = (config.to_str().expect("a path of letters"), VIP.to_string());
    let asked = now();
    let output = stage.lab.mantle(host, &["handoff", &vip, "-c", config]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    asked
}

/// When a node first told everybody where the VIP is, as the tap saw it.
fn first_announcement(stage: &Stage, at: usize, since: Instant) -> Instant {
    let name = stage.nodes[at].host.name();
    let frames = stage.lab.tap().frames().into_iter();
    let mut told = frames.filter(|frame| {
        let claim = &frame.claim;
        *frame.host == *name && frame.at > since && claim.vip == VIP && claim.kind.is_announcement()
    });
    told.next().expect("a new owner announces the VIP").at
}
