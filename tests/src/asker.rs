//! A neighbour that never stops asking who has the VIPs, in every form that neighbours ask in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, PacketBuilder};
use mantle::wire::Mac;

use crate::clock::now;
use crate::host::{Host, RawSender};
use crate::netlink;
use crate::probe::{PORT, question};
use crate::tap::{Claim, FrameKind, PacketSocket, claims};

/// Asks for VIPs from a host of its own until it is dropped: by broadcast and multicast like a neighbour that knows nothing,
/// by unicast like one that checks what it knows, and with packets to the known MAC like one that is sure of it.
#[derive(Debug)]
pub struct Asker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Asked>>,
}

/// How often an [`Asker`] asked where a VIP is, and how often it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Questions of a form to which one answer is due.
    pub questions: u64,
    /// Answers.
    pub answers: u64,
}

/// Where nobody waits for the answers: the tap sees them.
const ASKING_PORT: u16 = 7778;

/// How long the last answer may take, on a busy machine.
const LAST_ANSWER: Duration = Duration::from_millis(500);

impl Asker {
    /// How often it asks, unless that matters.
    pub const INTERVAL: Duration = Duration::from_millis(2);

    /// Starts asking from `host`, with a pause after each round, which believes the VIPs to be at `mac` and never learns better.
    pub fn start(host: &Host, link: &str, vips: &[IpAddr], mac: Mac, pause: Duration) -> Self {
        let from = host.port(link).mac();
        let own = host.addresses(link).into_iter().map(|net| net.addr());
        let own: Vec<IpAddr> = own.filter(|ip| !is_link_local(*ip)).collect();
        // Nor does its kernel, which tells whoever answers a probe that nobody listens: it would ask by itself once in a while,
        // and be answered.
        let (vips_on_link, on_link) = (vips.to_vec(), link.to_owned());
        host.run(move || {
            for vip in vips_on_link {
                netlink::add_neighbour(&on_link, vip, mac.0);
            }
        });
        let frames = vips.iter().flat_map(|vip| match vip {
            IpAddr::V4(vip) => v4(*vip, first(&own, as_v4), from, mac),
            IpAddr::V6(vip) => v6(*vip, first(&own, as_v6), from, mac),
        });
        let frames: Vec<Form> = frames.collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, link) = (Arc::clone(&stop), link.to_owned());
        let thread = host.on_thread(move || ask(&stopped, &link, &frames, from, pause));
        Self { stop, thread: Some(thread) }
    }

    /// Stops asking; tells how it went once the last answer has had its time.
    ///
    /// # Panics
    /// If asking failed.
    pub fn end(mut self) -> Asked {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it ends but once");
        thread.join().expect("asking goes on until it is ended")
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; the answers that are missing tell the rest.
            let _ = thread.join();
        }
    }
}

/// A frame, and whether one answer to the asker's own MAC is due to it.
type Form = (Vec<u8>, bool);

fn ask(stop: &AtomicBool, link: &str, frames: &[Form], own: Mac, pause: Duration) -> Asked {
    let opened = RawSender::open(link).and_then(|sender| Ok((sender, PacketSocket::open()?)));
    let (sender, mut ear) = opened.unwrap_or_else(|errno| panic!("cannot ask on {link}: {errno}"));
    let round = || {
        // A full queue is no reason to stop asking, and no question.
        let sent = frames.iter().filter(|(frame, _)| sender.send(frame).is_ok());
        let questions = sent.filter(|(_, is_question)| *is_question).count();
        sleep(pause);
        questions as u64
    };
    // A cable that has just been put in may lose what comes first.
    while !stop.load(Ordering::Relaxed) && answers(&mut ear, own) == 0 {
        round();
    }
    // No late one is counted with those to what follows.
    loop {
        sleep(LAST_ANSWER);
        if answers(&mut ear, own) == 0 {
            break;
        }
    }
    let mut asked = Asked::default();
    while !stop.load(Ordering::Relaxed) {
        asked.questions += round();
        asked.answers += answers(&mut ear, own);
    }
    let end = now() + LAST_ANSWER;
    while asked.answers < asked.questions && now() < end {
        asked.answers += answers(&mut ear, own);
        sleep(pause);
    }
    asked
}

