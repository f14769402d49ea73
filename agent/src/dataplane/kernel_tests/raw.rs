//! Answers from userspace, with the kernel kept quiet.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use rtnetlink::LinkUnspec;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::super::{Counter, Entry, HOME, Kind, Quiet, QuietError, Raw, RawError, State, give_back};
use super::ground::{Lab, SESSION, VIP4, VIP6, after, in_lab};
use crate::clock;
use crate::link::{Lifetime, Links};
use crate::wire::{Arp, Mac};

/// The host's own address on the link.
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));
const BOTH: [IpAddr; 2] = [VIP4, VIP6];

/// The link's settings as they are when nobody has touched them.
const UNTOUCHED: [&str; 2] = ["0", "0"];
/// The same while the kernel is kept quiet.
const QUIET: [&str; 2] = ["3", "2"];

fn setting(link: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{link}/{name}")).unwrap();
    text.trim().to_owned()
}

fn change_setting(link: &str, name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/conf/{link}/{name}"), value).unwrap();
}

fn settings() -> [String; 2] {
    ["arp_ignore", "arp_announce"].map(|name| setting("one", name))
}

/// A link with an address of the host, and both VIPs where they stand in this mode.
async fn furnish(lab: &Lab) -> Links {
    lab.ground.change(LinkUnspec::new_with_name("lo").up().build()).await;
    lab.ground.add_address(lab.link.index, &OWN.to_string(), 24).await;
    let mut links = Links::open().unwrap();
    for vip in BOTH {
        links.put(HOME, vip, Lifetime::LONGEST).unwrap();
    }
    links
}

fn start(lab: &Lab, runtime_dir: &TempDir) -> Raw {
    let mut raw = Raw::open().unwrap();
    raw.attach(&lab.link, &BOTH, &mut Quiet::open(runtime_dir.path())).unwrap();
    raw
}

/// An orderly end.
fn close(raw: Raw, runtime_dir: &TempDir) {
    drop(raw);
    give_back(runtime_dir.path()).unwrap();
}

fn own(lab: &Lab, raw: &mut Raw) {
    for vip in BOTH {
        raw.set(vip, &lab.entry(State::Owner));
    }
}

#[test]
fn userspace_answers_while_the_right_lasts_and_nobody_after_it() {
    in_lab(async |mut lab| {
        let (dir, _links) = (tempfile::tempdir().unwrap(), furnish(&lab).await);
        let mut raw = start(&lab, &dir);
        lab.port.ask(OWN, Duration::from_secs(5)).expect("the host's own address is the kernel's to answer");
        lab.assert_silent();
        raw.right().grant(SESSION, after(60_000));
        lab.assert_silent();
        own(&lab, &mut raw);
        lab.assert_answered();
        let mut events = raw.events().unwrap();

        let end = after(300);
        raw.right().grant(SESSION, end);
        lab.assert_answered();
        sleep(end.since(clock::now()) + Duration::from_millis(1)).await;
        lab.assert_silent();
        assert_eq!(lab.port.ask(OWN, Duration::from_secs(5)), lab.link.mac, "only the VIPs are fenced");

        for (vip, answered, dropped) in [
            (VIP4, Counter::AnsweredArp, Counter::DroppedArp),
            (VIP6, Counter::AnsweredNs, Counter::DroppedNs),
        ] {
            let counters = raw.counters()[&vip];
            assert_eq!((counters.of(answered), counters.of(dropped)), (2, 1), "{vip}");
            let event = timeout(Duration::from_secs(2), events.next()).await.unwrap().unwrap();
            let seen = (event.vip, event.kind, event.link, event.mac);
            assert_eq!(seen, (vip, Kind::FenceIn, lab.link.index, lab.port.mac));
            assert!(event.at >= end && event.at <= clock::now(), "{event:?}");
        }
    });
}

#[test]
fn a_stance_of_another_session_or_none_is_not_answered() {
    in_lab(async |mut lab| {
        let (dir, _links) = (tempfile::tempdir().unwrap(), furnish(&lab).await);
        let mut raw = start(&lab, &dir);
        own(&lab, &mut raw);
        raw.right().grant(SESSION + 1, after(60_000));
        lab.assert_silent();
        for vip in BOTH {
            raw.set(vip, &Entry { session: SESSION + 1, ..lab.entry(State::Owner) });
        }
        lab.assert_answered();
        for vip in BOTH {
            raw.set(vip, &Entry { session: SESSION + 1, ..lab.entry(State::Prepared) });
        }
        lab.assert_silent();
        for vip in BOTH {
            raw.remove(vip);
        }
        lab.assert_silent();
        assert!(raw.counters().is_empty());
    });
}

