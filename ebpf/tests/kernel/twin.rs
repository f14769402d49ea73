//! The programs' logic as the host's compiler builds it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use mantle_ebpf::layout::{Address, Counter, Counters, Event, Filter, Kind, Right, Vip};
use mantle_ebpf::verdict::{Flow, Frame, Host, Socket, Verdict, arriving, leaving};

use crate::lab::{Hook, LINK};

/// What the programs have in their maps, on the host.
pub(crate) struct Twin {
    vips: HashMap<Address, Vip>,
    filter: Filter,
    pub(crate) right: Right,
    counters: RefCell<HashMap<u32, Counters>>,
    events: RefCell<Vec<Event>>,
    /// The turns in which a successor announced a VIP.
    announced: RefCell<HashSet<u32>>,
    /// What there is of TCP connections; of others nothing.
    pub(crate) sockets: HashMap<Vec<u8>, Socket>,
}

impl Twin {
    pub(crate) fn new(vips: &[(Address, Vip)], right: Right) -> Self {
        Self {
            vips: vips.iter().copied().collect(),
            filter: vips.iter().map(|(address, _)| address).collect(),
            right,
            counters: RefCell::default(),
            events: RefCell::default(),
            announced: RefCell::default(),
            sockets: HashMap::new(),
        }
    }

    /// What the logic makes of a frame.
    pub(crate) fn run(&self, hook: Hook, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        self.run_on(hook, Buffer { bytes: bytes.to_vec(), link: LINK, is_tagged: false })
    }

    pub(crate) fn run_on(&self, hook: Hook, frame: Buffer) -> (Verdict, Vec<u8>) {
        if hook.relays() { self.judge::<true>(hook, frame) } else { self.judge::<false>(hook, frame) }
    }

    fn judge<const RELAYS: bool>(&self, hook: Hook, buffer: Buffer) -> (Verdict, Vec<u8>) {
        let mut frame = Seen::<RELAYS> { buffer, sockets: &self.sockets };
        let verdict = match hook {
            Hook::Ingress | Hook::Xdp | Hook::Generic => arriving(&mut frame, self),
            Hook::Egress => leaving(&mut frame, self),
        };
        (verdict, frame.buffer.bytes)
    }

    /// Forgets that successors announced themselves; says whether any had.
    pub(crate) fn forget_announced(&self) -> bool {
        !self.announced.take().is_empty()
    }

    pub(crate) fn counters(&self, slot: u32) -> Counters {
        self.counters.borrow().get(&slot).copied().unwrap_or_default()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.take()
    }
}

/// The time on the host, which stands still.
pub(crate) const NOW: u64 = 1_000_000_000;

impl Host for Twin {
    fn admits(&self, end: u16) -> bool {
        self.filter.admits(end)
    }

    fn vip(&self, address: &Address) -> Option<&Vip> {
        self.vips.get(address)
    }

    fn has_announced(&self, vip: &Vip) -> bool {
        self.announced.borrow().contains(&vip.turn)
    }

    fn note_announced(&self, _: &Address, turn: u32) {
        self.announced.borrow_mut().insert(turn);
    }

    fn right(&self) -> Right {
        self.right
    }

    fn now(&self) -> u64 {
        NOW
    }

    fn count(&self, slot: u32, counter: Counter) {
        self.counters.borrow_mut().entry(slot).or_default().0[counter as usize] += 1;
    }

    fn report(&self, _: u32, _: Kind, event: Event) {
        self.events.borrow_mut().push(event);
    }
}

/// A frame on the host.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) link: u32,
    pub(crate) is_tagged: bool,
}

/// A frame at a hook.
struct Seen<'a, const RELAYS: bool> {
    buffer: Buffer,
    sockets: &'a HashMap<Vec<u8>, Socket>,
}

impl<const RELAYS: bool> Frame for Seen<'_, RELAYS> {
    const RELAYS: bool = RELAYS;

    fn head<const N: usize>(&mut self) -> Option<&[u8; N]> {
        self.buffer.bytes.first_chunk()
    }

    fn copy<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool {
        let bytes = self.buffer.bytes.get(at.try_into().unwrap()..);
        bytes.and_then(|bytes| bytes.first_chunk()).is_some_and(|bytes| {
            *into = *bytes;
            true
        })
    }

    fn size(&self) -> u32 {
        self.buffer.bytes.len().try_into().unwrap()
    }

    fn link(&self) -> u32 {
        self.buffer.link
    }

    fn is_tagged(&self) -> bool {
        self.buffer.is_tagged
    }

    fn resize(&mut self, size: u32) -> bool {
        self.buffer.bytes.resize(size.try_into().unwrap(), 0);
        true
    }

    fn overwrite<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let Some(head) = self.buffer.bytes.first_chunk_mut() else {
            return false;
        };
        *head = *bytes;
        true
    }

    fn readdress<const N: usize>(&mut self, start: &[u8; N]) -> bool {
        self.overwrite(start)
    }

    fn socket<const N: usize>(&self, flow: &Flow<N>) -> Socket {
        self.sockets.get(flow.0.as_slice()).copied().unwrap_or(Socket::Unknown)
    }
}
