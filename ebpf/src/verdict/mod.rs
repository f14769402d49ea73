//! What is done with a frame: the data plane's table, as a function.
//!
//! | state | ARP/NS for the VIP | IP to the VIP | leaving with the VIP as source |
//! |---|---|---|---|
//! | owner, right valid | answered with the own MAC | passed; with a peer, TCP of no connection here is sent back to it | passed |
//! | right over, or entry of another session | dropped | dropped | dropped |
//! | prepared | dropped | sent on to the peer; without one dropped, and from it passed | dropped |
//! | yielding | answered with the peer's MAC | passed, but TCP of no connection here is sent on to the peer | IP passed, claims dropped |
//! | forwarding | dropped | TCP of connections here passed, the rest sent on to the peer | IP passed, claims dropped |
//!
//! A *claim* says at which MAC the VIP is: ARP with the VIP as sender, an advertisement of it, a solicitation from it.
//! What is yielding becomes forwarding by itself, when the peer is seen to claim the VIP on its link. A yielding or
//! forwarding node's claims that are questions go out in the name of another address of the node ([`leaving`]); those that
//! say the VIP is at the peer are the program's own answers, and until that wears it, it is prepared and sends on what comes
//! of them. What is sent on or back, and what never is, [`relay`] says.
//!
//! Four rules for what the table leaves open:
//! - What is not surely ours is passed on untouched: a frame with a VLAN tag (the VIP is on another link there), one for
//!   another station's MAC, one that asks in a form we do not answer. The kernel's own stack judges it, and what that
//!   answers meets the egress program.
//! - When nothing may be answered, a doubtful form does not help the frame: what asks for the VIP where the address
//!   stands in a good one is dropped.
//! - Telling is not asking. An ARP reply or an advertisement about the VIP is dropped only where the node can learn nothing
//!   from it: a node whose right is over may want to reach the VIP at its successor, when its own address is off.
//! - A VIP is answered on its own link only. On other links, asking is passed on, since the link may be one that carries
//!   the VIP's (a bridge's port, the device below a macvlan); the egress program there lets only claims of the
//!   VIP's own MAC out, so that a second interface in the same network never answers (ARP flux).
//!
//! The ethertype is tested first, the filter next, then the map, the clock last: each costs more than the one before.

#![expect(
    clippy::inline_always,
    reason = "between eBPF functions pass five registers and one back: no structs"
)]

use crate::layout::{Address, Counter, Event, Kind, Right, State, Vip};
use crate::wire::Mac;

mod arriving;
mod leaving;
mod ndp;
mod relay;
mod sight;

pub use arriving::arriving;
pub use leaving::leaving;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on, untouched.
    Pass,
    /// Goes no further.
    Drop,
    /// Has become an answer: out by the link it came from.
    Reply,
    /// Is addressed to the other node of a handoff now: out by the link it came from.
    Relay,
}

/// A frame, as a program may touch it.
pub trait Frame {
    /// Whether it can be relayed from here. If not, it is passed on undecided to a hook where it can be.
    const RELAYS: bool;

    /// Its first `N` bytes where they are, if it has as many.
    fn head<const N: usize>(&mut self) -> Option<&[u8; N]>;

    /// Copies its `N` bytes from `at` on; says whether it has as many.
    fn copy<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool;

    /// How long it is.
    fn size(&self) -> u32;

    /// The interface it arrived on or leaves by.
    fn link(&self) -> u32;

    /// Whether it has a VLAN tag that is kept beside it.
    fn is_tagged(&self) -> bool;

    /// Makes it `size` bytes long if it is not; says whether that could be done.
    fn resize(&mut self, size: u32) -> bool;

    /// Writes over its first `N` bytes; says whether that could be done.
    fn overwrite<const N: usize>(&mut self, bytes: &[u8; N]) -> bool;

    /// Writes over its first `N` bytes another Ethernet header, and the start of its packet a hop later; says whether that
    /// could be done.
    fn readdress<const N: usize>(&mut self, start: &[u8; N]) -> bool;

    /// What the kernel has of the TCP connection that it belongs to, in the network namespace it arrived in.
    fn socket<const N: usize>(&self, flow: &Flow<N>) -> Socket;
}

/// A TCP connection, as the kernel is asked for it (`struct bpf_sock_tuple`): both addresses, both ports, those of the far
/// end first; 12 bytes or 36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Flow<const N: usize>(pub [u8; N]);

/// What there is of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Nothing, or only somebody who waits for connections.
    Unknown,
    /// One that is opening, open or closing.
    Open,
    /// One that is over, remembered for a while (`TIME_WAIT`).
    Over,
}

