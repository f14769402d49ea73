//! An agent that gets less of the processor than it needs.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mantle_tests::Process;
use mantle_tests::stage::{Setting, Stage};
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::seen::metric;

/// Longer than half an interval of the default timing, far shorter than the right.
const BUSY: Duration = Duration::from_millis(150);
/// Longer is left to the agent, and to whatever else the machine does. Both together are no multiple of the interval: or the
/// agent could renew in the pauses for ever.
const IDLE: Duration = Duration::from_millis(230);

/// The agent's thread of that name.
fn thread_of(agent: &Process, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().map(Result::unwrap);
    let mut named = tasks.filter(|task| fs::read_to_string(task.path().join("comm")).unwrap().trim() == name);
    let task = named.next().unwrap_or_else(|| panic!("the agent has no thread {name}"));
    Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap())
}

/// Binds a thread to the first processor; 0 is the calling one.
fn bind(thread: Pid) {
    let mut first = CpuSet::new();
    first.set(0).unwrap();
    sched_setaffinity(thread, &first).unwrap();
}

/// Keeps the first processor busy now and then, before all others, until told to stop.
fn hog(stop: &AtomicBool) {
    bind(Pid::from_raw(0));
    let parameters = libc::sched_param { sched_priority: 50 };
    // SAFETY: the call reads the parameters, which live on this stack; 0 is the calling thread.
    let raised = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    assert_eq!(raised, 0, "the scenario may not ask for a real-time priority");
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        while begun.elapsed() < BUSY {
            std::hint::spin_loop();
        }
        thread::sleep(IDLE);
    }
}

#[test]
fn an_agent_short_of_processor_time_is_seen_before_it_fails() {
    let stage = Stage::set("starved", &Setting { nodes: &["a"], ..Setting::default() });
    let agent = &stage.nodes[0].agent;
    bind(thread_of(agent, "mantle-core"));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let hog = thread::spawn(move || hog(&stopped));
    stage.wait_status(0, "a core thread that is late", |status| {
        status["node"]["lateness_ms"].as_u64().unwrap() > 100
    });
    stage.nodes[0].agent.wait_for_log("short of processor time", Duration::from_secs(5));
    let lapses = metric(&stage.nodes[0].host, "mantle_lapses_total");
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
    assert!(lapses < 1.0, "it failed before it was seen");
    let seen = metric(&stage.nodes[0].host, "mantle_core_lateness_seconds_bucket{le=\"0.1\"}");
    let all = metric(&stage.nodes[0].host, "mantle_core_lateness_seconds_count");
    assert!(all > seen, "the metric knows nothing of it");
    stage.end();
}

#[test]
fn the_thread_that_renews_goes_before_others_and_only_that_one() {
    let stage = Stage::set("priority", &Setting { nodes: &["a"], ..Setting::default() });
    let agent = &stage.nodes[0].agent;
    // SAFETY: the call touches no memory of ours.
    let policy = |name| unsafe { libc::sched_getscheduler(thread_of(agent, name).as_raw()) };
    assert_eq!(policy("mantle-core"), libc::SCHED_RR | libc::SCHED_RESET_ON_FORK);
    assert_eq!(policy("mantle-hands"), libc::SCHED_OTHER);
    agent.wait_for_log("real-time priority 1", Duration::from_secs(5));
    stage.end();
}
