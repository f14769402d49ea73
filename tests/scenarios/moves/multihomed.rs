//! Nodes with several links: a VIP is answered on its own link only, and its replies leave by it.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use mantle_protocol::Instant;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::{PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::stage::{SOON, Setting, Stage, VIP, VIP6};
use mantle_tests::tap::{Frame, FrameKind};
use mantle_tests::{Asker, Host};

use crate::witness::{wait_stands_by, watch_for};

/// A link in the VIPs' network that has none of them.
const SECOND_LINK: &str = "eth2";

const BOTH: [IpAddr; 2] = [VIP, VIP6];

/// Broadcasts and unicasts, each so often for each VIP.
const REQUESTS: u64 = 1000;

/// A link's settings as they are when nobody has touched them, and while the kernel is kept quiet.
const UNTOUCHED: [&str; 2] = ["0", "0"];
const QUIET: [&str; 2] = ["3", "2"];

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

/// Two nodes with a second link each. Replies leave by that one: IPv4 asks there for its clients' MACs.
fn set(name: &str, settings: &str) -> Stage {
    let mut stage = Stage::empty(name, &Setting { vips: BOTH.to_vec(), settings, ..Setting::default() });
    for (node, number) in [("a", 200), ("b", 201)] {
        let host = stage.lab.host(node);
        let addresses = [net(&format!("10.77.0.{number}/24")), net(&format!("fd77::{number}/64"))];
        stage.lab.public().connect(&host, SECOND_LINK, &addresses);
        for half in ["10.77.0.0/25", "10.77.0.128/25"] {
            host.add_route(SECOND_LINK, net(half), None);
        }
        let since = now();
        let at = stage.add_host(host, &stage.config());
        if at == 0 {
            stage.wait_owner(0, since);
        }
        stage.wait_status(at, "a live session", |status| status["session"]["state"] == "live");
    }
    stage
}

/// What the kernel of a host is told of ARP on a link.
fn settings(host: &Host, link: &str) -> [String; 2] {
    let link = link.to_owned();
    host.run(move || {
        ["arp_ignore", "arp_announce"].map(|name| {
            let path = format!("/proc/sys/net/ipv4/conf/{link}/{name}");
            fs::read_to_string(path).expect("every link has it").trim().to_owned()
        })
    })
}

/// Asks so often on each link of a host, by broadcast and unicast, and in vain on the second.
fn ask(stage: &Stage, at: usize) {
    let host = &stage.nodes[at].host;
    let [first, second] = [PUBLIC_LINK, SECOND_LINK].map(|link| host.port(link).mac());
    let since = now();
    let forms = 2 * u64::try_from(BOTH.len()).unwrap();
    let (mut asked, end) = ([0; 2], now() + SOON * 4);
    while asked.iter().any(|questions| *questions < REQUESTS * forms) {
        assert!(now() < end, "{asked:?}");
        // Each on a host of its own, that the node has to find first.
        let askers = [first, second].map(|mac| stage.lab.asker_every(Duration::from_millis(1), &BOTH, mac));
        watch_for(Duration::from_secs(4));
        let [known, wrong] = askers.map(Asker::end);
        // Where the machine is busy some are lost.
        assert!(known.answers <= known.questions, "each but once: {known:?}");
        assert!(2 * wrong.answers <= wrong.questions, "the broadcasts only, and each but once: {wrong:?}");
        asked = [asked[0] + known.questions, asked[1] + wrong.questions];
    }
    let told = told_by(stage, host, since);
    assert!(told.len() as u64 >= REQUESTS, "{}", told.len());
    let flux: Vec<_> = told.iter().filter(|frame| frame.claim.mac != first).collect();
    assert!(flux.is_empty(), "{} of {} frames, such as {:?}", flux.len(), told.len(), flux[0]);
}

/// The frames by which a host told where a VIP is.
fn told_by(stage: &Stage, host: &Host, since: Instant) -> Vec<Frame> {
    let tells = |frame: &Frame| {
        frame.at > since
            && *frame.host == *host.name()
            && BOTH.contains(&frame.claim.vip)
            && frame.claim.kind != FrameKind::Ip
    };
    stage.lab.tap().frames().into_iter().filter(tells).collect()
}

