//! The guardian: an agent that ends without a word while its node lives costs the grace, and not the silence.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mantle_protocol::Instant;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::tap::FrameKind;
use mantle_tests::{Host, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::witness::{
    PATIENCE, gap_since, has_address, last_frame, lost_since, owners, session_revision, wait_stands_by,
    watch_for, wears,
};

/// A silence so long that what moves before is moved by the guardian.
pub(crate) const PATIENT: &str = "timing: {renew: 500ms, lease: 8s, silence: 11s}";
const SILENCE: Duration = Duration::from_secs(11);

fn set(name: &str, settings: &str) -> Stage {
    Stage::set(name, &Setting { vips: vec![VIP, VIP6], settings, ..Setting::default() })
}

/// The guardian of an agent.
#[track_caller]
fn guardian(agent: &Process) -> Pid {
    let children = agent.children();
    let [guardian] = children.as_slice() else {
        panic!("an agent has one child, its guardian: {children:?}")
    };
    *guardian
}

pub(crate) fn lives(process: Pid) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[track_caller]
pub(crate) fn wait_ended(process: Pid) {
    wait_for(format_args!("the end of process {process}"), SOON, || (!lives(process)).then_some(()));
}

/// Whether anything of a node's agents is pinned.
fn is_pinned(stage: &Stage, at: usize) -> bool {
    stage.nodes[at].host.run(|| Path::new("/sys/fs/bpf/mantle").exists())
}

/// b is owner of everything long before it could have heard silence, by a release that came after a, the host, had fallen silent.
#[track_caller]
pub(crate) fn assert_released(stage: &Stage, a: &Host, killed: Instant) {
    for vip in &stage.vips {
        stage.client.wait_answered(*vip, "b", killed, SOON);
        assert_eq!(owners(stage, *vip), [Some("a".into()), None, Some("b".into())]);
        let changes = &stage.history.changes()[vip];
        assert!(changes[2].at.since(killed) < SILENCE, "the guardian, not the silence, let go of {vip}");
        // I4: when the record was given up nothing was answered any more.
        let last = last_frame(stage, "a", *vip).expect("a was owner");
        assert!(last < changes[1].at, "a still acted as owner of {vip} after the release");
        assert!(!wears(a, *vip), "{vip} is off");
    }
    assert_eq!(session_revision(stage, "a"), None, "the session is ended with the release");
}

/// The owner's agent is killed, and nobody starts another.
fn killed(name: &str, mode: &str) {
    let mut stage = set(name, &format!("{PATIENT}\ndataplane: {{mode: {mode}}}"));
    let guardian = guardian(&stage.nodes[0].agent);
    assert_eq!(is_pinned(&stage, 0), mode == "auto");
    // Asks a for the VIPs all the time, whoever is owner.
    let asker = stage.lab.asker(&[VIP, VIP6], stage.nodes[0].host.port(PUBLIC_LINK).mac());
    wait_for("answers of a to the asker", SOON, || {
        let frames = stage.lab.tap().frames();
        let answers =
            |vip, kind| frames.iter().any(|frame| (frame.claim.vip, frame.claim.kind) == (vip, kind));
        (answers(VIP, FrameKind::ArpReply) && answers(VIP6, FrameKind::NeighbourAdvert)).then_some(())
    });
    // Until a's kernel knows the asker's MAC: an answer that waits for that leaves when it comes, up to seconds later and
    // whatever has become of the address.
    watch_for(PATIENCE);
    stage.nodes[0].agent.kill9_alone();
    let killed = now();
    assert_released(&stage, &stage.nodes[0].host, killed);
    wait_ended(guardian);
    assert!(!is_pinned(&stage, 0), "nothing of the kernel program is left");

    drop(asker);
    stage.restart(0);
    wait_stands_by(&stage, 0, "b");
    watch_for(PATIENCE);
    for vip in [VIP, VIP6] {
        assert_eq!(owners(&stage, vip).last(), Some(&Some("b".into())), "the return disturbs nobody");
    }
    stage.end();
}

/// Waits until no VIP's address is on a any more.
fn wait_bare(stage: &Stage) {
    for vip in [VIP, VIP6] {
        wait_for("the addresses to go", SOON, || (!has_address(stage, 0, vip)).then_some(()));
    }
}

#[test]
fn a_killed_agents_vips_are_silenced_and_then_released() {
    killed("guardian", "auto");
}

#[test]
fn a_killed_agents_vips_are_silenced_and_then_released_in_mode_raw() {
    killed("guardian-raw", "raw");
}

#[test]
fn a_killed_agents_vips_are_silenced_and_then_released_without_the_kernel_program() {
    killed("guardian-off", "off");
}

#[test]
fn an_agent_that_is_back_within_the_grace_goes_on_without_a_lost_probe() {
    // Time enough for the busiest machine to start an agent three times.
    let mut stage = set("guardian-resumed", &format!("{PATIENT}\nguardian: {{grace: 6s}}"));
    let session = stage.status(0).expect("an agent runs on a")["session"]["id"].clone();
    let started = now();
    let mut guardians = Vec::new();
    for _ in 0..3 {
        let log = stage.nodes[0].agent.log_path().to_owned();
        guardians.push((guardian(&stage.nodes[0].agent), log));
        stage.nodes[0].agent.kill9_alone();
        stage.restart(0);
        let status = stage.wait_status(0, "the session to go on", |status| {
            status["session"]["state"] == "live" && status["vips"][1]["stance"] == "owner"
        });
        assert_eq!(status["session"]["id"], session);
    }
    // Each of them leaves what it guarded to the agent that goes on, and to that one's guardian.
    for (guardian, log) in guardians {
        wait_ended(guardian);
        assert!(fs::read_to_string(log).unwrap().contains("another agent goes on"));
    }
    assert!(lives(guardian(&stage.nodes[0].agent)));
    watch_for(PATIENCE);
    let until = now();
    for vip in [VIP, VIP6] {
        assert_eq!(owners(&stage, vip), [Some("a".into())]);
    }
    let probes = stage.end();
    for of_vip in probes.iter() {
        assert_eq!(of_vip.lost_in(started..until), 0, "{}", of_vip.vip());
    }
}

#[test]
fn a_guardian_leaves_an_agent_that_came_and_died_its_own_grace() {
    let mut stage = set("guardian-own-grace", &format!("{PATIENT}\nguardian: {{grace: 2s}}"));
    stage.nodes[0].agent.kill9_alone();
    let first = now();
    stage.restart(0);
    stage.wait_status(0, "an owner", |status| status["vips"][1]["stance"] == "owner");
    let second = now();
    stage.nodes[0].agent.kill9_alone();
    assert!(second.since(first) > Duration::from_millis(100), "the graces can be told apart");
    assert_released(&stage, &stage.nodes[0].host, first);
    let released = stage.history.changes()[&VIP][1].at;
    assert!(released.since(second) >= Duration::from_secs(2), "{:?}", released.since(second));
    stage.end();
}

#[test]
fn without_a_guardian_a_killed_agent_costs_the_silence() {
    let mut stage = set("guardian-none", "guardian: {grace: off}");
    assert_eq!(stage.nodes[0].agent.children(), []);
    stage.nodes[0].agent.kill9_alone();
    let killed = now();
    stage.wait_owner(1, killed);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())], "taken over, not released");
    stage.end();
}

