//! An owner to which nothing happens: the memory and the processor time it takes.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::Pid;

use super::figures::{IDLE_GUARDIAN, IDLE_MEMORY, IDLE_PROCESSOR};
use super::series::Series;
use crate::clock::now;
use crate::stage::{Setting, Stage};

/// How long each run looks on.
const WINDOW: Duration = Duration::from_secs(30);
/// After this nothing of the start is left: the announcements' burst is over.
const CALM: Duration = Duration::from_secs(6);

/// One node with one VIP and the standbys' sessions in its view; the client asks for it now and then.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let interval = Duration::from_millis(100);
    let stage =
        Stage::set("bench-idle", &Setting { nodes: &["a", "b", "c"], interval, ..Setting::default() });
    sleep(CALM);
    let agent = stage.nodes[0].agent.pid();
    let [guardian] = *stage.nodes[0].agent.children() else { panic!("the agent has its guardian") };
    let (mut memory, mut of_guardian, mut processor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (begun, used) = (now(), processor_time(agent));
        sleep(WINDOW);
        let share =
            processor_time(agent).saturating_sub(used).as_secs_f64() / now().since(begun).as_secs_f64();
        processor.push(share * 100.0);
        memory.push(resident_mib(agent));
        of_guardian.push(resident_mib(guardian));
    }
    stage.end();
    vec![
        Series::new(&IDLE_MEMORY, memory),
        Series::new(&IDLE_GUARDIAN, of_guardian),
        Series::new(&IDLE_PROCESSOR, processor),
    ]
}

/// What all threads of a process have run so far: to the nanosecond, where `/proc/PID/stat` counts in ticks.
fn processor_time(pid: Pid) -> Duration {
    let directory = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&directory).unwrap_or_else(|error| panic!("cannot read {directory}: {error}"));
    let of_thread = |thread: fs::DirEntry| -> Option<u64> {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(of_thread).sum())
}

fn resident_mib(pid: Pid) -> f64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let kib: u32 = resident.and_then(|kib| kib.parse().ok()).unwrap_or_else(|| panic!("no VmRSS in {path}"));
    f64::from(kib) / 1024.0
}
