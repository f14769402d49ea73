//! Whether etcd fits: asked before there is an agent, and shown by one that runs.

use std::process::Output;

use mantle_tests::clock::wait_for;
use mantle_tests::stage::{SOON, Setting, Stage};
use mantle_tests::{EtcdOptions, EtcdVersion, Host};
use serde_json::Value;

use crate::seen::get;

const FINE: i32 = 0;
const ADVICE: i32 = 5;
const UNWORKABLE: i32 = 6;

/// `mantle check --online` on a host of its own, as text or as a document.
fn check(stage: &Stage, host: &Host, output: &str) -> Output {
    let file = stage.lab.config_path(host);
    std::fs::write(&file, stage.config()).unwrap();
    stage.lab.mantle(host, &["check", "--online", "-o", output, "-c", &file.display().to_string()])
}

fn document(stage: &Stage, host: &Host) -> (i32, Value) {
    let output = check(stage, host, "json");
    let document =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{output:?}: {error}"));
    (output.status.code().unwrap(), document)
}

/// What was found about one thing.
fn about<'a>(document: &'a Value, about: &str) -> &'a Value {
    let findings = document["online"]["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["about"] == about)
        .unwrap_or_else(|| panic!("nothing about {about}"))
}

/// Every etcd that is served is looked at alike, and nothing in it changes.
fn is_looked_at(name: &str, options: EtcdOptions, version: &str, trouble: &str) {
    let stage = Stage::empty(name, &Setting { members: 3, options, ..Setting::default() });
    let host = stage.lab.host("a");
    let (code, document) = document(&stage, &host);
    assert_eq!(code, ADVICE, "{document:#}");
    assert_eq!((&document["version"], &document["errors"]), (&1.into(), &Value::Array(Vec::new())));
    let endpoints = document["online"]["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 3);
    for endpoint in endpoints {
        let member = &endpoint["member"];
        assert!(member["version"].as_str().unwrap().starts_with(version), "{endpoint}");
        assert_eq!((&member["shortest_lease_s"], &member["compacted"]), (&2.into(), &0.into()), "{endpoint}");
        assert!(member["db_size"].as_u64().unwrap() > 0, "{endpoint}");
    }
    assert!(document["online"]["commits"]["median_ms"].as_f64().unwrap() > 0.0);
    let told = about(&document, "version");
    assert!(told["found"].as_str().unwrap().contains(trouble), "{told}");
    assert_eq!(about(&document, "endpoints")["fitness"], "fine");
    assert_eq!(about(&document, "compaction")["fitness"], "advice");
    assert_eq!(about(&document, "election time-out")["fitness"], "advice");

    let text = String::from_utf8(check(&stage, &host, "text").stdout).unwrap();
    for line in [
        "ok: 10.77.0.100 on eth0\n",
        "fine: endpoints: 3 of 3 endpoints answer\n",
        "advice: compaction: never",
    ] {
        assert!(text.contains(line), "{text} lacks {line}");
    }
    assert!(stage.etcd.list("/").is_empty(), "a look leaves no key");
    assert!(stage.history.changes().is_empty());
    stage.end();
}

#[test]
fn etcd_3_4_is_looked_at_and_left_as_it_was() {
    let options = EtcdOptions { version: EtcdVersion::V34, ..EtcdOptions::default() };
    is_looked_at("online-3-4", options, "3.4.", "watch events");
}

#[test]
fn etcd_3_5_is_looked_at_with_certificate_and_password() {
    let options = EtcdOptions {
        version: EtcdVersion::V35,
        tls: true,
        user: Some(("mantle".to_owned(), "swordfish".to_owned())),
        ..EtcdOptions::default()
    };
    is_looked_at("online-3-5", options, "3.5.", "corrupt");
}

#[test]
fn an_etcd_that_cannot_be_asked_is_unworkable_and_says_why() {
    let stage = Stage::empty("online-gone", &Setting::default());
    let host = stage.lab.host("a");
    stage.etcd.stop(0);
    let (code, document) = document(&stage, &host);
    assert_eq!(code, UNWORKABLE, "{document:#}");
    let told = about(&document, "endpoints");
    assert_eq!(told["fitness"], "unworkable");
    assert!(told["advice"].as_str().unwrap().contains("connection refused"), "{told}");
    stage.end();
}

#[test]
fn a_clock_that_the_kernel_program_does_not_share_is_refused() {
    let stage = Stage::empty("ahead-of-time", &Setting::default());
    let host = stage.lab.host("a");
    let file = stage.lab.config_path(&host);
    std::fs::write(&file, stage.config()).unwrap();
    let file = file.display().to_string();
    let checked = stage.lab.mantle_ahead_of_time(&host, &["check", "--online", "-o", "json", "-c", &file]);
    assert_eq!(checked.status.code(), Some(UNWORKABLE), "{checked:?}");
    let document = serde_json::from_slice(&checked.stdout).unwrap();
    let told = about(&document, "time namespace");
    assert!(told["found"].as_str().unwrap().contains("shifted by 500 s"), "{told}");

    let run = stage.lab.mantle_ahead_of_time(&host, &["run", "-c", &file]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(complaint.contains("CLOCK_BOOTTIME is shifted by 500 s"), "{complaint}");
    assert!(stage.etcd.list("/").is_empty(), "it refuses before it does anything");
    stage.end();
}

#[test]
fn an_agent_shows_the_same_and_says_it_once() {
    let mut stage = Stage::set("online-agent", &Setting { nodes: &["a"], ..Setting::default() });
    stage.nodes[0].agent.wait_for_log("looked at etcd", SOON);
    let host = &stage.nodes[0].host;
    let page = wait_for("what the agent found", SOON, || {
        let (_, page) = get(host, "/metrics");
        page.contains("mantle_etcd_version").then_some(page)
    });
    let endpoint = &stage.etcd.endpoints()[0];
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse::<f64>().unwrap()
    };
    let of = |name: &str| value(&format!("mantle_etcd_{name}{{endpoint=\"{endpoint}\"}}"));
    assert!(of("db_size_bytes") >= of("db_in_use_bytes") && of("db_in_use_bytes") > 0.0);
    assert!(of("uncompacted_revisions") > 1.0);
    assert!((of("election_timeout_seconds") - 4.0 / 3.0).abs() < 1e-3);
    assert!(value("mantle_etcd_commit_slowest_seconds") >= value("mantle_etcd_commit_median_seconds"));
    let no_space = format!("mantle_etcd_alarm{{endpoint=\"{endpoint}\",alarm=\"nospace\"}}");
    assert!(value(&no_space).abs() < f64::EPSILON);

    let (code, _) = document(&stage, host);
    assert!([FINE, ADVICE].contains(&code), "a look does not disturb an agent that runs: {code}");
    assert_eq!(stage.nodes[0].agent.log().matches("looked at etcd").count(), 1);
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.end();
}
