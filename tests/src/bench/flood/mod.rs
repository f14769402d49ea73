//! A flood of ARP requests: what answering costs the owner's machine, by the kernel's own stack, at TC and at native XDP.
//!
//! The owner's link is polled by a kernel thread of its own (`/sys/class/net/*/threaded`), in which everything happens that
//! an owner does for a request: taking it in, judging it, answering, and putting the answer on the wire. So its run time,
//! as the scheduler counts it, is the owner's cost without the sender's. The other end of the cable is polled by
//! another thread, or else the answers' way through the switch would be counted too. There are always more requests than are
//! answered, so the thread is never waiting; what finds the ring full costs it nothing.

mod sender;
mod service;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::Duration;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use mantle::config::Mode;
use mantle::dataplane::{Counter, Dataplane, Entry, LinkMode, State};
use mantle::link::machine_links;
use mantle::wire::Mac;
use mantle_protocol::Instant;
use nix::unistd::Pid;

use super::figures::{FLOOD_TC, FLOOD_XDP};
use super::series::Series;
use crate::counts::received;
use crate::host::Host;
use crate::lab::{Lab, PRIVATE_LINK as LINK};
use crate::poll::{Offload, poll_by_thread, set_offload};
use sender::Sender;

/// On that switch, but nobody else's.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 250);
/// Who asks.
const ASKING: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 249);

/// Requests at a time, most of which find the link's ring full.
const WAVE: u32 = 100_000;
/// What is in the ring then has been answered after this.
const AFTERWARDS: Duration = Duration::from_millis(20);
/// So many answers tell what one costs.
const ENOUGH: u32 = 30_000;
/// They have come by then.
const MOST_WAVES: u32 = 200;

/// What it costs the owner, and what a client sees of it.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    cost(runs).into_iter().chain(service::measure(runs)).collect()
}

/// The owner's cost for an answer as a share of what the kernel's own costs.
fn cost(runs: usize) -> Vec<Series> {
    let lab = Lab::new("bench-flood");
    let owner = lab.host("owner");
    let _taking = owner.port(LINK).run(sender::take_answers);
    let before = pollers();
    owner.run(|| {
        set_offload(LINK, Offload::Gro, true);
        poll_by_thread(LINK);
    });
    let poller = *pollers().difference(&before).next().expect("the link has a thread of its own");
    owner.port(LINK).poll_by_thread();

    let IpAddr::V4(own) = owner.address(LINK) else { panic!("the hosts' first addresses are IPv4") };
    let flood = Flood { owner, poller };
    let (mut tc, mut xdp) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let kernel = flood.cost(own);
        for (mode, costs) in [(Mode::Tc, &mut tc), (Mode::Xdp, &mut xdp)] {
            let dataplane = own_vip(&flood.owner, mode);
            costs.push(flood.cost(VIP) / kernel);
            flood.owner.run(move || {
                let answered =
                    dataplane.counters(VIP.into()).map(|counters| counters.of(Counter::AnsweredArp));
                assert!(answered.expect("the VIP has an entry") > 0, "the program itself answered");
                dataplane.close().expect("what was attached can be taken off");
            });
        }
    }
    vec![Series::new(&FLOOD_TC, tc), Series::new(&FLOOD_XDP, xdp)]
}

struct Flood {
    owner: Host,
    /// The thread that polls the owner's link.
    poller: Pid,
}

impl Flood {
    /// What an answer for an address costs the owner, in nanoseconds.
    fn cost(&self, target: Ipv4Addr) -> f64 {
        let port = self.owner.port(LINK);
        let mut sender = Sender::of(&request(port.mac(), target));
        let taken_in = || self.owner.run(|| received(LINK));
        let answers = || port.run(received);
        let (before, answered, used) = (taken_in(), answers(), run_time(self.poller));
        // On a busy machine the thread has its turn but now and then.
        for _ in 0..MOST_WAVES {
            sender = port.run(move |port| {
                sender.send(port, WAVE);
                sender
            });
            sleep(AFTERWARDS);
            if taken_in() - before >= ENOUGH {
                break;
            }
        }
        let (requests, used) = (taken_in() - before, run_time(self.poller).saturating_sub(used));
        assert!(requests >= ENOUGH, "{requests} requests for {target}");
        // Every request is answered, but the cable's other end may have no room for the answer on a busy machine.
        let answered = answers() - answered;
        assert!(answered > requests / 10, "{answered} answers to {requests} requests for {target}");
        used.as_secs_f64() * 1e9 / f64::from(requests)
    }
}

/// Has the kernel program on the owner's link answer for the VIP for ever.
fn own_vip(owner: &Host, mode: Mode) -> Dataplane {
    owner.run(move || {
        let inventory = machine_links().expect("the links can be listed");
        let link = inventory.find(LINK).expect("the link is there").clone();
        let mut dataplane = Dataplane::open("bench", mode).expect("the kernel program can be loaded");
        let attached = dataplane.attach(&link).expect("the kernel program can be attached").mode;
        let asked_for = if mode == Mode::Xdp { LinkMode::Xdp { native: true } } else { LinkMode::Tc };
        assert_eq!(attached, asked_for);
        dataplane.right().grant(1, Instant::from_boot(Duration::from_secs(u64::from(u32::MAX))));
        let mac = link.mac.expect("a veth has a MAC");
        let entry = Entry {
            link: link.index,
            mac,
            state: State::Owner,
            peer: None,
            router: false,
            session: 1,
            asks_as: None,
        };
        dataplane.set(IpAddr::V4(VIP), &entry).expect("there is room for one VIP");
        dataplane
    })
}

/// The threads that poll links of that name.
fn pollers() -> BTreeSet<Pid> {
    let name = format!("napi/{LINK}-");
    let processes = fs::read_dir("/proc").expect("Linux has /proc");
    let pid = |process: fs::DirEntry| -> Option<Pid> {
        let comm = fs::read_to_string(process.path().join("comm")).ok()?;
        comm.starts_with(&name).then_some(())?;
        Some(Pid::from_raw(process.file_name().to_str()?.parse().ok()?))
    };
    processes.flatten().filter_map(pid).collect()
}

/// How long a thread has run.
fn run_time(thread: Pid) -> Duration {
    let path = format!("/proc/{thread}/schedstat");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_else(|| panic!("no run time in {path}")))
}

fn request(to: Mac, target: Ipv4Addr) -> Vec<u8> {
    let (hardware, operation) = (ArpHardwareId::ETHERNET, ArpOperation::REQUEST);
    let (mac, from, target) = ([2, 0, 0, 0, 0, 0x99], ASKING.octets(), target.octets());
    let arp = ArpPacket::new(hardware, EtherType::IPV4, operation, &mac, &from, &[0; 6], &target);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac, to.0)
        .arp(arp.expect("the lengths fit"))
        .write(&mut frame)
        .expect("a vector takes all that is written");
    frame
}