/// What the programs know and tell, beside the frame: the maps and the clock.
pub trait Host {
    /// Whether addresses that end so may be VIPs.
    fn admits(&self, end: u16) -> bool;

    /// The VIP of that address.
    fn vip(&self, address: &Address) -> Option<&Vip>;

    /// Whether the successor was seen to announce the VIP in the entry's turn ([`Vip::announced`]).
    fn has_announced(&self, vip: &Vip) -> bool;

    /// Notes that it was.
    fn note_announced(&self, address: &Address, turn: u32);

    /// The right of the node's session.
    fn right(&self) -> Right;

    /// `CLOCK_BOOTTIME`, in nanoseconds.
    fn now(&self) -> u64;

    /// Counts something for the VIP of that slot.
    fn count(&self, slot: u32, counter: Counter);

    /// Tells the agent, unless it was told the same of that slot's VIP a moment ago.
    fn report(&self, slot: u32, kind: Kind, event: Event);
}

/// How the node stands to a VIP right now: a row of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Owner,
    Fenced,
    Prepared,
    Yielding,
    Forwarding,
}

/// Reads the row of the table. Every state needs the session's right: so what a dead agent left behind ends with it,
/// a drain too.
#[inline(always)]
fn standing(host: &impl Host, vip: &Vip) -> Standing {
    let right = host.right();
    if vip.mark != right.mark || host.now() >= right.until {
        return Standing::Fenced;
    }
    match State::of(vip.state) {
        Some(State::Owner) => Standing::Owner,
        Some(State::Prepared) => Standing::Prepared,
        Some(State::Yielding) if host.has_announced(vip) => Standing::Forwarding,
        Some(State::Yielding) => Standing::Yielding,
        Some(State::Forwarding) => Standing::Forwarding,
        None => Standing::Fenced,
    }
}

/// A VIP, and the address it was found by.
struct Found<'a> {
    address: Address,
    vip: &'a Vip,
}

impl Found<'_> {
    /// Whether a frame may be meant for this node on the VIP's link.
    #[inline(always)]
    fn is_reached_by<const N: usize>(&self, head: &[u8; N]) -> bool {
        let destination = sight::destination(head);
        destination == self.vip.own || destination.is_group()
    }

    /// The other node's MAC, if there is another node in this.
    #[inline(always)]
    fn peer(&self) -> Option<Mac> {
        Some(self.vip.peer).filter(|peer| *peer != Mac::ZERO)
    }

    #[inline(always)]
    fn count(&self, host: &impl Host, counter: Counter) {
        host.count(self.vip.slot, counter);
    }

    #[inline(always)]
    fn report(&self, host: &impl Host, kind: Kind, link: u32, mac: Mac) {
        let event =
            Event { at: host.now(), vip: self.address, kind: kind as u32, link, mac, reserved: [0; 2] };
        host.report(self.vip.slot, kind, event);
    }

    /// Drops a frame about the VIP; the agent hears of it if it is the fence that drops.
    #[inline(always)]
    fn drop(
        &self,
        frame: &mut impl Frame,
        host: &impl Host,
        counter: Counter,
        fence: Option<Kind>,
    ) -> Verdict {
        self.count(host, counter);
        if let Some(kind) = fence {
            self.report(host, kind, frame.link(), sender(frame));
        }
        Verdict::Drop
    }
}

/// What is in the frame; what is too short for a header has nothing for us.
#[inline(always)]
fn payload(frame: &mut impl Frame) -> sight::Payload {
    frame.head().map_or(sight::Payload::Other, sight::payload)
}

/// Who sent the frame. Read again where it is needed: kept, a MAC is six registers.
#[inline(always)]
fn sender(frame: &mut impl Frame) -> Mac {
    frame.head::<{ sight::ETHER }>().map_or(Mac::ZERO, sight::source)
}

/// The MAC that a message of neighbour discovery is about: what its first option says, else the frame's source.
#[inline(always)]
fn ndp_mac(frame: &mut impl Frame) -> Mac {
    match frame.head::<{ sight::NDP_OPTION }>().and_then(sight::ndp_mac) {
        Some(mac) => mac,
        None => sender(frame),
    }
}

/// The VIP of that address.
#[inline(always)]
fn find(host: &impl Host, address: Address) -> Option<Found<'_>> {
    if !host.admits(address.end()) {
        return None;
    }
    Some(Found { address, vip: host.vip(&address)? })
}

/// The VIP of that address, which an IPv6 packet names.
#[inline(always)]
fn find_v6(host: &impl Host, address: Address) -> Option<Found<'_>> {
    // `::ffff:a.b.c.d` in an IPv6 packet is nobody's address (RFC 4291 §2.5.5.2), least of all the IPv4 VIP's.
    find(host, address).filter(|found| !found.address.is_v4())
}
