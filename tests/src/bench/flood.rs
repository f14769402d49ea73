//! A flood of ARP requests from another host over a cable of its own: what an answer costs, in the kernel's own stack, at TC
//! and at native XDP.
//!
//! Everything runs on the processor that sends: the request, the answer, and the answer's way back, which ends where it is
//! seen to be for another MAC. So the time of a flood is the processor time of all of it; from that the time of the same
//! flood of frames that nobody answers is taken away, as sending and receiving are no answer.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use ipnet::IpNet;
use mantle::config::Mode;
use mantle::dataplane::{Dataplane, Entry, LinkMode, State};
use mantle::link::machine_links;
use mantle::protocol::Instant;
use mantle::wire::Mac;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::figures::{FLOOD_TC, FLOOD_XDP};
use super::series::Series;
use crate::clock::now;
use crate::host::{Host, RawSender};
use crate::lab::Lab;
use crate::switch::Cable;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 100);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const ASKING: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// Nobody's: what is sent to it is received and dropped.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 99);
/// Not the MAC of the host that asks: the answers' way ends at its door.
const ELSEWHERE: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

const LINK: &str = "cable";
const REQUESTS: u32 = 200_000;

/// Two hosts on one cable.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let lab = Lab::new("bench-flood");
    let (owner, asker) = (lab.loose_host("owner"), lab.loose_host("asker"));
    let own: IpNet = IpNet::new(OWN.into(), 24).expect("a prefix of IPv4");
    Cable::between(&asker, &owner, LINK).carry_xdp();
    owner.add_address(LINK, own);

    let (mut tc, mut xdp) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (k,n)=(cost(&asker, OWN) , cost(&asker, NOBODY)); eprintln!("gross kernel {k} nobody {n}"); let kernel=k-n;
        for (mode, costs) in [(Mode::Tc, &mut tc), (Mode::Xdp, &mut xdp)] {
            let dataplane = own_vip(&owner, mode);
            let (k,n)=(cost(&asker, VIP) , cost(&asker, NOBODY)); eprintln!("gross {mode:?} {k} nobody {n}"); let answer=k-n;
            costs.push(answer / kernel);
            owner.run(move || dataplane.close().expect("what was attached can be taken off"));
        }
        eprintln!("  an answer of the kernel's own: {kernel:.0} ns");
    }
    vec![Series::new(&FLOOD_TC, tc), Series::new(&FLOOD_XDP, xdp)]
}

/// Has the kernel program on the owner's end answer for the VIP for ever.
fn own_vip(owner: &Host, mode: Mode) -> Dataplane {
    owner.run(move || {
        let inventory = machine_links().expect("the links can be listed");
        let link = inventory.find(LINK).expect("the cable is there").clone();
        let mut dataplane = Dataplane::open("bench", mode).expect("the kernel program can be loaded");
        let attached = dataplane.attach(&link).expect("the kernel program can be attached").mode;
        let asked_for = if mode == Mode::Xdp { LinkMode::Xdp { native: true } } else { LinkMode::Tc };
        assert_eq!(attached, asked_for);
        dataplane.right().grant(1, Instant::from_boot(Duration::from_secs(u64::from(u32::MAX))));
        let mac = link.mac.expect("a veth has a MAC");
        let entry =
            Entry { link: link.index, mac, state: State::Owner, peer: None, router: false, session: 1 };
        dataplane.set(IpAddr::V4(VIP), &entry).expect("there is room for one VIP");
        dataplane
    })
}

/// What a request for an address costs, with whatever answers it, in nanoseconds.
fn cost(asker: &Host, target: Ipv4Addr) -> f64 {
    asker.run(move || {
        let mut here = CpuSet::new();
        here.set(0).expect("there is a first processor");
        sched_setaffinity(Pid::from_raw(0), &here).expect("a thread may stay where it is");
        let sender = RawSender::open(LINK).expect("the cable is there");
        let frame = request(target);
        let before = received();
        let since = now();
        for _ in 0..REQUESTS {
            sender.send(&frame).expect("a cable takes what is sent");
        }
        let took = now().since(since);
        std::thread::sleep(Duration::from_millis(50));
        let answered = received() - before;
        let due = if target == NOBODY { 0 } else { u64::from(REQUESTS) };
        assert!(
            answered.abs_diff(due) <= u64::from(REQUESTS) / 1000,
            "{answered} of {due} answers for {target}"
        );
        took.as_nanos() as f64 / f64::from(REQUESTS)
    })
}

/// How many frames have come in on the cable.
fn received() -> u64 {
    let path = Path::new("/sys/class/net").join(LINK).join("statistics/rx_packets");
    let text = std::fs::read_to_string(path).expect("the cable has statistics");
    text.trim().parse().expect("they are numbers")
}

fn request(target: Ipv4Addr) -> Vec<u8> {
    let (hardware, operation) = (ArpHardwareId::ETHERNET, ArpOperation::REQUEST);
    let (from, to) = (ASKING.octets(), target.octets());
    let arp = ArpPacket::new(hardware, EtherType::IPV4, operation, &ELSEWHERE, &from, &[0; 6], &to);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ELSEWHERE, Mac([0xff; 6]).0)
        .arp(arp.expect("the lengths fit"))
        .write(&mut frame)
        .expect("a vector takes all that is written");
    frame
}
