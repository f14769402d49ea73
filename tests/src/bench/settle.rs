//! What lies between two runs: the moved node comes back, and nothing of the last run reaches into the next.

use std::thread::sleep;
use std::time::Duration;

use mantle_protocol::Instant;

use crate::clock::{now, wait_for};
use crate::stage::{SOON, Stage, VIP};

/// How long is looked on after a move: whatever is late belongs to it.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// A probe that has no answer after this has none.
const UNANSWERED: Duration = Duration::from_millis(200);

/// The owner and the standby of two nodes, by who answers the client: on a machine that is too busy an owner may have
/// lost its right, and a move of the wrong one would be a figure about nothing.
pub(super) fn owner_and_standby(stage: &Stage) -> (usize, usize) {
    let owner = stage.client.look(|probes| {
        let probes = probes.of(stage.vips[0]);
        let latest = probes.latest_answer(now() - AFTERWARDS).map(|answer| probes.node_of(answer));
        latest.and_then(|name| stage.nodes.iter().position(|node| node.host.name() == name))
    });
    let owner = owner.unwrap_or_else(|| panic!("nobody answers for {}", stage.vips[0]));
    (owner, 1 - owner)
}

/// Looks on for a while; the end of the time that is to be counted.
pub(super) fn look_on() -> Instant {
    sleep(AFTERWARDS);
    let end = now();
    sleep(UNANSWERED);
    end
}

/// The longest time the client went without an answer for the VIP.
pub(super) fn longest_gap(stage: &Stage, from: Instant, to: Instant) -> Duration {
    let gap = stage.client.look(|probes| probes.of(VIP).longest_gap(from..to));
    gap.expect("the client probes all the time").length()
}

/// A count as a figure.
pub(super) fn counted(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a thousand a second"))
}

/// Starts a node's agent again, and waits until it stands by.
pub(super) fn bring_back(stage: &mut Stage, at: usize) {
    stage.restart(at);
    wait_stands_by(stage, at);
    // Past the busy moments of a start.
    sleep(AFTERWARDS);
}

/// Waits until a node could take over: its session lives, and it is ready for every VIP.
pub(super) fn wait_stands_by(stage: &Stage, at: usize) {
    wait_for(format_args!("{} standing by", stage.nodes[at].host.name()), SOON, || {
        let status = stage.status(at)?;
        let vips = status["vips"].as_array()?;
        let ready = vips.iter().all(|vip| vip["ready"] == true && vip["owner"].is_string());
        (status["session"]["state"] == "live" && ready).then_some(())
    });
}
