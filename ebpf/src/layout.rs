//! What the maps hold, as the kernel program and the agent both see it.
//!
//! All of it is `repr(C)` without padding the compiler could fill with anything: the kernel compares keys byte by byte.

#![expect(
    clippy::inline_always,
    reason = "between eBPF functions pass five registers and one back: no structs"
)]

use core::mem::offset_of;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::Mac;

/// The version of this layout: to be raised with any change to what a map holds or to what it means. Agents and
/// programs of different versions must not share pinned maps.
pub const VERSION: u32 = 2;

/// How many VIPs one node may have.
pub const MOST_VIPS: u32 = 4096;

/// How many bytes of events wait for the agent; what does not fit is dropped.
pub const EVENTS_BYTES: u32 = 256 * 1024;

/// At most one event of a kind per VIP in so many nanoseconds.
pub const EVENT_INTERVAL: u64 = 100_000_000;

/// An address, the key of `VIPS`: the bytes of an IPv6 address, an IPv4 one as `::ffff:a.b.c.d`.
///
/// In words, so that the program makes it from four stores; each word has the bytes in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Address([u32; 4]);

/// The third word of every IPv4 address.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

impl Address {
    /// The IPv4 address of these octets.
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self([0, 0, MAPPED, u32::from_ne_bytes(octets)])
    }

    /// The IPv6 address of these octets.
    #[inline(always)]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let (words, _) = octets.as_chunks();
        Self([
            u32::from_ne_bytes(words[0]),
            u32::from_ne_bytes(words[1]),
            u32::from_ne_bytes(words[2]),
            u32::from_ne_bytes(words[3]),
        ])
    }

    /// No address: `::`.
    pub const NONE: Self = Self([0; 4]);

    /// The octets of the IPv4 address, if it stands for one.
    #[inline(always)]
    pub const fn octets_v4(&self) -> Option<[u8; 4]> {
        let [.., low] = self.0;
        if self.is_v4() { Some(low.to_ne_bytes()) } else { None }
    }

    /// The words of an IPv6 address, each with its bytes in the order of the wire; none for `::`.
    #[inline(always)]
    pub const fn words_v6(&self) -> Option<[u32; 4]> {
        if self.is_v4() || matches!(self.0, [0, 0, 0, 0]) { None } else { Some(self.0) }
    }

    /// Whether it stands for an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        matches!(self.0, [0, 0, MAPPED, _])
    }

    /// The last two bytes: where its bit is in a [`Filter`].
    #[inline(always)]
    pub const fn end(&self) -> u16 {
        let [.., low] = self.0;
        (u32::from_be(low) & 0xffff) as u16
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        Self::v6(ip.octets())
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(Address(words): Address) -> Self {
        let octets: [[u8; 4]; 4] = words.map(u32::to_ne_bytes);
        let mut segments = [0; 8];
        for (segment, pair) in segments.iter_mut().zip(octets.as_flattened().as_chunks::<2>().0) {
            *segment = u16::from_be_bytes(*pair);
        }
        Self::V6(Ipv6Addr::from(segments)).to_canonical()
    }
}

/// How the node stands to a VIP: the rows of the data plane's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Wears it: answers with the node's own MAC.
    Owner = 1,
    /// About to wear it: silent, but takes what the present owner sends on.
    Prepared = 2,
    /// Handing it over: answers with the successor's MAC, and still serves.
    Yielding = 3,
    /// Has handed it over: silent, serves the connections it still has.
    Forwarding = 4,
}

impl State {
    /// The state that a map's byte names; none for a byte an agent of another version wrote.
    #[inline(always)]
    pub const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Owner),
            2 => Some(Self::Prepared),
            3 => Some(Self::Yielding),
            4 => Some(Self::Forwarding),
            _ => None,
        }
    }
}