#[test]
fn a_guardian_that_is_killed_with_its_agent_leaves_it_to_the_silence() {
    let mut stage = set("guardian-both", "");
    let guardian = guardian(&stage.nodes[0].agent);
    stage.nodes[0].agent.kill9();
    let killed = now();
    wait_ended(guardian);
    stage.wait_owner(1, killed);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())], "taken over, not released");
    stage.end();
}

#[test]
fn an_agent_goes_on_without_its_guardian_and_says_so() {
    let mut stage = set("guardian-killed", "");
    let guardian = guardian(&stage.nodes[0].agent);
    let alone = now();
    kill(guardian, Signal::SIGKILL).unwrap();
    stage.nodes[0].agent.wait_for_log("the guardian is gone", SOON);
    wait_ended(guardian);
    watch_for(PATIENCE);
    for vip in [VIP, VIP6] {
        assert_eq!(lost_since(&stage, vip, alone), 0);
        assert_eq!(owners(&stage, vip), [Some("a".into())]);
    }

    stage.nodes[0].agent.kill9_alone();
    let killed = now();
    stage.wait_owner(1, killed);
    assert_eq!(owners(&stage, VIP), [Some("a".into()), Some("b".into())], "taken over, not released");
    stage.end();
}

#[test]
fn a_frozen_agent_is_no_exit() {
    let stage = set("guardian-frozen", &format!("{PATIENT}\nguardian: {{grace: 100ms}}"));
    let guardian = guardian(&stage.nodes[0].agent);
    let frozen = now();
    stage.nodes[0].agent.freeze();
    watch_for(Duration::from_secs(3));
    stage.nodes[0].agent.thaw();
    watch_for(Duration::from_secs(1));
    assert!(lives(guardian));
    for vip in [VIP, VIP6] {
        assert_eq!(owners(&stage, vip), [Some("a".into())]);
        assert_eq!(lost_since(&stage, vip, frozen), 0);
    }
    assert!(!stage.nodes[0].agent.log().contains("without a word"));
    stage.end();
}

