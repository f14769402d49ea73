//! The packaged unit under a real systemd: the agent's death, its end, and what becomes of its guardian.

use std::thread;
use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::echo::{Connection, Echo};
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::systemd::Member;
use mantle_tests::{Host, Systemd};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::guardian::{PATIENT, assert_released, lives, wait_ended};
use crate::witness::{lost_since, owners, wears};

/// A stage whose first node, a, has its agent from systemd; b stands by.
struct Scene {
    unit: Systemd,
    a: Host,
    stage: Stage,
}

fn scene(name: &str, settings: &str, drop_in: &str) -> Scene {
    let setting = Setting { vips: vec![VIP, VIP6], settings, ..Setting::default() };
    let mut stage = Stage::empty(name, &setting);
    let (a, started) = (stage.lab.host("a"), now());
    let unit = stage.lab.agent_by_systemd(&a, &stage.config(), drop_in);
    for vip in &stage.vips {
        stage.client.wait_answered(*vip, "a", started, SOON);
    }
    wait_for("the word that it is ready", SOON, || (unit.property("ActiveState") == "active").then_some(()));
    let status = stage.lab.status(&a).expect("an agent runs on a");
    assert_eq!(status["node"]["mode"], "kernel", "what the unit allows is enough for the kernel program");
    stage.add("b");
    stage.wait_live(0);
    Scene { unit, a, stage }
}

/// The agent that systemd runs and the guardian of just that one, once both are there.
#[track_caller]
fn agent_and_guardian(unit: &Systemd, except: &[Pid]) -> (Pid, Pid) {
    wait_for("an agent and its guardian", SOON, || {
        let members = unit.members();
        let one = |name: &str| {
            let mut those =
                members.iter().filter(|member| member.name == name && !except.contains(&member.pid));
            those.next().map(|member| member.pid).filter(|_| those.next().is_none())
        };
        one("mantle").zip(one("mantle-guardian"))
    })
}

fn is_member(unit: &Systemd, process: Pid) -> bool {
    unit.members().iter().any(|member| member.pid == process)
}

#[track_caller]
fn wait_shown(scene: &Scene, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, SOON, || scene.stage.lab.status(&scene.a).filter(&is_so))
}

#[test]
fn systemd_starts_the_next_agent_beside_the_guardian_of_a_killed_one() {
    let scene = scene("systemd-killed", &format!("{PATIENT}\nguardian: {{grace: 2s}}"), "");
    let Scene { unit, stage, .. } = &scene;
    let session =
        wait_shown(&scene, "a session", |status| status["session"]["state"] == "live")["session"]["id"]
            .clone();
    let began = now();
    let mut past = Vec::new();
    for death in 1..=2 {
        let (agent, guardian) = agent_and_guardian(unit, &past);
        kill(agent, Signal::SIGKILL).unwrap();
        past.extend([agent, guardian]);
        let (_, of_the_next) = agent_and_guardian(unit, &past);
        assert!(is_member(unit, guardian), "systemd has not waited for it, nor ended it");
        assert_ne!(guardian, of_the_next);
        let status = wait_shown(&scene, "the session to go on", |status| {
            status["session"]["state"] == "live" && status["vips"][1]["stance"] == "owner"
        });
        assert_eq!(status["session"]["id"], session);
        assert_eq!(unit.property("NRestarts"), death.to_string());
    }
    for guardian in past {
        wait_ended(guardian);
    }
    assert_eq!(unit.log().matches("another agent goes on").count(), 2, "{}", unit.log());
    let (agent, guardian) = agent_and_guardian(unit, &[]);
    assert!(unit.members().len() == 2 && lives(agent) && lives(guardian), "{:?}", unit.members());
    for vip in [VIP, VIP6] {
        assert_eq!(owners(stage, vip), [Some("a".into())]);
        assert_eq!(lost_since(stage, vip, began), 0, "{vip}");
    }
    let Scene { unit, stage, .. } = scene;
    drop(unit);
    stage.end();
}

#[test]
fn a_guardian_releases_what_no_agent_of_systemd_comes_back_for() {
    let scene = scene("systemd-broken", &format!("{PATIENT}\nguardian: {{grace: 1s}}"), "");
    let Scene { unit, a, stage } = &scene;
    let (agent, guardian) = agent_and_guardian(unit, &[]);
    stage.lab.write_config(a, "kind: Nonsense\n");
    let killed = now();
    kill(agent, Signal::SIGKILL).unwrap();
    wait_ended(agent);
    assert!(is_member(unit, guardian), "it lives where its agent lived");
    assert_released(stage, a, killed);
    wait_ended(guardian);

    // However often that is in vain, systemd goes on.
    wait_for("more failures than systemd would bear by default", SOON, || {
        let restarts: u32 = unit.property("NRestarts").parse().expect("a number");
        (restarts > 7).then_some(())
    });
    stage.lab.write_config(a, &stage.config());
    wait_shown(&scene, "an agent that stands by", |status| {
        status["session"]["state"] == "live" && status["vips"][0]["owner"] == "b"
    });
    assert_eq!(owners(stage, VIP).last(), Some(&Some("b".into())), "the return disturbs nobody");
    let Scene { unit, stage, .. } = scene;
    drop(unit);
    stage.end();
}

#[test]
fn systemctl_stop_moves_the_vips_waits_for_the_drain_and_leaves_nobody_behind() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    // Or the scenario would take longer than the half minute of the unit.
    let drop_in = format!("[Service]\nTimeoutStopSec={}\n", TIMEOUT.as_secs());
    let Scene { unit, a, stage } = scene("systemd-stopped", "", &drop_in);
    let (agent, guardian) = agent_and_guardian(&unit, &[]);
    let services = [&a, &stage.nodes[0].host].map(Echo::start);
    let client = stage.lab.host("client2");
    let mut open = Connection::open(&client, VIP);
    assert_eq!(open.server, "a");

    let stopped = now();
    thread::scope(|scope| {
        let order = scope.spawn(|| unit.order("stop"));
        stage.wait_owner(0, stopped);
        wait_for("longer than systemd waits by itself", SOON, || {
            (now().since(stopped) > TIMEOUT + Duration::from_millis(500)).then_some(())
        });
        assert!(lives(agent), "it lives on for what is drained: {}", unit.log());
        open.ask();
        drop(open);
        let order = order.join().expect("systemctl answers");
        assert!(order.status.success(), "{order:?}");
    });
    assert_eq!(
        (unit.property("ActiveState"), unit.property("Result")),
        ("inactive".into(), "success".into())
    );
    wait_ended(guardian);
    assert_eq!(unit.members(), Vec::<Member>::new());
    assert!(!unit.log().contains("without a word"), "{}", unit.log());
    for vip in [VIP, VIP6] {
        assert!(!wears(&a, vip));
        assert_eq!(owners(&stage, vip), [Some("a".into()), Some("b".into())], "handed over");
        assert_eq!(lost_since(&stage, vip, stopped), 0, "{vip}");
    }
    drop((unit, services));
    stage.end();
}
