//! What is read of the `health` section, and what is said about a bad one.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Check, CheckKind, CheckPace, CheckTls, CommandCheck, Health, HttpCheck};
use super::{BODY, VIP, mantle, read, warnings};
use mantle_protocol::WhenNobodyIsReady;

/// Reads one check without its name.
fn check(text: &str) -> Check {
    let config = read(&mantle(&format!("health: {{checks: [{{name: x, {text}}}]}}\n"))).unwrap();
    config.health.checks.into_iter().next().unwrap()
}

/// What is said, as `line:column: what`, lines counted from the body.
fn said(body: &str) -> Vec<String> {
    let errors = read(&mantle(body)).err().map(|errors| errors.to_string()).unwrap_or_default();
    let place = |line: &str| {
        let (number, rest) = line.strip_prefix("t.yaml:")?.split_once(':')?;
        Some(format!("{}:{rest}", number.parse::<usize>().ok()? + 1 - BODY))
    };
    errors.lines().map(|line| place(line).unwrap_or(line.to_owned())).collect()
}

#[test]
fn without_checks_the_links_alone_decide() {
    let expected = Health { checks: Vec::new(), when_nobody_is_ready: WhenNobodyIsReady::Hold };
    assert_eq!(read(&mantle("")).unwrap().health, expected);
}

#[test]
fn everything_can_be_said_of_a_check() {
    let config = read(&mantle(
        r#"
health:
  whenNobodyIsReady: release
  checks:
  - name: db
    vips: [192.168.0.15]
    tcp: {address: "[::1]:5432"}
    interval: 500ms
    timeout: 250ms
    rise: 3
    fall: 1
    recovery: 0
"#,
    ))
    .unwrap();
    assert_eq!(config.health.when_nobody_is_ready, WhenNobodyIsReady::Release);
    let [check] = config.health.checks.as_slice() else { panic!("one check") };
    assert_eq!(check.name, "db");
    assert_eq!(check.vips, Some(vec![IpAddr::from([192, 168, 0, 15])]));
    assert_eq!(check.kind, CheckKind::Tcp("[::1]:5432".parse().unwrap()));
    let ms = Duration::from_millis;
    let pace = CheckPace { interval: ms(500), timeout: ms(250), rise: 3, fall: 1, recovery: Duration::ZERO };
    assert_eq!(check.pace, pace);
}

#[test]
fn each_kind_is_read() {
    let http = |address: &str, path: &str, statuses: &[u16]| {
        let (address, path) = (address.parse().unwrap(), path.to_owned());
        CheckKind::Http(HttpCheck { address, path, statuses: statuses.to_vec(), tls: None })
    };
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    for (text, kind) in [
        ("http: {url: http://127.0.0.1:8080/healthz?a=b}", http("127.0.0.1:8080", "/healthz?a=b", &[200])),
        ("http: {url: 'http://[::1]', status: [200, 204]}", http("[::1]:80", "/", &[200, 204])),
        ("http: {url: http://10.0.0.1, status: 401}", http("10.0.0.1:80", "/", &[401])),
        (
            "command: {run: [/bin/true, -x]}",
            CheckKind::Command(CommandCheck::Run(words(&["/bin/true", "-x"]))),
        ),
        ("command: {shell: a | b}", CheckKind::Command(CommandCheck::Shell("a | b".to_owned()))),
    ] {
        let check = check(text);
        assert_eq!(check.kind, kind, "{text}");
        assert_eq!((check.vips, check.pace), (None, CheckPace::default()), "{text}");
    }
}

#[test]
fn certificates_are_found_and_the_apiservers_has_its_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, "").unwrap();
        path.display().to_string()
    };
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let files = format!("caFile: {ca}, certFile: {cert}, keyFile: {key}");
    let identity = Some((PathBuf::from(&cert), PathBuf::from(&key)));
    let https = check(&format!("http: {{url: https://127.0.0.1/, {files}, serverName: db.example}}"));
    let tls = |server_name: Option<&str>, identity| CheckTls {
        ca_file: PathBuf::from(&ca),
        server_name: server_name.map(str::to_owned),
        identity,
    };
    let CheckKind::Http(http) = https.kind else { panic!("{https:?}") };
    assert_eq!(http.address.port(), 443);
    assert_eq!(http.tls, Some(tls(Some("db.example"), identity)));

    let apiserver = check(&format!("kubeApiserver: {{caFile: {ca}}}"));
    let address = "127.0.0.1:6443".parse().unwrap();
    let tls = Some(tls(Some("kubernetes"), None));
    let readyz = HttpCheck { address, path: "/readyz".to_owned(), statuses: vec![200], tls };
    assert_eq!(apiserver.kind, CheckKind::Http(readyz));
}