#[test]
fn a_planned_stop_takes_the_guardian_along_and_signals_to_the_group_are_the_agents() {
    let mut stage = set("guardian-stopped", "");
    let guardian = guardian(&stage.nodes[0].agent);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(guardian, signal).unwrap();
    }
    watch_for(Duration::from_millis(200));
    assert!(lives(guardian), "what is sent to all processes of a service is for the agent to follow");
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    wait_ended(guardian);
    assert!(!stage.nodes[0].agent.log().contains("without a word"));
    assert!(gap_since(&stage, VIP, stopped) < Duration::from_secs(1));
    stage.end();
}

#[test]
fn an_agent_that_fails_to_start_leaves_no_vip_behind_its_guardian() {
    let mut stage = set("guardian-failing", PATIENT);
    // Both are gone: the next agent's guardian finds what they left.
    stage.nodes[0].agent.kill9();
    let killed = now();
    let taken =
        stage.nodes[0].host.run(|| std::net::TcpListener::bind("127.0.0.1:9480")).expect("a free port");
    stage.restart(0);
    let exit = stage.nodes[0].agent.wait(SOON).expect("the agent ends");
    assert_eq!(exit.code(), Some(1), "{}", stage.nodes[0].agent.log());
    assert_released(&stage, &stage.nodes[0].host, killed);
    drop(taken);
    stage.end();
}

#[test]
fn without_etcd_the_guardian_silences_releases_nothing_and_gives_up_in_time() {
    let mut stage = set("guardian-without-etcd", "");
    let guardian = guardian(&stage.nodes[0].agent);
    stage.etcd.freeze(0);
    stage.nodes[0].agent.kill9_alone();
    wait_bare(&stage);
    let silent = now();
    wait_ended(guardian);
    assert!(stage.nodes[0].agent.log().contains("etcd took no release"));
    assert!(!is_pinned(&stage, 0));
    stage.etcd.thaw(0);
    let thawed = now();
    stage.wait_owner(1, thawed);
    for vip in [VIP, VIP6] {
        assert!(
            last_frame(&stage, "a", vip).expect("a was owner") < silent,
            "the wire does not wait for etcd"
        );
        assert_eq!(owners(&stage, vip), [Some("a".into()), Some("b".into())], "nothing was released");
    }
    stage.end();
}

#[test]
fn an_agent_that_starts_while_the_guardian_gives_up_waits_for_it() {
    let mut stage = set("guardian-in-the-midst", "timing: steady\nguardian: {grace: 0s}");
    let guardian = guardian(&stage.nodes[0].agent);
    stage.etcd.freeze(0);
    stage.nodes[0].agent.kill9_alone();
    wait_bare(&stage);
    assert!(lives(guardian), "it waits for etcd");
    stage.restart(0);
    watch_for(Duration::from_millis(500));
    assert!(lives(guardian) && stage.nodes[0].agent.is_running(), "{}", stage.nodes[0].agent.log());
    stage.etcd.thaw(0);
    wait_ended(guardian);
    stage.wait_live(0);
    assert!(stage.nodes[0].agent.is_running());
    let live = now();
    for vip in [VIP, VIP6] {
        wait_for("an answer, whosever it is", SOON, || {
            stage.client.look(|probes| probes.of(vip).latest_answer(live).is_some()).then_some(())
        });
    }
    stage.end();
}

#[test]
fn more_vips_than_a_transaction_takes_are_all_released() {
    let vips = (60..210).map(|n| std::net::Ipv4Addr::new(10, 77, 0, n).into()).collect();
    let interval = Duration::from_millis(50);
    let setting = Setting { vips, settings: PATIENT, interval, ..Setting::default() };
    let mut stage = Stage::set("guardian-many", &setting);
    stage.nodes[0].agent.kill9_alone();
    let killed = now();
    assert_released(&stage, &stage.nodes[0].host, killed);
    stage.end();
}
