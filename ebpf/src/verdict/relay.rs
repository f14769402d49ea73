//! IP for a VIP that two nodes serve: what belongs to the other one is sent there.
//!
//! The predecessor keeps the packets of TCP connections that it has a socket of, and sends everything else on. The successor
//! keeps everything but TCP, other than SYN, of connections that it has no socket of: that it sends back. Before it is owner,
//! when its predecessor already tells who asks that the VIP is here, it sends everything back. Neither sends the other what
//! came from there, so a packet crosses at most once each way.
//!
//! - A SYN of a connection that is just opening at the predecessor is repeated: it stays. One for a connection that is over
//!   opens another, which is the successor's.
//! - A later fragment of TCP has no ports: it stays where it is. A datagram that is torn apart thereby is completed nowhere, and
//!   nobody resets anything; TCP that finds its path fragments nothing. Of other protocols the predecessor sends every
//!   fragment on.
//! - The time to live is less by one for each crossing, and what would have none left is dropped: passed, the kernel's
//!   stack would reset the other node's connection. With two nodes there is no loop for it to end; it is there for
//!   whatever more of them may be configured into.
//! - What is of the link stays on it: neighbour discovery and what is for a group of stations.
//!
//! Not told apart are errors about a connection (`ICMP`): they go where `ICMP` goes, to the successor; and the last packet of
//! a handshake that the successor keeps no memory of, by SYN cookies: it is sent back, and reset there.

use super::sight::{self, Transport};
use super::{Flow, Found, Frame, Host, Socket, Verdict};
use crate::layout::Counter;
use crate::wire::field::{get, put};

/// Which of the two this node is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Forwarding.
    Predecessor,
    /// About to follow: the one before it is owner still.
    Prepared,
    /// Owner, while the one before it drains; and while it gives the VIP back, and yields.
    Successor,
}

/// Up to the end of an IPv4 header's checksum, which comes after its time to live.
const V4: usize = sight::ETHER + 12;
/// Up to the end of an IPv6 header's hop limit.
const V6: usize = sight::ETHER + 8;

/// The verdict on an IPv4 packet to the VIP.
#[inline(always)]
pub(super) fn ipv4(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, side: Side) -> Verdict {
    let Some(head) = frame.head::<{ sight::IPV4 }>() else {
        return keep(frame, host, found, side);
    };
    let transport = sight::ipv4_transport(head);
    let mut flow = Flow([0; 12]);
    put::<0, 8, _>(&mut flow.0, get::<26, 8, _>(head));
    if stays(frame, side, transport, &mut flow, put::<8, 4, _>) {
        return keep(frame, host, found, side);
    }
    let mut start = [0; V4];
    if !frame.copy(0, &mut start) {
        return keep(frame, host, found, side);
    }
    let [ttl, protocol] = get::<22, 2, _>(&start);
    if ttl <= 1 {
        return found.drop(frame, host, Counter::Expired, None);
    }
    put::<22, 2, _>(&mut start, [ttl - 1, protocol]);
    let checksum = u32::from(u16::from_be_bytes(get::<24, 2, _>(&start))) + 0x0100;
    // RFC 1624, as in `ip_decrease_ttl`: what was taken away above is added to the complement of the sum.
    let [.., high, low] = (checksum + u32::from(checksum >= 0xffff)).to_be_bytes();
    put::<24, 2, _>(&mut start, [high, low]);
    send(frame, host, found, side, start)
}

/// The verdict on an IPv6 packet to the VIP.
#[inline(always)]
pub(super) fn ipv6(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, side: Side) -> Verdict {
    let transport = sight::ipv6_transport(frame);
    let Some(head) = frame.head::<{ sight::IPV6 }>() else {
        return keep(frame, host, found, side);
    };
    let mut flow = Flow([0; 36]);
    put::<0, 32, _>(&mut flow.0, get::<22, 32, _>(head));
    if stays(frame, side, transport, &mut flow, put::<32, 4, _>) {
        return keep(frame, host, found, side);
    }
    let mut start = [0; V6];
    if !frame.copy(0, &mut start) {
        return keep(frame, host, found, side);
    }
    let [hops] = get::<21, 1, _>(&start);
    if hops <= 1 {
        return found.drop(frame, host, Counter::Expired, None);
    }
    put::<21, 1, _>(&mut start, [hops - 1]);
    send(frame, host, found, side, start)
}

/// Whether a packet is this node's.
#[inline(always)]
fn stays<const N: usize>(
    frame: &impl Frame,
    side: Side,
    transport: Transport,
    flow: &mut Flow<N>,
    put_ports: impl Fn(&mut [u8; N], [u8; 4]),
) -> bool {
    let at = match transport {
        Transport::Link => return true,
        _ if side == Side::Prepared => return false,
        Transport::Tcp(at) => at,
        Transport::TcpFragment => return true,
        Transport::Other => return side == Side::Successor,
    };
    // Up to the flags.
    let mut tcp = [0; 14];
    if !frame.copy(at, &mut tcp) {
        return true;
    }
    let [flags] = get::<13, 1, _>(&tcp);
    let is_syn = flags & (SYN | ACK) == SYN;
    if is_syn && side == Side::Successor {
        return true;
    }
    put_ports(&mut flow.0, get::<0, 4, _>(&tcp));
    match frame.socket(flow) {
        Socket::Open => true,
        Socket::Over => !is_syn,
        Socket::Unknown => false,
    }
}

/// What stays goes to the kernel's stack, where the VIP is worn.
#[inline(always)]
fn keep(frame: &mut impl Frame, host: &impl Host, found: &Found<'_>, side: Side) -> Verdict {
    match side {
        Side::Prepared => found.drop(frame, host, Counter::DroppedIp, None),
        Side::Predecessor | Side::Successor => Verdict::Pass,
    }
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Sends the packet to the other node: by its MAC, in this node's name, so that no switch learns a wrong port.
#[inline(always)]
fn send<const N: usize>(
    frame: &mut impl Frame,
    host: &impl Host,
    found: &Found<'_>,
    side: Side,
    mut start: [u8; N],
) -> Verdict {
    put::<0, 6, _>(&mut start, found.vip.peer.0);
    put::<6, 6, _>(&mut start, found.vip.own.0);
    if !frame.readdress(&start) {
        // No memory to write it in. It is another node's: the kernel's stack would reset its connection.
        return Verdict::Drop;
    }
    found.count(
        host,
        match side {
            Side::Predecessor => Counter::Forwarded,
            Side::Prepared | Side::Successor => Counter::SentBack,
        },
    );
    Verdict::Relay
}
