//! Forwarding: how many packets per second come through a node that has handed the VIP over, beside those that a client
//! sends to the successor at once.
//!
//! A client that sends as fast as it can, whose kernel is told for good where the VIP is: at the successor, or at the
//! node before. What arrives is counted at the successor's link. All three stations share one machine, and a packet is
//! carried all its way on the processor that sends it: so what it costs the node before, which has a processor of its own
//! elsewhere, and its second way through the switch are in the figure too.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use mantle::config::Mode;
use mantle::dataplane::{Counter, Dataplane, Entry, State};
use mantle::link::machine_links;
use mantle::wire::Mac;
use mantle_protocol;

use super::figures::FORWARD;
use super::series::Series;
use crate::counts::received;
use crate::host::Host;
use crate::lab::{Lab, PUBLIC_LINK as LINK};

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 250));
const PORT: u16 = 9;

/// How long the client sends each way.
const STINT: Duration = Duration::from_millis(500);

/// The time that a packet takes by way of the node before, as a share of what it takes without.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let lab = Lab::new("bench-forward");
    let (before, successor, client) = (lab.host("before"), lab.host("successor"), lab.host("client"));
    let [mac, successor_mac] = [&before, &successor].map(|host| host.port(LINK).mac());
    let dataplane = forward_on(&before, successor_mac);
    successor.add_address(LINK, IpNet::from(VIP));
    // Never read: what does not fit is dropped, whichever way it came.
    let _served = successor.run(|| UdpSocket::bind((VIP, PORT)).expect("nobody else is on this host"));
    let ratios = (0..runs).map(|_| {
        let direct = rate(&client, &successor, successor_mac);
        let forwarded = rate(&client, &successor, mac);
        direct / forwarded
    });
    let series = Series::new(&FORWARD, ratios.collect());
    before.run(move || {
        let forwarded = dataplane.counters(VIP).map(|counters| counters.of(Counter::Forwarded));
        assert!(forwarded.expect("the VIP has an entry") > 0, "the program itself forwarded");
        dataplane.close().expect("what was attached can be taken off");
    });
    vec![series]
}

/// Has the kernel program on the host's link send on to the successor for ever.
fn forward_on(host: &Host, successor: Mac) -> Dataplane {
    host.run(move || {
        let inventory = machine_links().expect("the links can be listed");
        let link = inventory.find(LINK).expect("the link is there");
        let mut dataplane = Dataplane::open("bench", Mode::Tc).expect("the kernel program can be loaded");
        dataplane.attach(link).expect("the kernel program can be attached");
        let for_ever = Duration::from_secs(u64::from(u32::MAX));
        dataplane.right().grant(1, mantle_protocol::Instant::from_boot(for_ever));
        let entry = Entry {
            link: link.index,
            mac: link.mac.expect("a veth has a MAC"),
            state: State::Forwarding,
            peer: Some(successor),
            router: false,
            session: 1,
            asks_as: None,
        };
        dataplane.set(VIP, &entry).expect("there is room for one VIP");
        dataplane
    })
}

/// How many packets per second come to the successor when the client sends them to that MAC.
fn rate(client: &Host, successor: &Host, mac: Mac) -> f64 {
    client.pin_neighbour(LINK, VIP, mac);
    let before = successor.run(|| received(LINK));
    let took = client.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is left");
        socket.connect((VIP, PORT)).expect("there is a route to the VIP");
        let begun = Instant::now();
        while begun.elapsed() < STINT {
            for _ in 0..100 {
                // A queue may be full.
                let _ = socket.send(&[0; 64]);
            }
        }
        begun.elapsed()
    });
    let came = successor.run(|| received(LINK)) - before;
    assert!(came > 1000, "{came} packets came");
    f64::from(came) / took.as_secs_f64()
}
