//! Moves on purpose.

use std::time::Duration;

use mantle_tests::clock::now;
use mantle_tests::stage::{SOON, Setting, Stage, VIP};

#[test]
fn sigterm_of_the_owner_moves_the_vip_at_once() {
    let mut stage = Stage::set("sigterm", &Setting::default());
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    let probes = stage.end();
    let gap = probes.of(VIP).longest_gap(stopped..).map(|gap| gap.length());
    assert!(gap.is_none_or(|gap| gap < Duration::from_secs(1)), "{gap:?}");
    println!("gap {gap:?}");
}
