//! ARP for IPv4 over Ethernet (RFC 826) in a frame of 42 bytes.

use core::net::Ipv4Addr;

use super::ether::{self, Ether};
use super::{Mac, field};

const HARDWARE: usize = Ether::LEN;
const PROTOCOL: usize = HARDWARE + 2;
const LENGTHS: usize = PROTOCOL + 2;
const OPERATION: usize = LENGTHS + 2;
const SENDER_MAC: usize = OPERATION + 2;
const SENDER_IP: usize = SENDER_MAC + 6;
const TARGET_MAC: usize = SENDER_IP + 4;
const TARGET_IP: usize = TARGET_MAC + 6;

/// `ar$hrd`: Ethernet.
const ETHERNET: [u8; 2] = [0, 1];
/// `ar$hln` and `ar$pln`: an Ethernet address, an IPv4 address.
const MAC_AND_IPV4: [u8; 2] = [6, 4];

/// What an ARP packet is for: `ar$op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

impl Operation {
    #[inline(always)]
    const fn code(self) -> [u8; 2] {
        match self {
            Self::Request => [0, 1],
            Self::Reply => [0, 2],
        }
    }
}

/// Why a frame is no ARP packet to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotArp {
    /// Another ethertype.
    Ethertype,
    /// `ar$hrd` is not Ethernet.
    Hardware,
    /// `ar$pro` is not IPv4.
    Protocol,
    /// `ar$hln` or `ar$pln` does not fit Ethernet and IPv4.
    Lengths,
    /// Neither a request nor a reply.
    Operation,
    /// The sender gives a group address for its own: to answer there would be to broadcast (RFC 1812 §3.3.2).
    GroupSender,
}

/// An ARP packet in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Where the frame goes.
    pub destination: Mac,
    /// Who sends the frame.
    pub source: Mac,
    /// What the packet is for.
    pub operation: Operation,
    /// SHA: the MAC that has the sender address.
    pub sender_mac: Mac,
    /// SPA: the sender address.
    pub sender_ip: Ipv4Addr,
    /// THA: whom the packet is for; nothing in a request.
    pub target_mac: Mac,
    /// TPA: the address asked for, or whom the reply is for.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// How long the frame is; a receiver may see it padded to Ethernet's least.
    pub const LEN: usize = TARGET_IP + 4;

    /// Reads a frame.
    #[inline(always)]
    pub fn parse(frame: &[u8; Self::LEN]) -> Result<Self, NotArp> {
        let ether = Ether::read(frame);
        if ether.ethertype != ether::ARP {
            return Err(NotArp::Ethertype);
        }
        if field::get::<HARDWARE, 2, _>(frame) != ETHERNET {
            return Err(NotArp::Hardware);
        }
        if field::get::<PROTOCOL, 2, _>(frame) != ether::IPV4 {
            return Err(NotArp::Protocol);
        }
        if field::get::<LENGTHS, 2, _>(frame) != MAC_AND_IPV4 {
            return Err(NotArp::Lengths);
        }
        let operation = match field::get::<OPERATION, 2, _>(frame) {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return Err(NotArp::Operation),
        };
        let sender_mac = Mac(field::get::<SENDER_MAC, 6, _>(frame));
        if sender_mac.is_group() {
            return Err(NotArp::GroupSender);
        }
        Ok(Self {
            destination: ether.destination,
            source: ether.source,
            operation,
            sender_mac,
            sender_ip: field::get::<SENDER_IP, 4, _>(frame).into(),
            target_mac: Mac(field::get::<TARGET_MAC, 6, _>(frame)),
            target_ip: field::get::<TARGET_IP, 4, _>(frame).into(),
        })
    }

    /// The gratuitous request that announces `ip` at `mac`: RFC 5227's ARP Announcement (§2.3).
    #[inline(always)]
    pub const fn gratuitous_request(ip: Ipv4Addr, mac: Mac) -> Self {
        Self {
            destination: Mac::BROADCAST,
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender_ip: ip,
            target_mac: Mac::ZERO,
            target_ip: ip,
        }
    }

    /// The gratuitous reply that announces `ip` at `mac`.
    ///
    /// THA is the MAC announced (RFC 5944 §4.6): with any other, the broadcast address included, Linux does not take
    /// the reply for gratuitous.
    #[inline(always)]
    pub const fn gratuitous_reply(ip: Ipv4Addr, mac: Mac) -> Self {
        Self { operation: Operation::Reply, target_mac: mac, ..Self::gratuitous_request(ip, mac) }
    }

    /// The answer to this request: `owner` has the address asked for. Goes to the asker alone, also when the request
    /// is a probe that names no sender (RFC 5227 §2.1.1).
    ///
    /// `source` is the port the answer leaves by. While a VIP is handed over `owner` is another node, and a frame sent
    /// in that node's name would teach the switches a wrong port.
    #[inline(always)]
    #[must_use]
    pub const fn answer(&self, source: Mac, owner: Mac) -> Self {
        Self {
            // SHA rather than the frame's source: the two differ behind load balancers that mask the latter.
            destination: self.sender_mac,
            source,
            operation: Operation::Reply,
            sender_mac: owner,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Whether it asks if anybody has the target address, before taking it (RFC 5227 §1.1).
    #[inline(always)]
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender_ip.is_unspecified()
    }

    /// Whether it announces its sender, as Linux sees it (`arp_is_garp`).
    #[inline(always)]
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
            && (self.operation == Operation::Request || self.target_mac == self.sender_mac)
    }

    /// The bytes of the frame.
    #[inline(always)]
    pub fn frame(&self) -> [u8; Self::LEN] {
        field::written(|frame| self.write(frame))
    }

    /// Writes the bytes of the frame over all of `frame`: in place of a request, in the kernel program.
    #[inline(always)]
    pub fn write(&self, frame: &mut [u8; Self::LEN]) {
        Ether { destination: self.destination, source: self.source, ethertype: ether::ARP }.write(frame);
        field::put::<HARDWARE, 2, _>(frame, ETHERNET);
        field::put::<PROTOCOL, 2, _>(frame, ether::IPV4);
        field::put::<LENGTHS, 2, _>(frame, MAC_AND_IPV4);
        field::put::<OPERATION, 2, _>(frame, self.operation.code());
        field::put::<SENDER_MAC, 6, _>(frame, self.sender_mac.0);
        field::put::<SENDER_IP, 4, _>(frame, self.sender_ip.octets());
        field::put::<TARGET_MAC, 6, _>(frame, self.target_mac.0);
        field::put::<TARGET_IP, 4, _>(frame, self.target_ip.octets());
    }
}

#[cfg(test)]
mod tests;
