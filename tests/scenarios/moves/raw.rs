//! Mode raw: no kernel program, answers from userspace. A frozen owner is silent by the end of its right, though the
//! machine still serves, until the address's lifetime is over, whoever knows its MAC already.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::Instant;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::tap::{Frame, FrameKind};
use mantle_tests::{Asker, Host};

use crate::witness::{PATIENCE, has_address, last_frame, owners, wait_stands_by, watch_for};

const BOTH: [IpAddr; 2] = [VIP, VIP6];

/// D. The address's own lifetime is 2 s with it: long enough after to tell which fence it was.
const RIGHT: Duration = Duration::from_millis(1100);
const SETTINGS: &str = "timing: {renew: 200ms, lease: 1100ms, silence: 1400ms}\ndataplane: {mode: raw}";

/// The settings of a link that nobody has touched, and while the kernel is kept quiet.
const UNTOUCHED: [&str; 2] = ["0", "0"];
const QUIET: [&str; 2] = ["3", "2"];

fn set(name: &str, nodes: &[&str]) -> Stage {
    Stage::set(name, &Setting { nodes, vips: BOTH.to_vec(), settings: SETTINGS, ..Setting::default() })
}

/// What the kernel of a host is told of ARP on its public link.
fn settings(host: &Host) -> [String; 2] {
    host.run(|| {
        ["arp_ignore", "arp_announce"].map(|name| {
            let path = format!("/proc/sys/net/ipv4/conf/{PUBLIC_LINK}/{name}");
            fs::read_to_string(path).expect("every link has it").trim().to_owned()
        })
    })
}

/// Somebody who never stops asking a.
fn ask(stage: &Stage) -> Asker {
    stage.lab.asker(&BOTH, stage.nodes[0].host.port(PUBLIC_LINK).mac())
}

/// The last frame by which a host told a neighbour where a VIP is.
fn last_told(stage: &Stage, host: &str, vip: IpAddr) -> Instant {
    let tells =
        |frame: &&Frame| *frame.host == *host && frame.claim.vip == vip && frame.claim.kind != FrameKind::Ip;
    stage.lab.tap().frames().iter().rfind(tells).expect("it was owner").at
}

/// Waits until a host has acted for a VIP in that way.
fn wait_acts(stage: &Stage, host: &str, vip: IpAddr, kind: FrameKind, since: Instant) {
    wait_for(format_args!("{host} to act for {vip} by {kind}"), SOON, || {
        let acted = |frame: &Frame| {
            frame.at > since && *frame.host == *host && (frame.claim.vip, frame.claim.kind) == (vip, kind)
        };
        stage.lab.tap().frames().iter().any(acted).then_some(())
    });
}

/// Waits until a host has answered in each of the ways it is heard in.
fn wait_answers(stage: &Stage, host: &str, since: Instant) {
    wait_acts(stage, host, VIP, FrameKind::ArpReply, since);
    wait_acts(stage, host, VIP6, FrameKind::NeighbourAdvert, since);
}

#[test]
fn in_mode_raw_every_question_is_answered_and_an_orderly_stop_leaves_the_links_as_they_were() {
    let mut stage = set("raw-first-start", &["a", "b"]);
    for node in &stage.nodes {
        assert_eq!(settings(&node.host), QUIET);
    }
    for vip in BOTH {
        assert!(!has_address(&stage, 0, vip), "on the link the kernel would answer for {vip}");
    }
    // Cold, by broadcast and multicast; checking, by unicast; about to take the address; and sure of the MAC.
    let (since, asker) = (now(), ask(&stage));
    wait_answers(&stage, "a", since);
    wait_acts(&stage, "a", VIP6, FrameKind::UnsolicitedAdvert, since);
    for vip in BOTH {
        wait_acts(&stage, "a", vip, FrameKind::Ip, since);
    }
    watch_for(PATIENCE);
    let heard = asker.end();
    assert!(heard.questions > 1000, "{heard:?}");
    assert_eq!(heard.answers, heard.questions);
    for vip in BOTH {
        assert_eq!(owners(&stage, vip), [Some("a".into())]);
        assert_eq!(last_frame(&stage, "b", vip), None, "a standby says nothing for {vip}");
    }

    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    assert_eq!(settings(&stage.nodes[0].host), UNTOUCHED);
    assert!(stage.nodes[1].agent.stop(SOON).success());
    assert_eq!(settings(&stage.nodes[1].host), UNTOUCHED);
    stage.end();
}

