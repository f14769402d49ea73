//! A machine whose cores have other work and an etcd whose disks are slow: nobody may take over from a living owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::figures::{ALARM_GAP, FALSE_ALARMS};
use super::series::Series;
use super::settle::{look_on, wait_stands_by};
use crate::clock::now;
use crate::etcd::EtcdOptions;
use crate::stage::{Setting, Stage, VIP};

/// How long each run looks on: five of them, which is the default, make ten minutes.
const WINDOW: Duration = Duration::from_mins(2);
/// What each write to disk takes longer.
const SLOW: Duration = Duration::from_millis(10);

/// An owner and two standbys at `fast`, and three members.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let options = EtcdOptions { slow_disks: true, ..EtcdOptions::default() };
    let setting = Setting {
        members: 3,
        nodes: &["a", "b", "c"],
        settings: "timing: fast",
        options,
        ..Setting::default()
    };
    let stage = Stage::set("bench-no-false-alarm", &setting);
    (0..3).for_each(|at| wait_stands_by(&stage, at));
    stage.etcd.slow_disks(SLOW);
    let work = Work::begin();
    let begun = now();
    let span = WINDOW * u32::try_from(runs).unwrap_or(u32::MAX);
    thread::sleep(span);
    let gap = stage.client.look(|probes| probes.of(VIP).longest_gap(begun..now()));
    drop(work);
    look_on();
    let owners = stage.history.changes();
    let changes = owners.get(&VIP).into_iter().flatten().filter(|change| change.at > begun).count();
    stage.end();
    let changes = f64::from(u32::try_from(changes).unwrap_or(u32::MAX));
    let gap = gap.expect("the client probes all the time").length().as_secs_f64() * 1e3;
    vec![Series::new(&FALSE_ALARMS, vec![changes]), Series::new(&ALARM_GAP, vec![gap])]
}

/// Other work, for every core twice; it ends when this is dropped.
struct Work(Arc<AtomicBool>);

impl Work {
    fn begin() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..2 * cores {
            let ended = Arc::clone(&ended);
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(ended)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
