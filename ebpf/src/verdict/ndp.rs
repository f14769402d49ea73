//! Neighbour solicitations read, and answered, in words of eight bytes.
//!
//! [`wire`](crate::wire) says what these messages are; this says the same in the form the kernel's stack of 512 bytes
//! and the compiler between them allow. In bytes, which have no alignment, each would be loaded by itself and kept in
//! eight bytes of the stack. Two bytes off, which is how the kernel itself places frames, every field of these two
//! messages is whole words. The tests hold the two against each other.

use super::Frame;
use crate::layout::Vip;
use crate::wire::field::{get, put};
use crate::wire::{Advertisement, Mac, Solicitation};

/// The length of a solicitation with no option.
const BARE: usize = Solicitation::LEN;
/// The length of one with an option of eight bytes, which is all that Linux sends.
const ONE_OPTION: usize = BARE + 8;

/// A solicitation, and then the advertisement that answers it.
#[repr(C, align(8))]
pub(super) struct Desk {
    offset: [u8; 2],
    pub(super) frame: [u8; Advertisement::LEN],
}

/// What a valid solicitation says.
pub(super) struct Asked {
    /// The MAC to answer to: what the source link-layer option says, else the frame's source.
    asker_mac: Mac,
    asker: [u64; 2],
    target: [u64; 2],
}

impl Asked {
    /// Whether it asks if anybody has the target, before taking it (RFC 4862 §5.4).
    #[inline(always)]
    pub(super) fn is_probe(&self) -> bool {
        self.asker == [0, 0]
    }
}

impl Desk {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self { offset: [0; 2], frame: [0; Advertisement::LEN] }
    }

    /// Reads a solicitation by the list of RFC 4861 §7.1.1, if it has one of the two lengths that occur.
    #[inline(always)]
    pub(super) fn read(&mut self, frame: &impl Frame) -> Option<Asked> {
        let payload = match frame.size() as usize {
            BARE => frame.copy::<BARE>(0, self.frame.first_chunk_mut()?).then_some(24),
            ONE_OPTION => frame.copy::<ONE_OPTION>(0, self.frame.first_chunk_mut()?).then_some(32),
            _ => None,
        }?;
        let header = self.word::<14>();
        let asker = [self.word::<22>(), self.word::<30>()];
        let destination = [self.word::<38>(), self.word::<46>()];
        let message = self.word::<54>();
        let target = [self.word::<62>(), self.word::<70>()];
        let option = self.word::<78>();

        // The version; the payload, all of it and nothing behind; the hop limit no router leaves at 255.
        if header & bytes([0xf0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
            != bytes([0x60, 0, 0, 0, 0, payload, 58, 255])
        {
            return None;
        }
        // Type and code.
        if message & bytes([0xff, 0xff, 0, 0, 0, 0, 0, 0]) != bytes([135, 0, 0, 0, 0, 0, 0, 0]) {
            return None;
        }
        if is_multicast(asker) || is_multicast(target) {
            return None;
        }
        let [kind, length, mac @ ..] = option.to_ne_bytes();
        // It must be of one unit: none would be no option, more would end beyond the message.
        if payload == 32 && length != 1 {
            return None;
        }
        let source_link = payload == 32 && kind == 1;
        if asker == [0, 0] && (source_link || !is_solicited_node(destination)) {
            return None;
        }
        if checksum([asker, destination, [message, option], target], payload) != 0 {
            return None;
        }
        // A group address would make every answer a broadcast.
        let asker_mac = Mac(if source_link && mac[0] & 1 == 0 { mac } else { get::<6, 6, _>(&self.frame) });
        Some(Asked { asker_mac, asker, target })
    }

    /// Writes what answers it: the target is at `owner`. A probe is answered to all nodes and unsolicited, as its
    /// sender has no address yet (RFC 4861 §7.2.4).
    #[inline(always)]
    pub(super) fn write(&mut self, asked: &Asked, vip: &Vip, owner: Mac) {
        const OVERRIDE: u8 = 0x20;
        const SOLICITED: u8 = 0x40;
        const ROUTER: u8 = 0x80;
        let (destination_mac, destination, solicited) = if asked.is_probe() {
            (Mac([0x33, 0x33, 0, 0, 0, 1]), ALL_NODES, 0)
        } else {
            (asked.asker_mac, asked.asker, SOLICITED)
        };
        let flags = OVERRIDE | solicited | if vip.router == 0 { 0 } else { ROUTER };
        let mut option = [2, 1, 0, 0, 0, 0, 0, 0];
        put::<2, 6, _>(&mut option, owner.0);
        let option = bytes(option);
        let message = [136, 0, 0, 0, flags, 0, 0, 0];
        let sum = checksum([asked.target, destination, [bytes(message), option], asked.target], 32);
        let [high, low] = sum.to_ne_bytes();

        put::<0, 6, _>(&mut self.frame, destination_mac.0);
        put::<6, 6, _>(&mut self.frame, vip.own.0);
        put::<12, 2, _>(&mut self.frame, [0x86, 0xdd]);
        self.put::<14>(bytes([0x60, 0, 0, 0, 0, 32, 58, 255]));
        self.put::<22>(asked.target[0]);
        self.put::<30>(asked.target[1]);
        self.put::<38>(destination[0]);
        self.put::<46>(destination[1]);
        self.put::<54>(bytes([136, 0, high, low, flags, 0, 0, 0]));
        self.put::<62>(asked.target[0]);
        self.put::<70>(asked.target[1]);
        self.put::<78>(option);
    }

    #[inline(always)]
    fn word<const AT: usize>(&self) -> u64 {
        bytes(get::<AT, 8, _>(&self.frame))
    }

    #[inline(always)]
    fn put<const AT: usize>(&mut self, word: u64) {
        put::<AT, 8, _>(&mut self.frame, word.to_ne_bytes());
    }
}

/// All nodes of the link (RFC 4291 §2.7.1).
const ALL_NODES: [u64; 2] = [bytes([0xff, 2, 0, 0, 0, 0, 0, 0]), bytes([0, 0, 0, 0, 0, 0, 0, 1])];

/// A word that has its bytes in the order of the wire.
#[inline(always)]
const fn bytes(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes)
}

#[inline(always)]
const fn is_multicast([first, _]: [u64; 2]) -> bool {
    first.to_ne_bytes()[0] == 0xff
}

#[inline(always)]
const fn is_solicited_node([first, second]: [u64; 2]) -> bool {
    first == bytes([0xff, 2, 0, 0, 0, 0, 0, 0])
        && second & bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]) == bytes([0, 0, 0, 1, 0xff, 0, 0, 0])
}

/// The internet checksum (RFC 1071) over the message's words and the pseudo-header: what belongs in a checksum field
/// that is still zero; zero itself if the field is filled and right. In the order of the wire: the sum of ones'
/// complements does not care which way round words are (§2 (B)).
#[inline(always)]
fn checksum(words: [[u64; 2]; 4], payload: u8) -> u16 {
    let mut sum = bytes([0, 0, 0, payload, 0, 0, 0, 0]) + bytes([0, 0, 0, 58, 0, 0, 0, 0]);
    for word in words.as_flattened() {
        sum += (word & 0xffff_ffff) + (word >> 32);
    }
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    // Three times: 32 bits fold into 17, which fold into 16 and may still carry.
    sum = (sum & 0xffff) + (sum >> 16);
    let [.., high, low] = sum.to_be_bytes();
    !u16::from_be_bytes([high, low])
}
