//! The fence: an owner whose agent is frozen, killed or starved falls silent by the end of its right, in every mode and for
//! every neighbour, and stays so when it wakes up long after.

use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::Instant;
use mantle_tests::Asker;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::probe::answerer_seen_from;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::tap::FrameKind;

use crate::witness::{PATIENCE, has_address, last_frame, wait_stands_by, watch_for};

const BOTH: [IpAddr; 2] = [VIP, VIP6];

/// D. The address's own lifetime is 2 s with it, and 4 s behind the program: long enough after to tell which fence it was.
const RIGHT: Duration = Duration::from_millis(1100);
const TIMING: &str = "timing: {renew: 200ms, lease: 1100ms, silence: 1400ms}";
/// Where the agent has to be back before the right is over, on however busy a machine.
const PATIENT: &str = "timing: {renew: 500ms, lease: 8s, silence: 11s}";

/// A stage of a and b, of which a is owner, whose links carry the kernel program in a mode, beside an asker who never
/// stops asking a.
struct Play {
    stage: Stage,
    asker: Asker,
}

/// Where the kernel program meets what arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Tc,
    /// With an XDP program at the other end of the cable.
    XdpNative,
    /// On a bridge over the link, which has no other XDP.
    XdpGeneric,
    /// No kernel program at all.
    Off,
}

impl Mode {
    fn asked_for(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::XdpNative | Self::XdpGeneric => "xdp",
            Self::Off => "off",
        }
    }

    /// As the status has it.
    fn told(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::XdpNative => "xdp",
            Self::XdpGeneric => "xdp-generic",
            Self::Off => "off",
        }
    }
}

fn play(name: &str, mode: Mode) -> Play {
    play_timed(name, mode, TIMING)
}

fn play_timed(name: &str, mode: Mode, timing: &str) -> Play {
    let settings = format!("{timing}\ndataplane: {{mode: {}}}", mode.asked_for());
    let setting = Setting { vips: BOTH.to_vec(), settings: &settings, ..Setting::default() };
    let mut stage = Stage::empty(name, &setting);
    for name in ["a", "b"] {
        let since = now();
        let host = stage.lab.host(name);
        let mut config = stage.config();
        match mode {
            Mode::XdpNative => host.port(PUBLIC_LINK).carry_xdp(),
            Mode::XdpGeneric => {
                host.bridge_over(PUBLIC_LINK, "br0");
                config = config.replace(&format!("link: {PUBLIC_LINK}"), "link: br0");
            }
            Mode::Tc | Mode::Off => {}
        }
        let at = stage.add_host(host, &config);
        stage.wait_live(at);
        if name == "a" {
            stage.wait_owner(0, since);
        }
    }
    let status = stage.status(0).expect("an agent runs on a");
    assert_eq!(status["links"][0]["mode"], mode.told(), "{status:#}");
    let asker = stage.lab.asker(&BOTH, stage.nodes[0].host.port(PUBLIC_LINK).mac());
    let play = Play { stage, asker };
    play.wait_acts("a");
    play
}

impl Play {
    /// Waits until a host has answered in each of the ways it is asked in.
    fn wait_acts(&self, host: &str) {
        let since = now();
        for (vip, kind) in [
            (VIP, FrameKind::ArpReply),
            (VIP, FrameKind::Ip),
            (VIP6, FrameKind::NeighbourAdvert),
            (VIP6, FrameKind::Ip),
        ] {
            wait_for(format_args!("{host} to act for {vip} by {kind}"), SOON, || {
                let acted = |frame: &mantle_tests::tap::Frame| {
                    frame.at > since
                        && *frame.host == *host
                        && (frame.claim.vip, frame.claim.kind) == (vip, kind)
                };
                self.stage.lab.tap().frames().iter().any(acted).then_some(())
            });
        }
    }

    /// From now on nothing renews a's right; b takes over, whoever goes on asking a.
    fn wait_taken_over(&self, since: Instant) {
        self.stage.wait_owner(1, since);
        // The asker believes in a for ever, so b is not asked for packets.
        let acts = |vip, kind| {
            wait_for(format_args!("b to act for {vip} by {kind}"), SOON, || {
                let frames = self.stage.lab.tap().frames();
                let acted = frames
                    .iter()
                    .any(|frame| *frame.host == *"b" && (frame.claim.vip, frame.claim.kind) == (vip, kind));
                acted.then_some(())
            });
        };
        acts(VIP, FrameKind::ArpReply);
        acts(VIP6, FrameKind::NeighbourAdvert);
    }

    /// a acted until shortly before the end of its right, and not once after: it was asked all the time.
    fn assert_silent_after(&self, end: Instant) {
        for vip in BOTH {
            let last = last_frame(&self.stage, "a", vip).expect("a was owner");
            assert!(last < end, "a acted for {vip} {:?} after its right", last.since(end));
        }
    }
}

/// The owner's agent is frozen: silent by the end of its right, and for good when it is thawed long after.
fn frozen(name: &str, mode: Mode) {
    let play = play(name, mode);
    play.stage.nodes[0].agent.freeze();
    let frozen = now();
    play.wait_taken_over(frozen);
    watch_for(PATIENCE);
    play.stage.nodes[0].agent.thaw();
    wait_stands_by(&play.stage, 0, "b");
    watch_for(RIGHT);
    play.assert_silent_after(frozen + RIGHT);
    play.stage.end();
}