/// What `VIPS` holds for an address.
///
/// An address that is not there is none of the program's business. When one is added its bit in `FILTER` is set
/// first; when one is removed the bit is cleared last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Vip {
    /// E of the session under which the entry was written; one with another mark than [`Right`]'s is dead.
    pub mark: u64,
    /// The index of the interface the VIP is worn on: it is answered there only.
    pub link: u32,
    /// Where its [`Counters`] and [`Limits`] are; no two VIPs share one.
    pub slot: u32,
    /// A [`State`] as a byte.
    pub state: u8,
    /// 1 if the node forwards IPv6: the R flag of its advertisements.
    pub router: u8,
    /// The link's own MAC.
    pub own: Mac,
    /// The other node's MAC in a handoff: the successor's where yielding or forwarding, the present owner's where
    /// prepared, that of the one before where owner while that one drains; zero otherwise.
    pub peer: Mac,
    /// Zero.
    pub reserved: [u8; 2],
    /// Which writing of an entry this is, of all that the agent ever wrote; never zero.
    pub turn: u32,
    /// Where yielding: the `turn` in which the program saw the successor announce the VIP, which makes it forwarding.
    ///
    /// The program's only store into an entry. It may come late, when the agent has written anew what is at that place in
    /// the map, even for another VIP: then it names a turn that is over, and means nothing.
    pub announced: u32,
    /// An address of the node's that is no VIP, of the VIP's family: in its name the node asks where its neighbours are
    /// while it may not do so in the VIP's. [`Address::NONE`] if it has no such address.
    pub asks_as: Address,
}

impl Vip {
    /// The state, also of an entry that became forwarding by itself.
    pub const fn state(&self) -> Option<State> {
        match State::of(self.state) {
            Some(State::Yielding) if self.announced == self.turn => Some(State::Forwarding),
            state => state,
        }
    }
}

/// The one slot of `RIGHT`: which session may act as owner, and until when.
///
/// The agent maps it and writes each word with one atomic store: a renewal moves `until` and nothing else, for all VIPs
/// of the node at once. When the session changes, three stores in this order: `until` 0, then `mark`, then `until`;
/// the program reads by [`Right::read`]. A map-update system call would copy the words in any order and in any pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Right {
    /// E of the node's session.
    pub mark: u64,
    /// When the right is over: nanoseconds of `CLOCK_BOOTTIME`, not included.
    pub until: u64,
}

impl Right {
    /// Reads the two words while another may be storing them: a right that is over if the session changed meanwhile.
    ///
    /// With `mark` read once, before `until`, a whole change of session between the two would pair the old mark with the
    /// new right, and what the old session left behind would act once more. (A processor that reorders loads could still
    /// do that, if the change took no longer than the loads; the agent's stores are a round trip to etcd apart.)
    #[inline(always)]
    pub fn read(mark: impl Fn() -> u64, until: impl Fn() -> u64) -> Self {
        let right = Self { mark: mark(), until: until() };
        if mark() == right.mark { right } else { Self::default() }
    }
}

/// The one slot of `FILTER`: a bit for each value the last two bytes of an address can have.
///
/// All traffic of the node passes this; most of it stops here instead of at the hash map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Filter(pub [u64; 1024]);

impl Filter {
    /// The filter that lets no address through.
    pub const EMPTY: Self = Self([0; 1024]);

    /// Lets all addresses through that end like this one.
    pub fn insert(&mut self, vip: &Address) {
        let end = vip.end();
        self.0[usize::from(end >> 6)] |= 1 << (end & 63);
    }

    /// Whether addresses that end so may be VIPs.
    #[inline(always)]
    pub const fn admits(&self, end: u16) -> bool {
        // Sixteen bits less six cannot pass the array's end, which both the compiler and the verifier see.
        self.0[(end >> 6) as usize] >> (end & 63) & 1 == 1
    }
}

impl<'a> FromIterator<&'a Address> for Filter {
    fn from_iter<T: IntoIterator<Item = &'a Address>>(vips: T) -> Self {
        let mut filter = Self::EMPTY;
        vips.into_iter().for_each(|vip| filter.insert(vip));
        filter
    }
}

/// What is counted per VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// ARP requests answered.
    AnsweredArp,
    /// Neighbour solicitations answered.
    AnsweredNs,
    /// Arriving ARP about the VIP, dropped.
    DroppedArp,
    /// Arriving solicitations and advertisements about the VIP, dropped.
    DroppedNs,
    /// Arriving IP for the VIP, dropped.
    DroppedIp,
    /// Leaving frames with the VIP as source or claiming it, dropped.
    DroppedOut,
    /// Claims of the VIP by another MAC while this node owned it.
    Conflicts,
    /// Arriving IP for the VIP sent on to the successor.
    Forwarded,
    /// Arriving TCP for the VIP sent back to the node that had it before.
    SentBack,
    /// What was to be sent on or back, dropped at the end of its time to live: what a loop ends in.
    Expired,
}

impl Counter {
    /// All of them, in the order of [`Counters`].
    pub const ALL: [Self; 10] = [
        Self::AnsweredArp,
        Self::AnsweredNs,
        Self::DroppedArp,
        Self::DroppedNs,
        Self::DroppedIp,
        Self::DroppedOut,
        Self::Conflicts,
        Self::Forwarded,
        Self::SentBack,
        Self::Expired,
    ];
}

