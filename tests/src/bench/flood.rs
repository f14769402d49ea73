//! A flood of ARP requests: what answering costs the owner's machine, by the kernel's own stack, at TC and at native XDP.
//!
//! The owner's link is polled by a kernel thread of its own (`/sys/class/net/*/threaded`), in which everything happens that
//! an owner does for a request: taking it in, judging it, answering, and putting the answer on the wire. So its run time,
//! as the scheduler counts it, is the owner's cost without the sender's. The other end of the cable is polled by
//! another thread, or else the answers' way through the switch would be counted too. Requests come in bursts that fit the
//! link's ring, on the processor of that thread, which does not begin before the burst is there (`SCHED_BATCH`): how
//! well a thread is woken is not the question.

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::Duration;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use mantle::config::Mode;
use mantle::dataplane::{Counter, Dataplane, Entry, LinkMode, State};
use mantle::link::machine_links;
use mantle::protocol::Instant;
use mantle::wire::Mac;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::figures::{FLOOD_TC, FLOOD_XDP};
use super::series::Series;
use crate::host::{Host, RawSender};
use crate::lab::{Lab, PRIVATE_LINK as LINK};
use crate::poll::{Offload, poll_by_thread, set_offload};

/// Behind everything that the lab gives a host on that switch.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 250);

/// Less than a veth's ring holds.
const BURST: u32 = 200;
const BURSTS: u32 = 300;
/// Between bursts: the thread is through with one by then.
const PAUSE: Duration = Duration::from_millis(2);

/// The owner's cost for an answer as a share of what the kernel's own costs.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let lab = Lab::new("bench-flood");
    let (owner, asker) = (lab.host("owner"), lab.host("asker"));
    owner.port(LINK).carry_xdp();
    let before = pollers();
    owner.run(|| {
        set_offload(LINK, Offload::Gro, true);
        poll_by_thread(LINK);
    });
    let poller = *pollers().difference(&before).next().expect("the link has a thread of its own");
    owner.port(LINK).poll_by_thread();
    batch_here(poller);

    let IpAddr::V4(own) = owner.address(LINK) else { panic!("the hosts' first addresses are IPv4") };
    let flood = Flood { owner, asker, poller };
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
    asker: Host,
    /// The thread that polls the owner's link.
    poller: Pid,
}

impl Flood {
    /// What an answer for an address costs the owner, in nanoseconds.
    fn cost(&self, target: Ipv4Addr) -> f64 {
        let IpAddr::V4(asking) = self.asker.address(LINK) else {
            panic!("the hosts' first addresses are IPv4")
        };
        let (from, to) = (self.asker.port(LINK).mac(), self.owner.port(LINK).mac());
        let frame = request((from, asking), to, target);
        let poller = self.poller;
        self.asker.run(move || {
            here(Pid::from_raw(0));
            let sender = RawSender::open(LINK).expect("the link is there");
            let (answered, used) = (received(), run_time(poller));
            for _ in 0..BURSTS {
                for _ in 0..BURST {
                    sender.send(&frame).expect("a cable takes what is sent");
                }
                sleep(PAUSE);
            }
            sleep(Duration::from_millis(50));
            let (answered, used) = (received() - answered, run_time(poller) - used);
            assert!(answered > BURST * BURSTS / 2, "{answered} answers for {target}");
            used.as_secs_f64() * 1e9 / f64::from(answered)
        })
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
        let entry =
            Entry { link: link.index, mac, state: State::Owner, peer: None, router: false, session: 1 };
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

/// Has a thread run where the requests are sent, and wake up without haste.
fn batch_here(thread: Pid) {
    here(thread);
    // SAFETY: all zero is what such threads have.
    let parameters: libc::sched_param = unsafe { mem::zeroed() };
    // SAFETY: the kernel reads the parameters.
    let done = unsafe { libc::sched_setscheduler(thread.as_raw(), libc::SCHED_BATCH, &raw const parameters) };
    Errno::result(done).expect("root may say how a thread is scheduled");
}

/// Has a thread run on the first processor.
fn here(thread: Pid) {
    let mut first = CpuSet::new();
    first.set(0).expect("there is a first processor");
    sched_setaffinity(thread, &first).expect("root may say where a thread runs");
}

/// How long a thread has run.
fn run_time(thread: Pid) -> Duration {
    let path = format!("/proc/{thread}/schedstat");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_else(|| panic!("no run time in {path}")))
}

/// How many frames have come in on the link.
fn received() -> u32 {
    let path = format!("/sys/class/net/{LINK}/statistics/rx_packets");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    text.trim().parse().unwrap_or_else(|_| panic!("no number in {path}"))
}

fn request((mac, from): (Mac, Ipv4Addr), to: Mac, target: Ipv4Addr) -> Vec<u8> {
    let (hardware, operation) = (ArpHardwareId::ETHERNET, ArpOperation::REQUEST);
    let (from, target) = (from.octets(), target.octets());
    let arp = ArpPacket::new(hardware, EtherType::IPV4, operation, &mac.0, &from, &[0; 6], &target);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac.0, to.0)
        .arp(arp.expect("the lengths fit"))
        .write(&mut frame)
        .expect("a vector takes all that is written");
    frame
}
