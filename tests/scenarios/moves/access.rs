//! etcd behind locks: certificates, users, and both generations of it.

use mantle_tests::clock::now;
use mantle_tests::stage::{SOON, Setting, Stage, VIP};
use mantle_tests::{EtcdOptions, EtcdVersion};

/// A VIP that moves by plan: the least that an agent does with etcd, and all kinds of it.
fn moves_by_plan(name: &str, options: EtcdOptions) {
    let mut stage = Stage::set(name, &Setting { options, ..Setting::default() });
    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    stage.restart(0);
    stage.wait_live(0);
    let stopped = now();
    assert!(stage.nodes[1].agent.stop(SOON).success());
    stage.wait_owner(0, stopped);
    stage.end();
}

/// An agent whose config says `wrong` where it ought to say `right` tells `why` and is never owner; one with the right
/// config is.
fn is_kept_out(mut stage: Stage, right: &str, wrong: &str, why: &str) {
    let host = stage.lab.host("a");
    let config = stage.config();
    assert!(config.contains(right), "{right} is not in {config}");
    let a = stage.add_host(host, &config.replace(right, wrong));
    let status = stage.wait_status(a, "a reason", |status| {
        status["session"]["reason"].as_str().is_some_and(|reason| reason.contains(why))
    });
    let endpoint = &status["etcd"]["endpoints"][0];
    assert_ne!(status["session"]["state"], "live");
    assert_eq!(endpoint["ok"], false);
    assert!(endpoint["last_error"].as_str().unwrap().contains(why), "{endpoint}");
    stage.nodes[a].agent.wait_for_log(why, SOON);

    let since = now();
    let b = stage.add("b");
    stage.wait_owner(b, since);
    assert!(stage.nodes[a].agent.stop(SOON).success(), "an agent that never came in ends like any other");
    let owners = stage.history.changes();
    assert!(owners[&VIP].iter().all(|change| change.owner.as_deref() == Some("b")), "{owners:?}");
    stage.end();
}

#[test]
fn etcd_3_4_serves() {
    moves_by_plan("etcd-3-4", EtcdOptions { version: EtcdVersion::V34, ..EtcdOptions::default() });
}

#[test]
fn etcd_3_5_serves() {
    moves_by_plan("etcd-3-5", EtcdOptions { version: EtcdVersion::V35, ..EtcdOptions::default() });
}

fn tls() -> EtcdOptions {
    EtcdOptions { tls: true, ..EtcdOptions::default() }
}

#[test]
fn client_certificates_open_the_door() {
    moves_by_plan("tls", tls());
}

#[test]
fn a_wrong_ca_is_named() {
    let stage = Stage::empty("wrong-ca", &Setting { options: tls(), ..Setting::default() });
    let certificates = stage.etcd.tls().unwrap().clone();
    let [right, wrong] = [certificates.ca, certificates.wrong_ca].map(|file| file.display().to_string());
    is_kept_out(stage, &right, &wrong, "its certificate is not signed by the CA in caFile");
}

fn user() -> EtcdOptions {
    EtcdOptions { user: Some(("mantle".to_owned(), "swordfish".to_owned())), ..EtcdOptions::default() }
}

#[test]
fn user_and_password_open_the_door() {
    moves_by_plan("user", user());
}

#[test]
fn a_wrong_password_is_named() {
    let stage = Stage::empty("wrong-password", &Setting { options: user(), ..Setting::default() });
    let file = stage.lab.directory().join("wrong-password");
    std::fs::write(&file, "sardine").unwrap();
    let right = stage.lab.directory().join("password").display().to_string();
    let why = "it does not know this user with this password. Check username and passwordFile";
    is_kept_out(stage, &right, &file.display().to_string(), why);
}