/// How many answers to the asker itself have come.
fn answers(ear: &mut PacketSocket, own: Mac) -> u64 {
    let mut buffer = [0; 256];
    let mut answers = 0;
    while let Ok(Some(received)) = ear.receive(&mut buffer) {
        let frame = &buffer[..received.length.min(buffer.len())];
        let is_answer =
            |claim: &Claim| matches!(claim.kind, FrameKind::ArpReply | FrameKind::NeighbourAdvert);
        answers += u64::from(frame.starts_with(&own.0) && claims(frame).iter().any(is_answer));
    }
    answers
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn as_v4(ip: &IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }
}

fn as_v6(ip: &IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }
}

fn first<T>(own: &[IpAddr], family: impl Fn(&IpAddr) -> Option<T>) -> T {
    own.iter().find_map(family).expect("a host of the lab has an address of each family")
}

fn v4(vip: Ipv4Addr, own: Ipv4Addr, from: Mac, mac: Mac) -> Vec<Form> {
    let ask = |destination: Mac| {
        let (hardware, operation) = (ArpHardwareId::ETHERNET, ArpOperation::REQUEST);
        let (sender, target) = (own.octets(), vip.octets());
        let arp = ArpPacket::new(hardware, EtherType::IPV4, operation, &from.0, &sender, &[0; 6], &target);
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(from.0, destination.0)
            .arp(arp.expect("the lengths fit"))
            .write(&mut frame)
            .expect("a vector takes all that is written");
        frame
    };
    vec![(ask(Mac([0xff; 6])), true), (ask(mac), true), (probe(vip.into(), own.into(), from, mac), false)]
}

fn v6(vip: Ipv6Addr, own: Ipv6Addr, from: Mac, mac: Mac) -> Vec<Form> {
    let octets = vip.octets();
    let [.., x, y, z] = octets;
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(x), u16::from_be_bytes([y, z]));
    let group_mac = Mac([0x33, 0x33, 0xff, x, y, z]);
    let ask = |source: Ipv6Addr, destination: Ipv6Addr, to: Mac| {
        // A solicitation: its target, and where the answer is to go unless nobody asks (RFC 4862 §5.4.2).
        let option = [&[1, 1][..], &from.0].concat();
        let option = if source.is_unspecified() { Vec::new() } else { option };
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(from.0, to.0)
            .ipv6(source.octets(), destination.octets(), 255)
            .icmpv6(Icmpv6Type::NeighborSolicitation)
            .write(&mut frame, &[&octets[..], &option].concat())
            .expect("a vector takes all that is written");
        frame
    };
    vec![
        (ask(own, group, group_mac), true),
        (ask(own, vip, mac), true),
        // Answered to all nodes (RFC 4862 §5.4.3).
        (ask(Ipv6Addr::UNSPECIFIED, group, group_mac), false),
        (probe(vip.into(), own.into(), from, mac), false),
    ]
}

/// A packet that every host of the lab answers if it is its own.
fn probe(vip: IpAddr, own: IpAddr, from: Mac, mac: Mac) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(from.0, mac.0);
    let ip = match (own, vip) {
        (IpAddr::V4(own), IpAddr::V4(vip)) => ethernet.ipv4(own.octets(), vip.octets(), 64),
        (IpAddr::V6(own), IpAddr::V6(vip)) => ethernet.ipv6(own.octets(), vip.octets(), 64),
        _ => unreachable!("own is of the VIP's family"),
    };
    let mut frame = Vec::new();
    ip.udp(ASKING_PORT, PORT).write(&mut frame, &question()).expect("a vector takes all that is written");
    frame
}