/// The owner's agent is killed and nobody starts another; the machine lives on.
fn killed(name: &str, mode: Mode) {
    let mut play = play(name, mode);
    play.stage.nodes[0].agent.kill9();
    let killed = now();
    play.wait_taken_over(killed);
    watch_for(PATIENCE);
    play.assert_silent_after(killed + RIGHT);
    play.stage.end();
}

#[test]
fn a_frozen_owner_is_silent_by_the_end_of_its_right_at_tc() {
    frozen("fence-frozen-tc", Mode::Tc);
}

#[test]
fn a_frozen_owner_is_silent_by_the_end_of_its_right_at_native_xdp() {
    frozen("fence-frozen-xdp", Mode::XdpNative);
}

#[test]
fn a_frozen_owner_is_silent_by_the_end_of_its_right_at_generic_xdp() {
    frozen("fence-frozen-generic", Mode::XdpGeneric);
}

#[test]
fn a_killed_agent_leaves_a_silent_machine_at_tc() {
    killed("fence-killed-tc", Mode::Tc);
}

#[test]
fn a_killed_agent_leaves_a_silent_machine_at_native_xdp() {
    killed("fence-killed-xdp", Mode::XdpNative);
}

#[test]
fn a_killed_agent_leaves_a_silent_machine_at_generic_xdp() {
    killed("fence-killed-generic", Mode::XdpGeneric);
}

/// Behind a dead agent the kernel program goes on dropping what asks for the VIPs, but the machine is a client like any other:
/// it finds the successor as soon as its own addresses have gone, by their lifetime.
fn finds_the_successor(name: &str, mode: Mode) {
    let mut play = play(name, mode);
    play.stage.nodes[0].agent.kill9();
    let killed = now();
    play.wait_taken_over(killed);
    let host = &play.stage.nodes[0].host;
    for vip in BOTH {
        wait_for(format_args!("{vip} to be gone from a"), SOON, || {
            (!has_address(&play.stage, 0, vip)).then_some(())
        });
        wait_for(format_args!("b to be found from a by {vip}"), SOON, || {
            (answerer_seen_from(host, vip).as_deref() == Some("b")).then_some(())
        });
    }
    play.assert_silent_after(killed + RIGHT);
    play.stage.end();
}

#[test]
fn a_machine_whose_agent_died_finds_the_successor_at_tc() {
    finds_the_successor("fence-finds-tc", Mode::Tc);
}

#[test]
fn a_machine_whose_agent_died_finds_the_successor_at_native_xdp() {
    finds_the_successor("fence-finds-xdp", Mode::XdpNative);
}

/// The test of the tests above: without the kernel program the same owner goes on answering past its right, until the
/// address's lifetime is over, and standbys wait for that.
#[test]
fn without_the_kernel_program_a_frozen_owner_answers_past_its_right() {
    let play = play("fence-off", Mode::Off);
    play.stage.nodes[0].agent.freeze();
    let frozen = now();
    play.wait_taken_over(frozen);
    for vip in BOTH {
        let last = last_frame(&play.stage, "a", vip).expect("a was owner");
        assert!(last > frozen + RIGHT, "nothing but the kernel program could have silenced a for {vip}");
    }
    play.stage.end();
}

/// A starved agent runs for some milliseconds in every two seconds: rights come and go, and none is outlived.
#[test]
fn a_starved_owner_never_acts_past_a_right() {
    let play = play("fence-starved", Mode::Tc);
    let agent = &play.stage.nodes[0].agent;
    let starved = now();
    for _ in 0..4 {
        agent.freeze();
        watch_for(Duration::from_secs(2));
        agent.thaw();
        watch_for(Duration::from_millis(5));
    }
    agent.freeze();
    play.wait_taken_over(starved);
    agent.thaw();
    wait_stands_by(&play.stage, 0, "b");
    // The judge holds every frame against the records; what b left open in between is what the starved a may have used.
    play.stage.end();
}

/// The agent is killed and started anew, as an upgrade does: whoever asks is answered by the program that goes on without
/// it, and not one question is lost while the next agent's program takes its place.
fn restarted(name: &str, mode: Mode) {
    let mut play = play_timed(name, mode, PATIENT);
    let session = play.stage.status(0).expect("an agent runs on a")["session"]["id"].clone();
    for _ in 0..3 {
        play.stage.nodes[0].agent.kill9();
        play.stage.restart(0);
        let status = play.stage.wait_status(0, "the session to go on", |status| {
            status["session"]["state"] == "live" && status["vips"][0]["stance"] == "owner"
        });
        assert_eq!(status["session"]["id"], session);
        watch_for(Duration::from_millis(300));
    }
    let asked = play.asker.end();
    assert!(asked.questions > 1000, "{asked:?}");
    assert_eq!(asked.answers, asked.questions);
    play.stage.end();
}

#[test]
fn an_agent_that_is_restarted_leaves_no_question_unanswered_at_tc() {
    restarted("fence-restarted-tc", Mode::Tc);
}

#[test]
fn an_agent_that_is_restarted_leaves_no_question_unanswered_at_native_xdp() {
    restarted("fence-restarted-xdp", Mode::XdpNative);
}
