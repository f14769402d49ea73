//! What is asked of a stage: who acted on the wire, whom the records named, what an agent says of itself.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use mantle_protocol::{Instant, Revision};
use mantle_tests::Host;
use mantle_tests::clock::now;
use mantle_tests::lab::{PREFIX, PUBLIC_LINK};
use mantle_tests::stage::Stage;
use mantle_tests::tap::{Frame, FrameKind};
use serde_json::Value;

/// Longer than a standby with the default timing waits for a silent owner: what is to go wrong has gone wrong by then.
pub(crate) const PATIENCE: Duration = Duration::from_millis(3500);

/// Lets a time pass in which nothing is to happen.
pub(crate) fn watch_for(span: Duration) {
    thread::sleep(span);
}

/// Whom a VIP's records named one after the other.
pub(crate) fn owners(stage: &Stage, vip: IpAddr) -> Vec<Option<String>> {
    let changes = stage.history.changes();
    changes.get(&vip).into_iter().flatten().map(|change| change.owner.clone()).collect()
}

/// When a host last told where a VIP is.
pub(crate) fn last_claim(stage: &Stage, host: &str, vip: IpAddr) -> Option<Instant> {
    let frames = stage.lab.tap().frames();
    let claims =
        |frame: &&Frame| *frame.host == *host && frame.claim.vip == vip && frame.claim.kind != FrameKind::Ip;
    frames.iter().rev().find(claims).map(|frame| frame.at)
}

/// When a host last acted as owner of a VIP.
pub(crate) fn last_frame(stage: &Stage, host: &str, vip: IpAddr) -> Option<Instant> {
    let frames = stage.lab.tap().frames();
    frames.iter().rev().find(|frame| *frame.host == *host && frame.claim.vip == vip).map(|frame| frame.at)
}

/// Waits until the agent on a node stands by: its session lives, it wears nothing, and it names the owner of every VIP.
#[track_caller]
pub(crate) fn wait_stands_by(stage: &Stage, at: usize, owner: &str) -> Value {
    stage.wait_status(at, "a live session that stands by", |status| {
        let stands_by = |vip: &Value| vip["stance"] == "off" && vip["owner"] == owner;
        status["session"]["state"] == "live"
            && status["vips"].as_array().expect("a list").iter().all(stands_by)
    })
}

/// Whether a node has an address on its public link.
pub(crate) fn has_address(stage: &Stage, at: usize, ip: IpAddr) -> bool {
    wears(&stage.nodes[at].host, ip)
}

/// Whether a host has an address on its public link.
pub(crate) fn wears(host: &Host, ip: IpAddr) -> bool {
    host.addresses(PUBLIC_LINK).iter().any(|net| net.addr() == ip)
}

/// The revision of a node's last renewal, while it has a session in etcd.
pub(crate) fn session_revision(stage: &Stage, node: &str) -> Option<Revision> {
    let key = format!("{PREFIX}/node/{node}");
    let found = stage.etcd.list(&key).into_iter().find(|found| found.key() == key.as_bytes())?;
    Some(found.mod_revision())
}

/// How many probes for a VIP that were sent from an instant until now stay without an answer.
pub(crate) fn lost_since(stage: &Stage, vip: IpAddr, since: Instant) -> usize {
    let until = now();
    // What was sent a moment ago has yet to be answered.
    watch_for(Duration::from_millis(200));
    stage.client.so_far().of(vip).lost_in(since..until)
}

/// How long the client at most had no answer for a VIP since an instant.
pub(crate) fn gap_since(stage: &Stage, vip: IpAddr, since: Instant) -> Duration {
    let probes = stage.client.so_far();
    probes.of(vip).longest_gap(since..now()).map(|gap| gap.length()).unwrap_or_default()
}
