//! A pair of links in namespaces of the test's own: the programs on one of them, who asks at the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType};
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Slice, Icmpv6Type, LinkSlice, NetSlice,
    PacketBuilder, SlicedPacket,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use pnet::datalink::{self, Channel, DataLinkReceiver, DataLinkSender, NetworkInterface};
use tokio::time::sleep;

use super::super::{Attached, Dataplane, Entry, State, bpffs};
use super::tap;
use crate::clock;
use crate::config::Mode;
use crate::link::namespace::{Ground, in_namespace};
use crate::link::{Link, machine_links};
use crate::wire::{Mac, solicited_node};

pub(super) const VIP4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 15));
pub(super) const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15));
pub(super) const SESSION: i64 = 4711;
pub(super) const NAME: &str = "mantle";

/// How long an answer that is to come may take: long, for a machine that is busy with other tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing has to come.
pub(super) const SILENCE: Duration = Duration::from_millis(100);

/// The links, and where what is pinned goes: all of it ends with the test.
pub(super) struct Lab {
    pub(super) ground: Ground,
    pub(super) link: Link,
    pub(super) port: Port,
}

/// Runs a test in a lab of its own.
pub(super) fn in_lab(test: impl AsyncFnOnce(Lab) + Send + 'static) {
    in_namespace(async |ground| {
        hide_bpffs();
        let index = ground.pair("one", "other").await;
        let lab = Lab { ground, link: link(index), port: Port::open("other") };
        test(lab).await;
    });
}

/// Takes the BPF file system away from this thread: the data plane has to mount one, which nobody else sees.
fn hide_bpffs() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    while umount2(bpffs::ROOT, MntFlags::MNT_DETACH).is_ok() {}
}

/// A link of this namespace.
pub(super) fn link(index: u32) -> Link {
    machine_links().unwrap().link(index).unwrap().clone()
}

/// An entry for that link.
pub(super) fn entry(link: &Link, state: State) -> Entry {
    Entry {
        link: link.index,
        mac: link.mac.unwrap(),
        state,
        peer: None,
        router: false,
        session: SESSION,
        asks_as: None,
    }
}