/// The host's own addresses are answered for on every link, as ever.
fn assert_own_addresses_as_ever(stage: &Stage, at: usize) {
    let host = &stage.nodes[at].host;
    let own = host.address(PUBLIC_LINK);
    let neighbour = stage.lab.asker(&[own], host.port(SECOND_LINK).mac());
    watch_for(Duration::from_secs(1));
    let asked = neighbour.end();
    assert!(asked.questions > 50, "{asked:?}");
    assert_eq!(2 * asked.answers, 3 * asked.questions, "a broadcast on both links, a unicast on its own");
}

fn one_link_answers(name: &str, mode: &str) {
    let mut stage = set(name, &format!("dataplane: {{mode: {mode}}}"));
    let hosts = [0, 1].map(|at: usize| stage.nodes[at].host.clone());
    for host in &hosts {
        for link in [PRIVATE_LINK, SECOND_LINK] {
            assert_eq!(settings(host, link), QUIET, "{} {link}", host.name());
        }
    }
    ask(&stage, 0);
    assert_own_addresses_as_ever(&stage, 0);

    // A link that comes later is no other.
    stage.lab.public().connect(&hosts[0], "eth3", &[net("10.77.0.202/24")]);
    wait_for("the new link to be quiet", SOON, || (settings(&hosts[0], "eth3") == QUIET).then_some(()));
    let late = hosts[0].port("eth3").mac();

    let stopped = now();
    assert!(stage.nodes[0].agent.stop(SOON).success());
    stage.wait_owner(1, stopped);
    for link in [PRIVATE_LINK, SECOND_LINK, "eth3"] {
        assert_eq!(settings(&hosts[0], link), UNTOUCHED, "{link}");
    }
    ask(&stage, 1);

    // Killed with nobody to go on: the guardian gives the settings back.
    stage.restart(0);
    wait_stands_by(&stage, 0, "b");
    assert_eq!(settings(&hosts[0], SECOND_LINK), QUIET);
    stage.nodes[0].agent.kill9_alone();
    wait_for("the guardian to give the settings back", SOON, || {
        (settings(&hosts[0], SECOND_LINK) == UNTOUCHED).then_some(())
    });
    let second = [0, 1].map(|at: usize| hosts[at].port(SECOND_LINK).mac());
    let flux = |frame: &Frame| {
        frame.claim.kind != FrameKind::Ip && (second.contains(&frame.claim.mac) || frame.claim.mac == late)
    };
    assert_eq!(stage.lab.tap().frames().into_iter().find(flux), None, "in all that time");
    stage.end();
}

#[test]
fn with_two_links_in_one_network_only_the_vips_own_mac_ever_answers() {
    one_link_answers("multihomed-flux", "auto");
}

#[test]
fn with_two_links_in_one_network_only_the_vips_own_mac_ever_answers_in_mode_raw() {
    one_link_answers("multihomed-flux-raw", "raw");
}

#[test]
fn with_two_links_in_one_network_only_the_vips_own_mac_ever_answers_in_mode_off() {
    one_link_answers("multihomed-flux-off", "off");
}

/// The network of a client that the nodes have no way to but their default route, by the private link.
const FAR: [&str; 2] = ["192.0.2.5/24", "fd99::5/64"];
const FAR_ROUTER: [&str; 2] = ["192.0.2.254/24", "fd99::fe/64"];
const ROUTER: [&str; 2] = ["10.77.0.254/24", "fd77::fe/64"];
/// The router on the private network: the nodes' default route.
const PRIVATE_ROUTER: &str = "10.88.0.254/24";

fn write(host: &Host, setting: &str, value: &'static str) {
    let path = format!("/proc/sys/net/{setting}");
    host.run(move || fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
}

/// A client behind a router: that one has a link in the VIPs' network, and one in the client's.
fn far_client(stage: &Stage) -> Host {
    let [router, client] = ["router", "far"].map(|name| stage.lab.host(name));
    stage.lab.public().admit(ROUTER.into_iter().chain(FAR).map(|text| net(text).addr()));
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        write(&router, setting, "1");
    }
    router.add_address(PRIVATE_LINK, net(PRIVATE_ROUTER));
    for ((public, private), (far, vip)) in ROUTER.into_iter().zip(FAR_ROUTER).zip(FAR.into_iter().zip(BOTH)) {
        router.add_address(PUBLIC_LINK, net(public));
        router.add_address(PRIVATE_LINK, net(private));
        client.add_address(PRIVATE_LINK, net(far));
        client.add_route(PRIVATE_LINK, IpNet::from(vip), Some(net(private).addr()));
    }
    client
}