#[test]
fn what_the_host_asks_itself_it_never_asks_in_the_vips_name() {
    in_lab(async |mut lab| {
        let (dir, _links) = (tempfile::tempdir().unwrap(), furnish(&lab).await);
        let _raw = start(&lab, &dir);
        lab.port.ask(OWN, Duration::from_secs(5)).expect("the cable carries");
        // As the answer to somebody who came for the VIP, whose MAC the host does not know.
        let socket = UdpSocket::bind((VIP4, 0)).unwrap();
        let stranger = Ipv4Addr::new(192, 168, 0, 77);
        socket.send_to(b"answer", (stranger, 9)).unwrap();
        let asked = |frame: &[u8]| {
            let arp = Arp::parse(frame.first_chunk()?).ok()?;
            (arp.target_ip == stranger).then_some(IpAddr::V4(arp.sender_ip))
        };
        assert_eq!(lab.port.hear(Duration::from_secs(5), asked), Some(OWN));
    });
}

#[test]
fn the_vips_groups_are_reported_to_the_network_while_they_are_answered() {
    in_lab(async |lab| {
        let (dir, _links) = (tempfile::tempdir().unwrap(), furnish(&lab).await);
        let is_joined = || {
            let groups = fs::read_to_string("/proc/thread-self/net/igmp6").unwrap();
            groups
                .lines()
                .any(|line| line.contains("one") && line.contains("ff0200000000000000000001ff000015"))
        };
        assert!(!is_joined(), "the address stands elsewhere");
        let raw = start(&lab, &dir);
        assert!(is_joined());
        close(raw, &dir);
        assert!(!is_joined());
    });
}

#[test]
fn another_machine_that_claims_a_vip_is_a_conflict() {
    in_lab(async |mut lab| {
        let (dir, _links) = (tempfile::tempdir().unwrap(), furnish(&lab).await);
        let mut raw = start(&lab, &dir);
        own(&lab, &mut raw);
        raw.right().grant(SESSION, after(60_000));
        lab.assert_answered();
        let mut events = raw.events().unwrap();
        let IpAddr::V4(vip) = VIP4 else { unreachable!() };
        let thief = Mac([2, 0, 0, 0, 0, 0x66]);
        lab.port.send(&Arp::gratuitous_request(vip, thief).frame());
        let event = timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap();
        assert_eq!((event.vip, event.kind, event.mac), (VIP4, Kind::Conflict, thief));
        assert_eq!(raw.counters()[&VIP4].of(Counter::Conflicts), 1);
    });
}

#[test]
fn the_links_settings_are_given_back_as_they_were() {
    in_lab(async |lab| {
        let dir = tempfile::tempdir().unwrap();
        let raw = start(&lab, &dir);
        assert_eq!(settings(), QUIET);
        close(raw, &dir);
        assert_eq!(settings(), UNTOUCHED);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left to give back");

        // By the next agent, in whatever mode.
        drop(start(&lab, &dir));
        drop(start(&lab, &dir));
        assert_eq!(settings(), QUIET);
        give_back(dir.path()).unwrap();
        assert_eq!(settings(), UNTOUCHED);
        drop(start(&lab, &dir));
        close(start(&lab, &dir), &dir);
        assert_eq!(settings(), UNTOUCHED);

        // But not over what somebody else has set since.
        let raw = start(&lab, &dir);
        change_setting("one", "arp_ignore", "1");
        close(raw, &dir);
        assert_eq!(settings(), ["1", "0"]);

        // What is quiet already is let alone.
        change_setting("one", "arp_announce", "2");
        let raw = start(&lab, &dir);
        assert_eq!(settings(), ["1", "2"]);
        drop(raw);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was changed");
    });
}

#[test]
fn a_link_that_cannot_be_kept_quiet_is_left_to_the_kernel() {
    in_lab(async |lab| {
        let dir = tempfile::tempdir().unwrap();
        // Larger than any setting of ours, and to the kernel the same as 0.
        change_setting("all", "arp_ignore", "5");
        let mut raw = Raw::open().unwrap();
        let error = raw.attach(&lab.link, &BOTH, &mut Quiet::open(dir.path())).unwrap_err();
        assert!(matches!(error, RawError::Quiet(QuietError::Overruled { value: 5, .. })), "{error}");
        assert!(!raw.answers_on(lab.link.index));
        assert_eq!(settings(), UNTOUCHED);
    });
}

#[test]
fn a_quiet_kernel_is_quiet_with_every_setting_that_is_taken_for_quiet() {
    in_lab(async |mut lab| {
        let (dir, _links) = (tempfile::tempdir().unwrap(), furnish(&lab).await);
        for found in ["0", "1", "2", "3", "4"] {
            change_setting("one", "arp_ignore", found);
            let raw = start(&lab, &dir);
            assert_eq!(lab.port.ask(OWN, Duration::from_secs(5)), lab.link.mac, "{found}");
            lab.assert_silent();
            close(raw, &dir);
            assert_eq!(setting("one", "arp_ignore"), found);
        }
        // Without it the kernel answers: what is proven above is not that the VIP is not there.
        change_setting("one", "arp_ignore", "0");
        assert_eq!(lab.port.ask(VIP4, Duration::from_secs(5)), lab.link.mac);
    });
}
