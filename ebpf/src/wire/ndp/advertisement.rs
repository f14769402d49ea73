//! Neighbour advertisements: this address is here.

use core::net::Ipv6Addr;

use super::{ip6, message};
use crate::wire::ether::{self, Ether};
use crate::wire::{Mac, checksum, field};

const OPTION: usize = message::OPTIONS;
const OPTION_MAC: usize = OPTION + 2;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// All nodes of the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A neighbour advertisement in its frame, with the target link-layer option and O set: it is to override what a
/// neighbour has cached, which is the point of every one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Where the frame goes.
    pub destination: Mac,
    /// Who sends the frame.
    pub source: Mac,
    /// Whom the advertisement is for.
    pub destination_ip: Ipv6Addr,
    /// The address advertised; also the packet's source, as it is in Linux's own.
    pub target: Ipv6Addr,
    /// The MAC that has the target.
    pub target_mac: Mac,
    /// R: the target is a router. A neighbour that reads otherwise of its default router drops it (RFC 4861 §7.2.5).
    pub router: bool,
    /// S: it answers a solicitation, and so proves that the target can be reached both ways.
    pub solicited: bool,
}

impl Advertisement {
    /// How long the frame is.
    pub const LEN: usize = OPTION + 8;

    /// What tells all nodes that `target` is at `mac` now (RFC 4861 §7.2.6).
    #[inline(always)]
    pub const fn unsolicited(target: Ipv6Addr, mac: Mac, router: bool) -> Self {
        Self {
            destination: Mac::of_group(ALL_NODES),
            source: mac,
            destination_ip: ALL_NODES,
            target,
            target_mac: mac,
            router,
            solicited: false,
        }
    }

    /// The bytes of the frame.
    #[inline(always)]
    pub fn frame(&self) -> [u8; Self::LEN] {
        field::written(|frame| self.write(frame))
    }

    /// Writes the bytes of the frame over all of `frame`: in place of a solicitation, in the kernel program.
    #[inline(always)]
    pub fn write(&self, frame: &mut [u8; Self::LEN]) {
        let [.., payload_high, payload_low] = (Self::LEN - ip6::END).to_be_bytes();
        Ether { destination: self.destination, source: self.source, ethertype: ether::IPV6 }.write(frame);
        field::put::<{ ip6::VERSION }, 4, _>(frame, [0x60, 0, 0, 0]);
        field::put::<{ ip6::PAYLOAD_LENGTH }, 2, _>(frame, [payload_high, payload_low]);
        field::put::<{ ip6::NEXT_HEADER }, 1, _>(frame, [ip6::ICMPV6]);
        field::put::<{ ip6::HOP_LIMIT }, 1, _>(frame, [ip6::FROM_THE_LINK]);
        field::put::<{ ip6::SOURCE }, 16, _>(frame, self.target.octets());
        field::put::<{ ip6::DESTINATION }, 16, _>(frame, self.destination_ip.octets());

        field::put::<{ message::TYPE }, 1, _>(frame, [message::ADVERTISEMENT]);
        field::put::<{ message::CODE }, 1, _>(frame, [0]);
        field::put::<{ message::CHECKSUM }, 2, _>(frame, [0, 0]);
        field::put::<{ message::FLAGS }, 4, _>(frame, [self.flags(), 0, 0, 0]);
        field::put::<{ message::TARGET }, 16, _>(frame, self.target.octets());
        field::put::<OPTION, 2, _>(frame, [message::TARGET_LINK, 1]);
        field::put::<OPTION_MAC, 6, _>(frame, self.target_mac.0);

        field::put::<{ message::CHECKSUM }, 2, _>(frame, checksum::icmpv6(frame).to_be_bytes());
    }

    #[inline(always)]
    const fn flags(&self) -> u8 {
        OVERRIDE | if self.router { ROUTER } else { 0 } | if self.solicited { SOLICITED } else { 0 }
    }
}
