//! The owner's agent is frozen: how long past its right, as the kernel program has it, the wire hears from it.

use std::fs;
use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use mantle_ebpf::layout::Right;
use mantle_ebpf::object::RIGHT;
use mantle_protocol::Instant;

use super::figures::SILENCE;
use super::series::Series;
use super::settle::{look_on, owner_and_standby, wait_stands_by};
use crate::clock::now;
use crate::host::Host;
use crate::lab::PUBLIC_LINK;
use crate::stage::{Setting, Stage, VIP, VIP6};

/// Whoever asks leaves less of a gap than is to be measured.
const PAUSE: Duration = Duration::from_micros(50);

/// Two nodes that take turns, each asked all the time while it is owner.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let vips = vec![VIP, VIP6];
    let stage = Stage::set("bench-silence", &Setting { vips: vips.clone(), ..Setting::default() });
    wait_stands_by(&stage, 1);
    let silences = (0..runs).map(|_| {
        let (owner, standby) = owner_and_standby(&stage);
        let host = &stage.nodes[owner].host;
        let asker = stage.lab.asker_every(PAUSE, &vips, host.port(PUBLIC_LINK).mac());
        std::thread::sleep(Duration::from_secs(1));
        stage.nodes[owner].agent.freeze();
        let frozen = now();
        let right = right_of(host);
        stage.wait_owner(standby, frozen);
        look_on();
        asker.end();
        stage.nodes[owner].agent.thaw();
        wait_stands_by(&stage, owner);
        let frames = stage.lab.tap().frames();
        let last = frames.iter().rev().find(|frame| *frame.host == *host.name()).map(|frame| frame.at);
        let last = last.expect("it was owner");
        assert!(last > right - Duration::from_millis(100), "nobody asked it until its right was over");
        last.since(right).as_secs_f64() * 1e3
    });
    let series = Series::new(&SILENCE, silences.collect());
    stage.end();
    vec![series]
}

/// Until when the kernel program on a host lets it act.
fn right_of(host: &Host) -> Instant {
    host.run(|| {
        let pins = fs::read_dir("/sys/fs/bpf/mantle").expect("the kernel program is pinned");
        let pin = pins
            .map(|entry| entry.expect("a directory can be read").path().join(RIGHT))
            .find(|pin| pin.exists());
        let map = MapData::from_pin(pin.expect("the right is pinned")).expect("the right can be read");
        let right: Array<_, Right> = Map::Array(map).try_into().expect("it is an array of one right");
        let right = right.get(&0, 0).expect("an array has its first slot");
        Instant::from_boot(Duration::from_nanos(right.until))
    })
}
