//! A neighbour that believes no announcement: what it sends to the old owner is sent on during the drain, and after that it
//! finds the new one by its own probing.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use mantle_tests::clock::{now, sleep_until, wait_for};
use mantle_tests::echo::{Connection, Echo};
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::{Client, Host};

use crate::seen::metric;
use crate::witness::watch_for;

const DRAIN: Duration = Duration::from_secs(3);

/// It looks whether a neighbour is still there after 5 s to 15 s, where by default it would be up to 45 s, and asks everybody
/// once the neighbour has not answered for a second.
const PROBING: [(&str, &str); 3] =
    [("base_reachable_time_ms", "10000"), ("delay_first_probe_time", "1"), ("retrans_time_ms", "300")];
/// It has found out by then.
const PROBED: Duration = Duration::from_secs(40);

/// Has a host's kernel drop every announcement, as some devices do, and keep to its own probing.
fn make_deaf(host: &Host) {
    let set = |path: String, value: &str| {
        fs::write(&path, value).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    };
    host.run(move || {
        set(format!("/proc/sys/net/ipv4/conf/{PUBLIC_LINK}/drop_gratuitous_arp"), "1");
        set(format!("/proc/sys/net/ipv6/conf/{PUBLIC_LINK}/drop_unsolicited_na"), "1");
        for family in ["ipv4", "ipv6"] {
            for (name, value) in PROBING {
                set(format!("/proc/sys/net/{family}/neigh/{PUBLIC_LINK}/{name}"), value);
            }
        }
    });
}

/// Which of the stage's nodes a host takes the VIP to be at.
fn believed_at(stage: &Stage, host: &Host, vip: IpAddr) -> Option<usize> {
    let mut command = Command::new("ip");
    command.args(["neighbour", "show", &vip.to_string(), "dev", PUBLIC_LINK]);
    let shown = String::from_utf8(host.output(command, SOON).stdout).unwrap();
    stage.nodes.iter().position(|node| shown.contains(&node.host.port(PUBLIC_LINK).mac().to_string()))
}

#[test]
fn a_neighbour_deaf_to_announcements_gets_through_during_the_drain_and_finds_the_new_owner_after_it() {
    let vips = [VIP, VIP6];
    let settings = format!("handoff: {{drain: {}s}}", DRAIN.as_secs());
    let stage =
        Stage::set("deaf", &Setting { vips: vips.to_vec(), settings: &settings, ..Setting::default() });
    let (host, holding) = (stage.lab.host("deaf"), stage.lab.host("holding"));
    make_deaf(&host);
    // A new owner that has to ask for its neighbour's MAC asks in the VIP's name, which tells the neighbour where it is now.
    for net in host.addresses(PUBLIC_LINK) {
        stage.nodes[1].host.pin_neighbour(PUBLIC_LINK, net.addr(), host.port(PUBLIC_LINK).mac());
    }
    // Its kernel asks for the VIPs only now, and so has no need to ask again before the drain's end.
    let begun = now();
    let deaf = Client::start(&host, &vips, Client::INTERVAL);
    for vip in vips {
        deaf.wait_answered(vip, "a", begun, SOON);
    }
    // Somebody's connections keep the drain from ending early.
    let service = Echo::start(&stage.nodes[0].host);
    let open = vips.map(|vip| Connection::open(&holding, vip));
    let config = stage.lab.config_path(&stage.nodes[0].host);
    let asked = now();
    for vip in vips {
        let arguments = ["handoff", &vip.to_string(), "-c", config.to_str().unwrap()];
        let output = stage.lab.mantle(&stage.nodes[0].host, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let moved = now();
    for vip in vips {
        deaf.wait_answered(vip, "b", moved, SOON);
        assert_eq!(believed_at(&stage, &host, vip), Some(0), "{vip}: it has believed the announcement");
    }
    for vip in vips {
        let sent_on = format!("mantle_vip_relayed_total{{vip=\"{vip}\",way=\"on\"}}");
        wait_for(format_args!("a to have sent on what is for {vip}"), SOON, || {
            (metric(&stage.nodes[0].host, &sent_on) > 0.5).then_some(())
        });
    }
    let until = moved + DRAIN / 2;
    sleep_until(until);
    watch_for(Duration::from_millis(200));
    for vip in vips {
        let lost = deaf.look(|probes| probes.of(vip).lost_in(asked..until));
        assert_eq!(lost, 0, "{vip}: of a neighbour that was told nothing, during the drain");
    }
    // The drain ends, and with it the way through a.
    drop(open);
    stage.wait_status(0, "the drain's end", |status| {
        status["vips"].as_array().unwrap().iter().all(|vip| vip["stance"] == "off")
    });
    let drained = now();
    for vip in vips {
        deaf.wait_answered(vip, "b", drained, PROBED);
        assert_eq!(believed_at(&stage, &host, vip), Some(1), "{vip}: it has asked for itself");
    }
    drop(deaf);
    stage.end();
    drop(service);
}
