//! Frames from the link: the wire formats' readers, and the verdict that kernel program and raw mode share.
//!
//! The first byte of an input is the VIPs' state, the second the way and the right, the third what the link says of the frame; the
//! rest is the frame.

use std::cell::Cell;
use std::net::Ipv6Addr;

use mantle_ebpf::layout::{Address, Counter, Event, Filter, Kind, Right, Vip};
use mantle_ebpf::verdict::{Flow, Frame, Host, Socket, Verdict, arriving, leaving};
use mantle_ebpf::wire::{Arp, Mac, Operation, Solicitation};

pub(super) const WORDS: &[&[u8]] = &[
    &OWN.0,
    &PEER.0,
    &[0xff; 6],
    &[10, 0, 0, 1],
    &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    &[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1],
    &[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1],
    &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255],
    &[0x08, 0x00, 0x45],
    &[135, 0],
    &[136, 0],
    &[1, 1],
    &[2, 1],
];

const OWN: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const PEER: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
const LINK: u32 = 7;
const MARK: u64 = 4711;
const NOW: u64 = 1_000_000;

pub(super) fn run(input: &[u8]) {
    let [state, way, beside, frame @ ..] = input else { return };
    // The formats read what they read without the verdict too, at every length there is.
    if let Some(head) = frame.first_chunk()
        && let Ok(arp) = Arp::parse(head)
    {
        let again = Arp::parse(&arp.frame());
        assert_eq!(again, Ok(arp), "{frame:x?}");
    }
    let asked = solicitation(frame);

    let host = Machine::new(*state, *way);
    let mut buffer = Buffer { bytes: frame.to_vec(), beside: *beside, socket: host.socket };
    let is_leaving = way & 1 == 1;
    let verdict = if is_leaving { leaving(&mut buffer, &host) } else { arriving(&mut buffer, &host) };
    match verdict {
        // A node that has handed the VIP over asks in another name.
        Verdict::Pass if is_leaving && buffer.bytes != frame => {
            assert!(
                matches!(state & 7, 3 | 4) && state & 32 != 0,
                "asked in another name as no one: {frame:x?}"
            );
            assert_eq!(buffer.bytes.len(), frame.len(), "another question: {frame:x?}");
        }
        Verdict::Pass | Verdict::Drop => assert_eq!(buffer.bytes, frame, "{verdict:?} changes nothing"),
        Verdict::Relay => {
            assert!(!is_leaving && matches!(state & 7, 1..=4), "another's: {frame:x?}");
            assert!(host.right().until > NOW && host.right().mark == MARK, "I2: {frame:x?}");
            assert_eq!(
                buffer.bytes.get(..12),
                Some([PEER.0, OWN.0].as_flattened()),
                "to the peer, as oneself"
            );
            assert_ne!(frame.get(6..12), Some(PEER.0.as_slice()), "a loop");
            assert!(frame[0] & 1 == 0, "what is for many is sent on");
        }
        Verdict::Reply => {
            assert!(!is_leaving, "what leaves is never answered: {frame:x?}");
            let is_asked = asked.is_some()
                || frame.first_chunk().is_some_and(|head| {
                    Arp::parse(head).is_ok_and(|arp| arp.operation == Operation::Request)
                });
            assert!(is_asked, "answered what asks nothing: {frame:x?}");
            assert!(host.right().until > NOW && host.right().mark == MARK, "I2: {frame:x?}");
            assert_eq!(buffer.bytes.get(6..12), Some(OWN.0.as_slice()), "sent in another's name");
        }
    }
}

fn solicitation(frame: &[u8]) -> Option<Solicitation> {
    match frame.len() {
        78 => Solicitation::parse::<78>(frame.try_into().ok()?).ok(),
        86 => Solicitation::parse::<86>(frame.try_into().ok()?).ok(),
        _ => None,
    }
}

/// What the programs have in their maps.
struct Machine {
    vips: [(Address, Vip); 2],
    filter: Filter,
    right: Right,
    announced: Cell<bool>,
    socket: Socket,
}

impl Machine {
    fn new(state: u8, way: u8) -> Self {
        let vip = Vip {
            mark: MARK,
            link: LINK,
            slot: 0,
            state: state & 7,
            router: state >> 3 & 1,
            own: OWN,
            peer: if state & 16 == 0 { PEER } else { Mac::ZERO },
            reserved: [0; 2],
            turn: 1,
            announced: 0,
            asks_as: Address::NONE,
        };
        let asks_as = |address| if state & 32 == 0 { Address::NONE } else { address };
        let v4 = Vip { asks_as: asks_as(Address::v4([10, 0, 0, 9])), ..vip };
        let v6 = Vip { slot: 1, asks_as: asks_as(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9).into()), ..vip };
        let vips =
            [(Address::v4([10, 0, 0, 1]), v4), (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(), v6)];
        let until = if way & 2 == 0 { NOW + 1 } else { NOW };
        let mark = if way & 4 == 0 { MARK } else { MARK - 1 };
        let socket =
            [Socket::Unknown, Socket::Open, Socket::Over, Socket::Unknown][usize::from(way >> 3 & 3)];
        let filter = vips.iter().map(|(address, _)| address).collect();
        Self { vips, filter, right: Right { mark, until }, announced: Cell::new(false), socket }
    }
}

impl Host for Machine {
    fn admits(&self, end: u16) -> bool {
        self.filter.admits(end)
    }

    fn vip(&self, address: &Address) -> Option<&Vip> {
        self.vips.iter().find(|(known, _)| known == address).map(|(_, vip)| vip)
    }

    fn has_announced(&self, _: &Vip) -> bool {
        self.announced.get()
    }

    fn note_announced(&self, _: &Address, _: u32) {
        assert!(!self.announced.replace(true), "once");
    }

    fn right(&self) -> Right {
        self.right
    }

    fn now(&self) -> u64 {
        NOW
    }

    fn count(&self, slot: u32, _: Counter) {
        assert!(slot < 2, "a slot that no VIP has");
    }

    fn report(&self, slot: u32, _: Kind, _: Event) {
        assert!(slot < 2, "a slot that no VIP has");
    }
}

/// A frame in memory.
struct Buffer {
    bytes: Vec<u8>,
    beside: u8,
    socket: Socket,
}

impl Frame for Buffer {
    const RELAYS: bool = true;

    fn head<const N: usize>(&mut self) -> Option<&[u8; N]> {
        self.bytes.first_chunk()
    }

    fn copy<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool {
        let from = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..));
        let head = from.and_then(<[u8]>::first_chunk);
        if let Some(head) = head {
            *into = *head;
        }
        head.is_some()
    }

    fn size(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("no fuzzer makes 4 GiB")
    }

    fn link(&self) -> u32 {
        if self.beside & 1 == 0 { LINK } else { LINK + 1 }
    }

    fn is_tagged(&self) -> bool {
        self.beside & 2 == 2
    }

    fn resize(&mut self, size: u32) -> bool {
        self.bytes.resize(usize::try_from(size).expect("a size fits"), 0);
        true
    }

    fn readdress<const N: usize>(&mut self, start: &[u8; N]) -> bool {
        self.overwrite(start)
    }

    fn socket<const N: usize>(&self, _: &Flow<N>) -> Socket {
        self.socket
    }

    fn overwrite<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let head = self.bytes.first_chunk_mut();
        let fits = head.is_some();
        if let Some(head) = head {
            *head = *bytes;
        }
        fits
    }
}