/// Everything pinned, as paths below the BPF file system; but not what the kernel puts there itself.
pub(super) fn pinned() -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![Path::new(bpffs::ROOT).to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "debug") {
                continue;
            }
            found.push(path.strip_prefix(bpffs::ROOT).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Waits until the link has so many programs at TC, ingress and egress: what is unpinned goes a moment later.
pub(super) async fn await_attached(link: &str, expected: [usize; 2]) {
    let attached = || {
        [TcAttachType::Ingress, TcAttachType::Egress]
            .map(|hook| SchedClassifier::query_tcx(link, hook).unwrap().1.len())
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while attached() != expected {
        assert!(Instant::now() < deadline, "{:?} programs at TC", attached());
        sleep(Duration::from_millis(5)).await;
    }
}

/// An instant so much later.
pub(super) fn after(milliseconds: u64) -> mantle_protocol::Instant {
    clock::now() + Duration::from_millis(milliseconds)
}

impl Lab {
    /// Opens the data plane, attaches it and removes the rest, as an agent does at its start.
    pub(super) fn start(&self, mode: Mode) -> (Dataplane, Attached) {
        let mut dataplane = Dataplane::open(NAME, mode).unwrap();
        let attached = dataplane.attach(&self.link).unwrap();
        dataplane.retain_links(&[self.link.index]).unwrap();
        (dataplane, attached)
    }

    /// The same at TC, with an entry for both VIPs and a right that outlasts the test.
    pub(super) fn start_owning(&self) -> Dataplane {
        let (mut dataplane, _) = self.start(Mode::Tc);
        self.own(&mut dataplane);
        dataplane
    }

    pub(super) fn own(&self, dataplane: &mut Dataplane) {
        for vip in [VIP4, VIP6] {
            dataplane.set(vip, &self.entry(State::Owner)).unwrap();
        }
        dataplane.right().grant(SESSION, after(3_600_000));
    }

    pub(super) fn entry(&self, state: State) -> Entry {
        entry(&self.link, state)
    }

    /// Waits until the cable carries: after a change to a link the kernel lets frames through a little later.
    pub(super) fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.port.ask(VIP4, SILENCE).is_none() && Instant::now() < deadline {}
    }

    /// Asks for both VIPs; they must be answered by this node.
    pub(super) fn assert_answered(&mut self) {
        for vip in [VIP4, VIP6] {
            assert_eq!(self.port.ask(vip, PATIENCE), self.link.mac, "{vip}");
        }
    }

    /// Asks for both VIPs until nobody answers: what is unpinned goes a moment later.
    pub(super) async fn await_silent(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while [VIP4, VIP6].iter().any(|vip| self.port.ask(*vip, SILENCE).is_some()) {
            assert!(Instant::now() < deadline, "still answered");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks for both VIPs; they must not be answered.
    pub(super) fn assert_silent(&mut self) {
        for vip in [VIP4, VIP6] {
            assert_eq!(self.port.ask(vip, SILENCE), None, "{vip}");
        }
    }
}

/// Somebody at the other end of the cable.
pub(super) struct Port {
    pub(super) mac: Mac,
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
}

impl Port {
    /// At the other end of a tap that this makes.
    pub(super) fn of_tap(name: &str) -> Self {
        let (sender, receiver) = tap::make(name);
        Self { mac: Mac([2, 0, 0, 0, 0, 9]), sender: Box::new(sender), receiver: Box::new(receiver) }
    }

    pub(super) fn open(name: &str) -> Self {
        let found = machine_links().unwrap().find(name).unwrap().clone();
        let interface = NetworkInterface {
            name: name.to_owned(),
            description: String::new(),
            index: found.index,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        let config = datalink::Config {
            promiscuous: false,
            read_timeout: Some(Duration::from_millis(10)),
            ..datalink::Config::default()
        };
        let Ok(Channel::Ethernet(sender, receiver)) = datalink::channel(&interface, config) else {
            panic!("no packet socket on {name}");
        };
        Self { mac: found.mac.unwrap(), sender, receiver }
    }

    /// Asks where a VIP is; gives what is answered first.
    pub(super) fn ask(&mut self, vip: IpAddr, patience: Duration) -> Option<Mac> {
        let question = match vip {
            IpAddr::V4(vip) => self.request(vip),
            IpAddr::V6(vip) => self.solicitation(vip),
        };
        self.send(&question);
        self.hear(patience, |frame| answer(frame, vip))
    }

    /// Sends a frame as it stands.
    pub(super) fn send(&mut self, frame: &[u8]) {
        self.sender.send_to(frame, None).unwrap().unwrap();
    }

    /// Waits for a frame that tells something.
    pub(super) fn hear<T>(&mut self, patience: Duration, tells: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        loop {
            match self.receiver.next() {
                Ok(frame) => {
                    if let Some(told) = tells(frame) {
                        return Some(told);
                    }
                }
                // Not before all is read that came while this thread had to wait for a processor.
                Err(_) if Instant::now() >= deadline => return None,
                Err(_) => {}
            }
        }
    }

    /// Asks for both VIPs in turn until told to stop; gives how often, and how often nobody answered.
    pub(super) fn flood(&mut self, go_on: impl Fn() -> bool) -> (u64, u64) {
        let (mut asked, mut unanswered) = (0, 0);
        for vip in [VIP4, VIP6].into_iter().cycle() {
            if !go_on() {
                break;
            }
            asked += 1;
            unanswered += u64::from(self.ask(vip, PATIENCE).is_none());
        }
        (asked, unanswered)
    }

    fn request(&self, vip: Ipv4Addr) -> Vec<u8> {
        let asker = Ipv4Addr::new(192, 168, 0, 9);
        let arp = ArpPacket::new(
            ArpHardwareId::ETHERNET,
            EtherType::IPV4,
            ArpOperation::REQUEST,
            &self.mac.0,
            &asker.octets(),
            &[0; 6],
            &vip.octets(),
        );
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.mac.0, [0xff; 6]).arp(arp.unwrap()).write(&mut frame).unwrap();
        frame
    }

    fn solicitation(&self, vip: Ipv6Addr) -> Vec<u8> {
        let asker = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
        let group = solicited_node(vip);
        let message = [vip.octets().as_slice(), &[1, 1], &self.mac.0].concat();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.mac.0, Mac::of_group(group).0)
            .ipv6(asker.octets(), group.octets(), 255)
            .icmpv6(Icmpv6Type::NeighborSolicitation)
            .write(&mut frame, &message)
            .unwrap();
        frame
    }
}

/// Where a frame says the VIP is, if it is an answer and comes from there.
fn answer(frame: &[u8], vip: IpAddr) -> Option<Mac> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { return None };
    let (from, at) = (
        Mac(ethernet.source()),
        match (packet.net?, vip) {
            (NetSlice::Arp(arp), IpAddr::V4(vip)) => {
                let is_answer =
                    arp.operation() == ArpOperation::REPLY && arp.sender_protocol_addr() == vip.octets();
                is_answer.then(|| arp.sender_hw_addr().try_into().map(Mac))?.ok()?
            }
            (NetSlice::Ipv6(ip), IpAddr::V6(vip)) => {
                let message = Icmpv6Slice::from_slice(ip.payload().payload).ok()?;
                let Icmpv6Type::NeighborAdvertisement(_) = message.icmp_type() else { return None };
                let (target, option) = message.payload().split_first_chunk::<16>()?;
                let is_answer = *target == vip.octets() && option.starts_with(&[2, 1]);
                is_answer.then(|| option.get(2..8)?.try_into().ok().map(Mac))??
            }
            _ => return None,
        },
    );
    assert_eq!(from, at, "an answer about another station");
    Some(at)
}
