//! 256 VIPs on one node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mantle_tests::clock::now;
use mantle_tests::stage::{SOON, Setting, Stage};

/// Mostly IPv4: the kernel's work grows with the square of the IPv6 addresses on a link.
fn vips() -> Vec<IpAddr> {
    let v4 = (60..252).map(|n| Ipv4Addr::new(10, 77, 0, n).into());
    let v6 = (0..64).map(|n| Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, n).into());
    v4.chain(v6).collect()
}

fn stage(name: &str) -> Stage {
    let setting = Setting { vips: vips(), interval: Duration::from_millis(50), ..Setting::default() };
    assert_eq!(setting.vips.len(), 256);
    let stage = Stage::set(name, &setting);
    stage.wait_status(1, "256 VIPs of a, all ready here", |status| {
        let vips = status["vips"].as_array().unwrap();
        vips.len() == 256 && vips.iter().all(|vip| vip["owner"] == "a" && vip["ready"] == true)
    });
    stage
}

/// Each VIP went from a to b, and that was all.
fn moved_once(stage: Stage) {
    for of_vip in stage.end().iter() {
        let runs = of_vip.runs();
        let names: Vec<_> = runs.iter().map(|run| run.node.as_str()).collect();
        assert_eq!(names, ["a", "b"], "{}: {runs:?}", of_vip.vip());
    }
}

#[test]
fn a_planned_stop_moves_256_vips() {
    let mut stage = stage("many-planned");
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    moved_once(stage);
}

#[test]
fn a_crash_moves_256_vips() {
    let mut stage = stage("many-crash");
    let crashed = now();
    stage.nodes[0].host.unplug();
    stage.nodes[0].agent.kill9();
    stage.wait_owner(1, crashed);
    moved_once(stage);
}