#[test]
fn what_the_documents_show_is_read_and_has_the_defaults_they_name() {
    const DOCS: &str = include_str!("../../../../docs/health.md");
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.crt");
    fs::write(&ca, "").unwrap();
    let (_, rest) = DOCS.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let example = example.replace("/etc/kubernetes/pki/ca.crt", &ca.display().to_string());
    let config = read(&format!("{VIP}---\n{example}")).unwrap();
    assert_eq!(warnings(&config), [""; 0]);
    let names: Vec<&str> = config.health.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["apiserver", "postgres", "proxy", "disk"]);
    for check in &config.health.checks {
        assert_eq!(check.pace, CheckPace::default(), "{}", check.name);
    }
    assert_eq!(config.health.when_nobody_is_ready, WhenNobodyIsReady::default());
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    for (body, lines) in [
        (
            "health: {whenNobodyIsReady: holt}\n",
            &[r#"1:29: "holt" is no thing to do when nobody is ready; write hold"#][..],
        ),
        (
            "health: {checks: [{tcp: {address: \"127.0.0.1:1\"}}]}\n",
            &["1:19: no name in checks; write name: apiserver"],
        ),
        (
            "health:\n  checks:\n  - {name: a, vips: [192.168.0.16], tcp: {address: localhost:80}, ryse: 2}\n",
            &[
                "3:22: 192.168.0.16 is no VIP of this config; write one that is",
                r#"3:52: "localhost:80" is no address and port; write one such as 127.0.0.1:5432 or "[::1]:5432""#,
                r#"3:67: unknown key "ryse" in checks; write rise"#,
            ],
        ),
        (
            "health:\n  checks:\n  - {name: a, command: {shell: x}}\n  - {name: a, command: {shell: x}}\n",
            &[r#"4:12: check "a" stands here for the second time; give each its own name"#],
        ),
        (
            "health: {checks: [{name: a, interval: 1ms, timeout: 1h, rise: 0, fall: x, command: {shell: x}}]}\n",
            &[
                r#"1:39: "1ms" is out of range for interval; write 100ms to 1h"#,
                r#"1:53: "1h" is out of range for timeout; write 1ms to 1m"#,
                r#"1:63: "0" is no number of results in a row; write a number from 1 to 100"#,
                r#"1:72: "x" is no number of results in a row; write a number from 1 to 100"#,
            ],
        ),
        (
            "health: {checks: [{name: a}]}\n",
            &["1:19: nothing to check; write one of tcp, http, kubeApiserver, command"],
        ),
        (
            "health: {checks: [{name: a, tcp: {address: \"1.2.3.4:5\"}, command: {shell: x}}]}\n",
            &["1:67: a check tries one thing; write a second check, under a name of its own"],
        ),
        (
            "health: {checks: [{name: a, command: {run: [true]}}]}\n",
            &[r#"1:45: found "true"; write a list that begins with the program's absolute path"#],
        ),
        (
            "health: {checks: [{name: a, command: {run: [/bin/true], shell: x}}]}\n",
            &["1:38: write run: [/path/to/program, ...], or shell: and a line for /bin/sh, and not both"],
        ),
        (
            "health: {checks: [{name: a, http: {url: https://127.0.0.1/}}]}\n",
            &[
                r#"1:41: "https://127.0.0.1:443/" is encrypted, but nothing says whom to trust; write caFile: the file of the CA that signed the server's certificate"#,
            ],
        ),
        (
            "health: {checks: [{name: a, http: {url: http://127.0.0.1/, serverName: b}}]}\n",
            &[
                r#"1:41: endpoint "http://127.0.0.1:80/" is not encrypted, though serverName is set; write https:// or take serverName away"#,
            ],
        ),
        (
            "health: {checks: [{name: a, http: {url: http://localhost/, status: 20}}]}\n",
            &[
                r#"1:41: "http://localhost/" is no URL to check; write one with an IP address, such as http://127.0.0.1:8080/healthz or https://[::1]/"#,
                r#"1:68: "20" is no HTTP status; write one such as 200, or a list of them"#,
            ],
        ),
    ] {
        assert_eq!(said(body), lines, "\n{body}");
    }
    if !Path::new("/etc/kubernetes/pki/ca.crt").exists() {
        let lines = said("health: {checks: [{name: a, kubeApiserver: {address: \"127.0.0.1:6443\"}}]}\n");
        assert!(lines[0].contains("/etc/kubernetes/pki/ca.crt\" cannot be read"), "{lines:?}");
    }
}

#[test]
fn a_check_of_the_vip_itself_is_doubtful() {
    let body = "health: {checks: [{name: a, tcp: {address: \"192.168.0.15:80\"}}]}\n";
    let config = read(&mantle(body)).unwrap();
    let line = BODY;
    assert_eq!(
        warnings(&config),
        [format!(
            "t.yaml:{line}:19: the check asks VIP 192.168.0.15, which is on the owner only: it would tell of the owner's health, not of this node's; write an address of this node, such as 127.0.0.1"
        )]
    );
}