#[test]
fn in_mode_raw_a_frozen_owner_tells_nobody_where_the_vip_is_after_its_right() {
    let stage = set("raw-frozen", &["a", "b"]);
    let asker = ask(&stage);
    wait_answers(&stage, "a", now());
    stage.nodes[0].agent.freeze();
    let frozen = now();
    let own = stage.nodes[0].host.address(PUBLIC_LINK);
    stage.wait_owner(1, frozen);
    wait_answers(&stage, "b", frozen);
    for vip in BOTH {
        let told = last_told(&stage, "a", vip);
        assert!(told < frozen + RIGHT, "a told of {vip} {:?} after its right", told.since(frozen + RIGHT));
        let served = last_frame(&stage, "a", vip).expect("a was owner");
        assert!(served > frozen + RIGHT, "{vip}: what silences a is not that the address has gone");
    }
    assert_reachable(&stage, own);

    stage.nodes[0].agent.thaw();
    let thawed = now();
    wait_stands_by(&stage, 0, "b");
    watch_for(PATIENCE);
    drop(asker);
    for vip in BOTH {
        assert!(last_frame(&stage, "a", vip).expect("a was owner") < thawed, "thawed, a acts for {vip}");
        assert_eq!(owners(&stage, vip), [Some("a".into()), Some("b".into())]);
    }
    stage.end();
}

#[test]
fn in_mode_raw_an_agent_killed_and_back_resumes_and_the_settings_are_given_back_in_the_end() {
    let settings_raw = "timing: steady\ndataplane: {mode: raw}";
    let setting = Setting { vips: BOTH.to_vec(), settings: settings_raw, ..Setting::default() };
    let mut stage = Stage::set("raw-resume", &setting);
    let session = stage.status(0).expect("an agent runs on a")["session"]["id"].clone();
    let killed = now();
    stage.nodes[0].agent.kill9();
    assert_eq!(settings(&stage.nodes[0].host), QUIET, "the kernel stays quiet without the agent");
    stage.restart(0);
    let status = stage.wait_status(0, "a resumed owner", |status| status["vips"][1]["stance"] == "owner");
    assert_eq!(status["session"]["id"], session);
    let (since, asker) = (now(), ask(&stage));
    wait_answers(&stage, "a", since);
    drop(asker);
    for vip in BOTH {
        assert_eq!(owners(&stage, vip), [Some("a".into())]);
    }

    // Killed again, and followed by an agent of another mode: that one gives back what was changed.
    stage.nodes[0].agent.kill9();
    let config = stage.config().replace("mode: raw", "mode: off");
    stage.nodes[0].agent = stage.lab.agent(&stage.nodes[0].host, &config);
    wait_for("the settings to be given back", SOON, || {
        (settings(&stage.nodes[0].host) == UNTOUCHED).then_some(())
    });
    stage.wait_status(0, "an owner or a standby", |status| status["session"]["state"] == "live");
    assert!(now() > killed);
    stage.end();
}

/// The host's own address still answers a neighbour that knows nothing.
#[track_caller]
fn assert_reachable(stage: &Stage, own: IpAddr) {
    let neighbour = stage.lab.host("neighbour");
    let reached = neighbour.run(move || {
        // Nobody listens there: to be refused is to be answered.
        let found = std::net::TcpStream::connect_timeout(&(own, 9).into(), Duration::from_secs(5));
        found.err().map(|error| error.kind())
    });
    assert_eq!(reached, Some(std::io::ErrorKind::ConnectionRefused), "{own}");
}