/// What comes of it if a host connects to where nobody listens: to be refused is to be answered.
fn knock(host: &Host, vip: IpAddr) -> Option<ErrorKind> {
    host.run(move || {
        TcpStream::connect_timeout(&(vip, 9).into(), Duration::from_secs(1)).err().map(|error| error.kind())
    })
}

/// The rules that a host has for the VIPs.
fn rules(host: &Host) -> usize {
    let list = |family| {
        let mut ip = Command::new("ip");
        ip.args([family, "rule", "show"]);
        String::from_utf8(host.output(ip, SOON).stdout).expect("text")
    };
    let of = |vip: IpAddr, family| {
        list(family).lines().filter(|line| line.contains(&format!("from {vip} "))).count()
    };
    of(VIP, "-4") + of(VIP6, "-6")
}

#[test]
fn replies_leave_by_the_vips_link_where_the_default_route_is_on_another_under_strict_rp_filter() {
    let [v4, v6] = ROUTER.map(|router| net(router).addr());
    let settings = format!("replies: {{eth0: {{gateways: [{v4}, \"{v6}\"]}}}}");
    let setting = Setting { nodes: &["a"], vips: BOTH.to_vec(), settings: &settings, ..Setting::default() };
    let mut stage = Stage::set("multihomed-replies", &setting);
    let host = stage.nodes[0].host.clone();
    let client = far_client(&stage);
    host.add_route(PRIVATE_LINK, net("0.0.0.0/0"), Some(net(PRIVATE_ROUTER).addr()));
    for link in ["all", PUBLIC_LINK, PRIVATE_LINK] {
        write(&host, &format!("ipv4/conf/{link}/rp_filter"), "1");
    }
    assert_eq!(rules(&host), 2);
    for vip in BOTH {
        wait_for(format_args!("an answer of {vip}"), SOON, || {
            (knock(&client, vip) == Some(ErrorKind::ConnectionRefused)).then_some(())
        });
    }

    // There are those who take away what they don't know, such as systemd-networkd.
    for (vip, family) in [(VIP, "-4"), (VIP6, "-6")] {
        let mut ip = Command::new("ip");
        ip.args([family, "rule", "del", "from", &vip.to_string()]);
        assert!(host.output(ip, SOON).status.success());
    }
    wait_for("the rules to be put back", SOON, || (rules(&host) == 2).then_some(()));

    // Without them nobody is answered: it is they that lead.
    assert!(stage.nodes[0].agent.stop(SOON).success());
    assert_eq!(rules(&host), 0, "an orderly end takes them along");
    let with_replies = stage.config();
    let without = with_replies.replace(&settings, "");
    let since = now();
    stage.nodes[0].agent = stage.lab.agent(&host, &without);
    stage.wait_owner(0, since);
    assert_eq!(knock(&client, VIP), Some(ErrorKind::TimedOut));

    // After a crash the guardian takes them away, or, without one, the next agent.
    for both_killed in [false, true] {
        assert!(stage.nodes[0].agent.stop(SOON).success());
        let since = now();
        stage.nodes[0].agent = stage.lab.agent(&host, &with_replies);
        stage.wait_owner(0, since);
        assert_eq!(rules(&host), 2);
        if both_killed {
            stage.nodes[0].agent.kill9();
            assert_eq!(rules(&host), 2);
        } else {
            stage.nodes[0].agent.kill9_alone();
            wait_for("the guardian to take the rules away", SOON, || (rules(&host) == 0).then_some(()));
        }
        stage.nodes[0].agent = stage.lab.agent(&host, &without);
        stage.wait_status(0, "an owner", |status| status["vips"][1]["stance"] == "owner");
        assert_eq!(rules(&host), 0);
    }
    stage.end();
}
