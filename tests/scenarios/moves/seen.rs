//! What an agent shows over HTTP, asked from within its host.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mantle_tests::Host;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::stage::{SOON, Setting, Stage, VIP};

/// Asks the agent on a host for a page; the status code and the body.
pub(crate) fn get(host: &Host, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = host.run(move || {
        let mut stream = TcpStream::connect("127.0.0.1:9480").expect("the agent listens by default");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit above zero is taken");
        stream.write_all(request.as_bytes()).expect("a request fits the socket's buffer");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the agent answers within seconds");
        answer
    });
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.expect("an answer begins with its status"), body.to_owned())
}

/// A metric of the agent on a host, by its name with its labels.
pub(crate) fn metric(host: &Host, name: &str) -> f64 {
    let (_, page) = get(host, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{page}"));
    value.parse().expect("a metric is a number")
}

#[test]
fn owner_and_standby_show_their_part_over_http() {
    let mut stage = Stage::set("http", &Setting::default());
    for (at, owns) in [(0, true), (1, false)] {
        let shows = |status: &serde_json::Value| {
            let (vip, peer) = (&status["vips"][0], &status["peers"][0]);
            vip["owner"] == "a" && vip["ready"] == true && peer["live"] == true
        };
        let by_command = stage.wait_status(at, "owner a, and a live peer", shows);
        let host = &stage.nodes[at].host;

        assert_eq!(get(host, "/healthz").0, 200);
        assert_eq!(get(host, "/readyz").0, 200);
        assert_eq!(get(host, "/no-such-page").0, 404);
        assert_eq!(get(host, "/").0, 200);

        // A snapshot may be a tenth of a second old: it shows owner, stance and peer in the end.
        let (stance, peer) = if owns { ("owner", "b") } else { ("off", "a") };
        let status = wait_for("a status that has caught up", SOON, || {
            let (code, json) = get(host, "/status.json");
            assert_eq!(code, 200);
            let status: serde_json::Value = serde_json::from_str(&json).unwrap();
            let caught_up = status["vips"][0]["stance"] == stance && status["peers"][0]["node"] == peer;
            caught_up.then_some(status)
        });
        assert_eq!(status["node"]["name"], host.name());
        assert_eq!(status["vips"][0]["vip"], VIP.to_string());
        assert_eq!(status["vips"][0]["owner"], "a");
        assert_eq!(status["vips"][0]["epoch"], by_command["vips"][0]["epoch"]);
        assert_eq!(status["peers"][0]["live"], true);

        let of_vip = |name: &str| metric(host, &format!("mantle_{name}{{vip=\"{VIP}\",link=\"eth0\"}}"));
        assert_eq!(of_vip("vip_owner") > 0.5, owns);
        assert!(of_vip("vip_ready") > 0.5);
        assert_eq!(of_vip("vip_epoch").to_string(), status["vips"][0]["epoch"].to_string());
        assert!(metric(host, "mantle_session_live") > 0.5);
        assert!(metric(host, "mantle_etcd_connected") > 0.5);
        assert_eq!(metric(host, "mantle_announcements_total") > 0.5, owns);
        assert_eq!(metric(host, "mantle_claims_total") > 0.5, owns);
    }

    let stopped = now();
    stage.nodes[0].agent.stop(SOON);
    stage.wait_owner(1, stopped);
    let owner = format!("mantle_vip_owner{{vip=\"{VIP}\",link=\"eth0\"}}");
    let host = &stage.nodes[1].host;
    wait_for("b to show that it is owner", SOON, || (metric(host, &owner) > 0.5).then_some(()));
    stage.end();
}