/// A slot of `COUNTERS`, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters(pub [u64; Counter::ALL.len()]);

impl Counters {
    /// How often it happened.
    pub const fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}

/// What the program tells the agent about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    /// Another MAC claims a VIP this node owns.
    Conflict,
    /// Something asked for the VIP, or came for it, when the right was over.
    FenceIn,
    /// Something was to leave with the VIP as source when the right was over.
    FenceOut,
    /// The successor of a VIP that was yielding announced it: from then on it is forwarding.
    Announced,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 4;

    /// The kind that an event's word names; none for a word a program of another version wrote.
    pub const fn of(word: u32) -> Option<Self> {
        match word {
            0 => Some(Self::Conflict),
            1 => Some(Self::FenceIn),
            2 => Some(Self::FenceOut),
            3 => Some(Self::Announced),
            _ => None,
        }
    }
}

/// An entry of the ring buffer `EVENTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// When it happened: nanoseconds of `CLOCK_BOOTTIME`.
    pub at: u64,
    /// The VIP.
    pub vip: Address,
    /// A [`Kind`] as a word.
    pub kind: u32,
    /// The interface it was seen on.
    pub link: u32,
    /// Who claims or announces the VIP; or who sent the frame that was dropped.
    pub mac: Mac,
    /// Zero.
    pub reserved: [u8; 2],
}

impl Event {
    /// Reads an entry of the ring buffer; none if a program of another version wrote it.
    pub fn read(entry: &[u8]) -> Option<Self> {
        let entry: &[u8; size_of::<Self>()] = entry.try_into().ok()?;
        let word = |at| u32::from_ne_bytes(get_at(entry, at));
        Some(Self {
            at: u64::from_ne_bytes(get_at(entry, offset_of!(Self, at))),
            vip: Address::v6(get_at(entry, offset_of!(Self, vip))),
            kind: word(offset_of!(Self, kind)),
            link: word(offset_of!(Self, link)),
            mac: Mac(get_at(entry, offset_of!(Self, mac))),
            reserved: [0; 2],
        })
    }
}

/// The `N` bytes from `at` on.
fn get_at<const N: usize>(entry: &[u8], at: usize) -> [u8; N] {
    entry[at..].first_chunk().copied().unwrap_or([0; N])
}

/// A slot of `LIMITS`: when the last event of each [`Kind`] was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limits(pub [u64; Kind::COUNT]);

// No padding, and as long as the committed object says.
const _: () = {
    assert!(size_of::<Address>() == 16);
    assert!(size_of::<Vip>() == 56);
    assert!(size_of::<Right>() == 16);
    assert!(size_of::<Event>() == 40);
};

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    #[test]
    fn an_address_has_the_bytes_of_its_ipv6_form() {
        for text in ["192.168.0.15", "fd00::1:2:3", "::1", "255.255.255.255"] {
            let ip: IpAddr = text.parse().unwrap();
            let octets = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let address = Address::from(ip);
            assert_eq!(address.0.map(u32::to_ne_bytes).as_flattened(), octets);
            assert_eq!(IpAddr::from(address), ip);
            assert_eq!(address.is_v4(), ip.is_ipv4());
        }
    }

    #[test]
    fn a_right_read_while_the_session_changes_is_one_of_the_two_or_over() {
        let [old, new] = [(1, 100), (2, 200)].map(|(mark, until)| Right { mark, until });
        // What stands there, store by store.
        let steps = [old, Right { until: 0, ..old }, Right { until: 0, ..new }, new];
        // At which step each of the three loads comes.
        for first in 0..4 {
            for second in first..4 {
                for third in second..4 {
                    let marks = Cell::new([first, third]);
                    let mark = || {
                        let [now, later] = marks.get();
                        marks.set([later; 2]);
                        steps[now].mark
                    };
                    let right = Right::read(mark, || steps[second].until);
                    let is_of = |session: Right| right.mark == session.mark && right.until <= session.until;
                    assert!(
                        right == Right::default() || is_of(old) || is_of(new),
                        "{first} {second} {third}: {right:?}"
                    );
                    assert!(right.mark != old.mark || right.until != new.until);
                }
            }
        }
    }

    #[test]
    fn the_filter_admits_what_ends_like_a_vip_and_nothing_else() {
        let vip = Address::v4([192, 168, 2, 65]);
        let filter: Filter = [&vip].into_iter().collect();
        for end in 0..=u16::MAX {
            assert_eq!(filter.admits(end), end == 0x0241, "{end:#06x}");
        }
    }
}
