//! Health that decides readiness: a real HTTPS service behind each node, and commands.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use mantle_tests::clock::{now, wait_for};
use mantle_tests::stage::{SOON, Setting, Stage, VIP};
use mantle_tests::{Manner, Service};
use serde_json::Value;

use crate::seen::{get, metric};
use crate::witness::{PATIENCE, lost_since, owners, session_revision, watch_for};

/// As the API server of a node is checked, but quickly.
const CHECK: &str = "  - name: api
    kubeApiserver: {caFile: service/ca.pem, certFile: service/client.pem, keyFile: service/client-key.pem}
    interval: 100ms
    timeout: 300ms
    rise: 2
    fall: 2
    recovery: 500ms
";

/// Nodes `a` and `b`, each with a service of its own that is checked; the first is owner.
fn two(name: &str, policy: &str, check: &str) -> (Stage, [Service; 2]) {
    let settings = format!("health:\n  whenNobodyIsReady: {policy}\n  checks:\n{check}");
    let mut stage = Stage::empty(name, &Setting { settings: &settings, ..Setting::default() });
    let tls = Service::certificates(&stage.lab);
    let since = now();
    let services = ["a", "b"].map(|name| {
        let host = stage.lab.host(name);
        let service = Service::start(&host, &tls);
        let config = stage.config();
        let at = stage.add_host(host, &config);
        if at == 0 {
            stage.wait_owner(at, since);
        }
        wait_ready(&stage, at);
        service
    });
    (stage, services)
}

fn is_ready(status: &Value) -> bool {
    status["vips"][0]["ready"] == true && status["session"]["state"] == "live"
}

fn wait_ready(stage: &Stage, at: usize) {
    stage.wait_status(at, "a ready VIP", is_ready);
}

fn wait_failing(stage: &Stage, at: usize) -> Value {
    stage.wait_status(at, "a failing check", |status| status["checks"][0]["health"] == "failing")
}

/// Whom the records named, without those between.
fn names(stage: &Stage) -> Vec<String> {
    owners(stage, VIP).into_iter().flatten().collect()
}

#[test]
fn an_owner_gives_up_whatever_ails_its_service() {
    let (stage, services) = two("ailing", "hold", CHECK);
    let ailments = [
        (Manner::Answers(500), "answered 500 where 200 is wanted"),
        (Manner::Hangs, "no answer within 300ms"),
        (Manner::Dead, "Connection refused"),
        (Manner::Slow(Duration::from_secs(2)), "no answer within 300ms"),
        (Manner::Mute, "no answer within 300ms"),
    ];
    for (number, (manner, why)) in ailments.into_iter().enumerate() {
        let (owner, other) = (number % 2, 1 - number % 2);
        wait_ready(&stage, other);
        let fell_ill = now();
        services[owner].be(manner);
        stage.wait_owner(other, fell_ill);
        let host = &stage.nodes[owner].host;
        // The log tells of the moment; what a later try said may differ.
        stage.nodes[owner].agent.wait_for_log(why, SOON);
        let status = stage.wait_status(owner, "what it waits for", |status| {
            let vip = &status["vips"][0];
            vip["stance"] == "off"
                && vip["waits_for"].as_str().is_some_and(|what| what.contains("check api fails"))
        });
        assert_eq!(status["vips"][0]["ready"], false, "{manner:?}");
        assert_eq!(get(host, "/readyz").0, 503);
        assert!(metric(host, "mantle_check_healthy{check=\"api\"}") < 0.5);
        assert!(metric(host, "mantle_check_failures_total{check=\"api\"}") > 1.5);

        services[owner].be(Manner::Answers(200));
        wait_ready(&stage, owner);
        assert!(metric(host, "mantle_check_healthy{check=\"api\"}") > 0.5);
    }
    assert_eq!(names(&stage), ["a", "b", "a", "b", "a", "b"], "back in good health is no reason to move");
    stage.end();
}

#[test]
fn an_owner_nobody_can_relieve_holds_its_vip() {
    let (stage, services) = two("hold", "hold", CHECK);
    services[1].be(Manner::Dead);
    wait_failing(&stage, 1);
    let since = now();
    services[0].be(Manner::Answers(503));
    wait_failing(&stage, 0);
    watch_for(PATIENCE);
    let status = stage.status(0).expect("the agent runs");
    assert_eq!(status["vips"][0]["stance"], "owner");
    assert_eq!(status["vips"][0]["ready"], false, "it says that it only holds");
    assert_eq!(names(&stage), ["a"]);
    assert_eq!(lost_since(&stage, VIP, since), 0, "the VIP is worn without a break");

    let well_again = now();
    services[1].be(Manner::Answers(200));
    stage.wait_owner(1, well_again);
    assert_eq!(names(&stage), ["a", "b"]);
    stage.end();
}

