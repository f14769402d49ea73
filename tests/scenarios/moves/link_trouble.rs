//! Links that go down, are missing or exchanged, and addresses taken off by hand.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use mantle_protocol::Instant;
use mantle_tests::Host;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::tap::FrameKind;

use super::seen::{get, metric};

/// How long b would have to wait if a had not released.
const SILENCE: Duration = Duration::from_millis(2712);

/// The records' owners, one after the other.
fn owners(stage: &Stage) -> Vec<Option<String>> {
    let changes = stage.history.changes().remove(&VIP).unwrap_or_default();
    changes.into_iter().map(|change| change.owner).collect()
}

fn waits_for(status: &serde_json::Value, what: &str) -> bool {
    let vip = &status["vips"][0];
    vip["ready"] == false && vip["waits_for"].as_str().is_some_and(|waits| waits.contains(what))
}

fn is_ready(status: &serde_json::Value) -> bool {
    status["vips"][0]["ready"] == true && status["session"]["state"] == "live"
}

/// The first announcement of a VIP after an instant, if there was one.
fn announced(stage: &Stage, host: &Host, vip: IpAddr, since: Instant) -> Option<Instant> {
    let kinds = if vip.is_ipv4() {
        [FrameKind::GratuitousRequest, FrameKind::GratuitousReply].as_slice()
    } else {
        &[FrameKind::UnsolicitedAdvert]
    };
    let frames = stage.lab.tap().frames();
    let announces = |frame: &&mantle_tests::tap::Frame| {
        frame.at > since
            && *frame.host == *host.name()
            && frame.claim.vip == vip
            && frame.claim.mac == host.port(PUBLIC_LINK).mac()
            && kinds.contains(&frame.claim.kind)
    };
    frames.iter().find(announces).map(|frame| frame.at)
}

/// Breaks the owner's link with `hurt` and mends it with `mend`: it releases, waits, and is ready again.
fn released_and_ready_again(
    mut stage: Stage,
    waits: &str,
    hurt: impl Fn(&Host),
    mend: impl Fn(&Stage, &Host),
) {
    let a = stage.nodes[0].host.clone();
    let broken = now();
    hurt(&a);
    let taken = stage.client.wait_answered(VIP, "b", broken, SOON);
    assert!(taken.since(broken) < SILENCE, "b waited {:?}: a did not release", taken.since(broken));
    let [a_name, b_name] = ["a", "b"].map(|name| Some(name.to_owned()));
    assert_eq!(owners(&stage), [a_name.clone(), None, b_name.clone()]);
    stage.wait_status(0, waits, |status| waits_for(status, waits));
    let (code, why) = get(&a, "/readyz");
    assert!(code == 503 && why.contains(waits), "{code} {why}");

    mend(&stage, &a);
    stage.wait_status(0, "a ready VIP", is_ready);
    assert_eq!(get(&a, "/readyz").0, 200);
    // Whom it can hand over to, b goes by a's session.
    let knows = |status: &serde_json::Value| {
        status["peers"][0]["ready"].as_array().is_some_and(|vips| !vips.is_empty())
    };
    stage.wait_status(1, "a, ready for the VIP", knows);
    let stopped = now();
    stage.nodes[1].agent.stop(SOON);
    stage.wait_owner(0, stopped);
    wait_for("an announcement of a", SOON, || announced(&stage, &a, VIP, stopped));
    assert_eq!(
        owners(&stage),
        [a_name.clone(), None, b_name, a_name],
        "released for the link, then handed over"
    );
    stage.end();
}

#[test]
fn an_owner_cut_off_from_the_switch_gives_up_at_once() {
    released_and_ready_again(
        Stage::set("switch-cut", &Setting::default()),
        "link eth0 is down",
        |a| a.port(PUBLIC_LINK).set_up(false),
        |_, a| a.port(PUBLIC_LINK).set_up(true),
    );
}

#[test]
fn a_link_set_down_is_released_and_ready_again_when_it_is_up() {
    released_and_ready_again(
        Stage::set("link-down", &Setting::default()),
        "link eth0 is down",
        |a| a.set_link(PUBLIC_LINK, false),
        |_, a| a.set_link(PUBLIC_LINK, true),
    );
}

#[test]
fn a_link_taken_out_is_released_and_another_in_its_place_is_ready() {
    let stage = Stage::set("link-exchanged", &Setting::default());
    let before = stage.nodes[0].host.port(PUBLIC_LINK).mac();
    released_and_ready_again(
        stage,
        "eth0",
        |a| a.delete_link(PUBLIC_LINK),
        |stage, a| {
            let addresses = ["10.77.0.200/24", "fd77::200/64"].map(|net| net.parse().unwrap());
            let port = stage.lab.public().connect(a, PUBLIC_LINK, &addresses);
            assert_ne!(port.mac(), before);
        },
    );
}

#[test]
fn a_vip_waits_for_a_link_that_is_not_there_yet() {
    let mut stage = Stage::empty("link-later", &Setting::default());
    let host = stage.lab.host("a");
    host.rename_link(PUBLIC_LINK, "spare0");
    let config = stage.config();
    let a = stage.add_host(host.clone(), &config);
    stage.wait_status(a, "what the VIP waits for", |status| waits_for(status, "eth0"));
    stage.wait_live(a);
    assert!(owners(&stage).is_empty());

    let there = now();
    host.rename_link("spare0", PUBLIC_LINK);
    stage.wait_owner(a, there);
    stage.wait_status(a, "a ready VIP", is_ready);
    stage.end();
}

#[test]
fn a_vip_that_the_kernel_will_not_take_is_worn_elsewhere() {
    let vips = vec![VIP6];
    let mut stage = Stage::empty("refused-address", &Setting { vips, ..Setting::default() });
    let host = stage.lab.host("a");
    host.run(|| std::fs::write(format!("/proc/sys/net/ipv6/conf/{PUBLIC_LINK}/disable_ipv6"), "1")).unwrap();
    let config = stage.config();
    let a = stage.add_host(host, &config);
    stage.wait_status(a, "why it cannot be worn", |status| waits_for(status, "fd77::100"));
    let since = now();
    let b = stage.add("b");
    stage.wait_owner(b, since);
    let owners: Vec<_> = stage.history.changes()[&VIP6].iter().map(|change| change.owner.clone()).collect();
    assert_eq!(owners, [Some("a".into()), None, Some("b".into())], "a gave up what it could not wear");
    stage.end();
}

#[test]
fn a_vip_removed_by_hand_is_put_back_and_announced() {
    /// How soon is for the bench to say.
    const TIMES: usize = 5;

    let vips = vec![VIP, VIP6];
    // One announcement each time, so that none of an earlier burst, nor a refresh, is taken for a later one's.
    let settings = "announce: {burst: [0s], refresh: 1h}";
    let stage =
        Stage::set("removed-by-hand", &Setting { vips: vips.clone(), settings, ..Setting::default() });
    let a = stage.nodes[0].host.clone();
    let restored = || metric(&a, "mantle_address_restored_total");
    for vip in vips {
        let before = restored();
        for _ in 0..TIMES {
            let removed = now();
            a.remove_address(PUBLIC_LINK, IpNet::from(vip));
            let told = wait_for(format_args!("an announcement of {vip}"), SOON, || {
                announced(&stage, &a, vip, removed)
            });
            stage.client.wait_answered(vip, "a", told, SOON);
        }
        let times = restored() - before;
        assert_eq!(times.to_string(), TIMES.to_string());
    }
    let probes = stage.end();
    assert!(probes.iter().all(|of_vip| of_vip.runs().len() == 1));
}
