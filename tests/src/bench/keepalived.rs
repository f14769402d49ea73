//! keepalived in the same lab: what the client notices of a planned move and of a crash, at its default advertisement and at one
//! each 100 ms. Two nodes of the same priority that don't take the VIP back, so that each move is one of those asked for.

use std::fs;
use std::process::Command;

use mantle_protocol::Instant;

use super::figures::{Figure, KEEPALIVED, KEEPALIVED_FAST};
use super::series::Series;
use super::settle::{counted, look_on};
use crate::clock::{now, wait_for};
use crate::host::Host;
use crate::lab::{Lab, PUBLIC_LINK};
use crate::probe::Client;
use crate::process::Process;
use crate::stage::{SOON, VIP};

/// How a series of moves is called, one figure each: the gap of a planned move, what it loses, the gap of a crash.
pub(super) type Figures = [Figure; 3];

/// What a log says of a node that stands by.
const STANDS_BY: &str = "Entering BACKUP STATE";

pub(super) fn measure(runs: usize) -> Vec<Series> {
    [("bench-keepalived", "1", &KEEPALIVED), ("bench-keepalived-fast", "0.1", &KEEPALIVED_FAST)]
        .into_iter()
        .flat_map(|(name, advertisement, figures)| of_pair(name, advertisement, figures, runs))
        .collect()
}

/// One node of two.
struct Node {
    host: Host,
    keepalived: Process,
}

fn of_pair(name: &str, advertisement: &str, figures: &'static Figures, runs: usize) -> Vec<Series> {
    let lab = Lab::new(name);
    let client = lab.client(&[VIP]);
    let begun = now();
    let mut nodes = ["a", "b"].map(|name| {
        let host = lab.host(name);
        let config = lab.config_path(&host);
        fs::write(&config, text(advertisement))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", config.display()));
        Node { keepalived: start(&lab, &host), host }
    });
    let owner = client.wait_answerer(VIP, begun, SOON);
    let mut owner = usize::from(owner == "b");
    let (mut planned, mut lost, mut crashed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (gap, count) = moved(&lab, &client, &mut nodes, &mut owner, |node| {
            assert!(node.keepalived.stop(SOON).success(), "keepalived did not stop in order");
        });
        planned.push(gap * 1e3);
        lost.push(count);
        let (gap, _) = moved(&lab, &client, &mut nodes, &mut owner, |node| {
            node.host.unplug();
            node.keepalived.kill9();
        });
        crashed.push(gap);
    }
    let [of_planned, of_lost, of_crashed] = figures;
    vec![Series::new(of_planned, planned), Series::new(of_lost, lost), Series::new(of_crashed, crashed)]
}

/// Has something end the owner, and brings it back as a standby: the client's longest gap in seconds, and how many of its
/// probes were lost.
fn moved(
    lab: &Lab,
    client: &Client,
    nodes: &mut [Node; 2],
    owner: &mut usize,
    ends: impl FnOnce(&mut Node),
) -> (f64, f64) {
    let (ended, standby) = (*owner, 1 - *owner);
    let begun = now();
    ends(&mut nodes[ended]);
    client.wait_answered(VIP, nodes[standby].host.name(), begun, SOON);
    let seen = seen_by(client, begun, look_on());
    let node = &mut nodes[ended];
    // What died with its address on leaves that behind.
    if node.host.addresses(PUBLIC_LINK).iter().any(|net| net.addr() == VIP) {
        node.host.remove_address(PUBLIC_LINK, VIP.into());
    }
    node.host.plug();
    node.keepalived = start(lab, &node.host);
    *owner = standby;
    seen
}

fn seen_by(client: &Client, from: Instant, to: Instant) -> (f64, f64) {
    client.look(|probes| {
        let gap = probes.of(VIP).longest_gap(from..to).expect("the client probes all the time");
        (gap.length().as_secs_f64(), counted(probes.of(VIP).lost_in(from..to)))
    })
}

/// Starts it on a host, and waits until it stands by.
fn start(lab: &Lab, host: &Host) -> Process {
    // What a killed one left makes the next one think that it runs.
    host.run(|| {
        for file in ["/run/keepalived.pid", "/run/vrrp.pid"] {
            let _ = fs::remove_file(file);
        }
    });
    let mut command = Command::new("keepalived");
    command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    command.args(["--pid=/run/keepalived.pid", "--vrrp_pid=/run/vrrp.pid", "--use-file"]);
    command.arg(lab.config_path(host));
    let keepalived = host.spawn("keepalived", command);
    wait_for(format_args!("keepalived standing by on {}", host.name()), SOON, || {
        keepalived.log().contains(STANDS_BY).then_some(())
    });
    keepalived
}

fn text(advertisement: &str) -> String {
    // Fractions of a second came with version 3 of the protocol.
    format!(
        "global_defs {{\n  vrrp_version 3\n}}\nvrrp_instance bench {{\n  state BACKUP\n  nopreempt\n  interface {PUBLIC_LINK}\n  \
         virtual_router_id 77\n  priority 100\n  advert_int {advertisement}\n  virtual_ipaddress {{\n    {VIP}/32\n  }}\n}}\n"
    )
}