#[test]
fn an_owner_told_to_release_does_so_though_nobody_is_ready() {
    let (stage, services) = two("release", "release", CHECK);
    services[1].be(Manner::Dead);
    wait_failing(&stage, 1);
    services[0].be(Manner::Answers(503));
    wait_for("a record that names nobody", SOON, || {
        (owners(&stage, VIP) == [Some("a".into()), None]).then_some(())
    });
    watch_for(PATIENCE);
    assert_eq!(names(&stage), ["a"], "nobody who fails takes it up");
    let well_again = now();
    services[0].be(Manner::Answers(200));
    stage.wait_owner(0, well_again);
    stage.end();
}

#[test]
fn only_a_service_that_proves_who_it_is_is_believed() {
    let kinds = [
        ("proven", "caFile: service/ca.pem", true),
        ("stranger", "caFile: service/wrong-ca.pem", true),
        ("namesake", "caFile: service/ca.pem, serverName: somebody.else", true),
        ("address", "caFile: service/ca.pem, serverName: 10.96.0.1", true),
        ("unknown-client", "caFile: service/ca.pem", false),
    ];
    let identity = ", certFile: service/client.pem, keyFile: service/client-key.pem";
    let checks = kinds.map(|(name, trust, shown)| {
        let identity = if shown { identity } else { "" };
        format!("  - {{name: {name}, interval: 100ms, fall: 1, kubeApiserver: {{{trust}{identity}}}}}\n")
    });
    let settings = format!("health:\n  checks:\n{}", checks.concat());
    let mut stage = Stage::empty("proof", &Setting { settings: &settings, ..Setting::default() });
    let tls = Service::certificates(&stage.lab);
    let host = stage.lab.host("a");
    let _service = Service::start(&host, &tls);
    let config = stage.config();
    stage.add_host(host, &config);
    let decided = |status: &Value| {
        let checks = status["checks"].as_array().expect("a list");
        checks.len() == kinds.len() && checks.iter().all(|check| check["health"] != "unknown")
    };
    let status = stage.wait_status(0, "a verdict on each", decided);
    let verdicts: Vec<&str> =
        (0..kinds.len()).map(|at| status["checks"][at]["health"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["good", "failing", "failing", "good", "failing"], "{status:#}");
    for (at, why) in [(1, "UnknownIssuer"), (2, "somebody.else"), (4, "CertificateRequired")] {
        let failure = status["checks"][at]["last"]["failure"].as_str().unwrap();
        assert!(failure.contains(why), "{failure}");
    }
    stage.end();
}

#[test]
fn a_node_takes_nothing_up_before_its_check_has_succeeded() {
    let settings = format!("health:\n  checks:\n{CHECK}");
    let mut stage = Stage::empty("unknown", &Setting { settings: &settings, ..Setting::default() });
    let tls = Service::certificates(&stage.lab);
    let host = stage.lab.host("a");
    let service = Service::start(&host, &tls);
    service.be(Manner::Hangs);
    let config = stage.config();
    stage.add_host(host, &config);
    stage.wait_live(0);
    wait_failing(&stage, 0);
    watch_for(PATIENCE);
    assert_eq!(owners(&stage, VIP), [], "a VIP was taken up without a good check");
    let well = now();
    service.be(Manner::Answers(200));
    stage.wait_owner(0, well);
    stage.end();
}

#[test]
fn an_owner_restarted_within_its_right_keeps_its_vip_while_nothing_is_known() {
    // So that the new agent knows nothing for 8 s.
    let check = CHECK.replace("timeout: 300ms", "timeout: 4s");
    let (mut stage, services) = two("restart-unknown", "hold", &check);
    services[0].be(Manner::Hangs);
    stage.nodes[0].agent.kill9();
    stage.restart(0);
    stage.nodes[0].agent.wait_for_log("session of the previous agent resumed", SOON);
    let since = now();
    let status = stage.wait_status(0, "an owner", |status| status["vips"][0]["stance"] == "owner");
    assert_eq!(status["checks"][0]["health"], "unknown");
    watch_for(Duration::from_secs(2));
    assert_eq!(names(&stage), ["a"]);
    assert_eq!(lost_since(&stage, VIP, since), 0);
    let status = stage.status(0).expect("the agent runs");
    assert_eq!(status["checks"][0]["health"], "unknown", "what was to be shown was shown in time");

    // It does give up what it then finds to fail.
    stage.wait_owner(1, since);
    stage.end();
}

#[test]
fn two_half_dead_nodes_do_not_throw_the_vip_to_and_fro() {
    const FLAPS: usize = 12;
    let check = CHECK.replace("recovery: 500ms", "recovery: 3s");
    let (stage, services) = two("flapping", "hold", &check);
    let began = now();
    // Ill for long enough to be found failing, well for long enough for `rise`; never both at once for long.
    for flap in 0..FLAPS {
        let (ill, well) = (flap % 2, 1 - flap % 2);
        services[well].be(Manner::Answers(200));
        services[ill].be(Manner::Answers(500));
        thread::sleep(Duration::from_millis(700));
    }
    let names_then = names(&stage);
    assert!(
        names_then.len() <= 3,
        "{} moves in {:?}: {names_then:?}",
        names_then.len() - 1,
        now().since(began)
    );

    services[1].be(Manner::Answers(200));
    services[0].be(Manner::Answers(200));
    for at in 0..2 {
        wait_ready(&stage, at);
    }
    stage.end();
}

#[test]
fn a_command_that_hangs_holds_up_nothing_and_leaves_nothing() {
    // Found again among all processes of the machine by its number; and, should this scenario fail, gone in a minute.
    let seconds = format!("60.{}", std::process::id());
    // The first look is at a file, so that it can be made to hang; what it starts in the background hangs along.
    let check = format!(
        "  - name: hung
    command: {{shell: \"[ ! -e HANG ] || {{ sleep {seconds} & sleep {seconds}; }}\"}}
    interval: 100ms
    timeout: 500ms
    fall: 2
  - name: api{}",
        CHECK.strip_prefix("  - name: api").expect("it begins so")
    );
    let settings = format!("health:\n  checks:\n{check}");
    let mut stage = Stage::empty("hung-command", &Setting { settings: &settings, ..Setting::default() });
    let tls = Service::certificates(&stage.lab);
    let mut services = Vec::new();
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let host = stage.lab.host(name);
        services.push(Service::start(&host, &tls));
        let hang = stage.lab.directory().join(format!("hang-{name}"));
        let config = stage.config().replace("HANG", &hang.display().to_string());
        let since = now();
        stage.add_host(host, &config);
        if at == 0 {
            stage.wait_owner(0, since);
        }
        wait_ready(&stage, at);
    }
    let began = now();
    let tries = |status: &Value| status["checks"][1]["tries"].as_u64().expect("a count");
    let renewal = session_revision(&stage, "a").expect("a session");
    fs::write(stage.lab.directory().join("hang-a"), "").unwrap();
    stage.wait_owner(1, began);
    let status = wait_failing(&stage, 0);
    let why = status["checks"][0]["last"]["failure"].as_str().unwrap().to_owned();
    assert!(why.contains("still ran after 500ms and was killed"), "{why}");
    // Everything else went on: the other check was tried all the while, the session renewed.
    let before = tries(&status);
    stage.wait_status(0, "more tries of the other check", |status| tries(status) > before + 5);
    assert_eq!(stage.status(0).unwrap()["checks"][1]["health"], "good");
    assert!(session_revision(&stage, "a").expect("the session lives") > renewal);
    // One try at a time, a shell and its two; what is left of earlier ones would never become less.
    wait_for("no more than one try at a time", SOON, || (running(&seconds).len() <= 3).then_some(()));
    let agent = stage.nodes[0].agent.pid().as_raw();
    wait_for("no zombie", SOON, || children(agent, "Z").is_empty().then_some(()));

    wait_for("a command that runs", SOON, || (!running(&seconds).is_empty()).then_some(()));
    assert!(stage.nodes[0].agent.stop(SOON).success());
    wait_for("nothing of the command to be left", SOON, || running(&seconds).is_empty().then_some(()));
    stage.end();
}

/// The processes of the machine that have this word in their command line.
fn running(word: &str) -> Vec<String> {
    let command_line = |process: fs::DirEntry| {
        let number = process.file_name().into_string().ok()?.parse::<u32>().ok()?;
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains(word) && number != std::process::id()).then_some(line)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(command_line).collect()
}

/// The children of a process that are in this state.
fn children(parent: i32, state: &str) -> Vec<String> {
    let tasks = fs::read_dir(Path::new("/proc").join(parent.to_string()).join("task")).unwrap().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<String> =
        lists.flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    pids.into_iter()
        .filter_map(|pid| fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok())
        .filter(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(state)))
        .collect()
}
