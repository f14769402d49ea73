//! UDP sockets that tell where a datagram was sent to and when it came, and can answer from there.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn,
    SockaddrIn6, SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// A UDP socket of one family that never blocks.
#[derive(Debug)]
pub(super) struct UdpSocket {
    fd: OwnedFd,
    /// Room for the control messages of one datagram.
    control: Vec<u8>,
}

/// A datagram that came in.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) length: usize,
    pub(super) from: SocketAddr,
    /// The address it was sent to.
    pub(super) to: IpAddr,
    /// When the kernel took it in, by `CLOCK_REALTIME`.
    pub(super) stamp: TimeSpec,
}

impl UdpSocket {
    /// Binds to a port on every address of one family.
    pub(super) fn bind(any: IpAddr, port: u16) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let family = if any.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = socket(family, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
        if any.is_ipv4() {
            setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
            setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, port)))?;
        Ok(Self { fd, control: cmsg_space!(TimeSpec, in6_pktinfo) })
    }

    /// The next datagram; nothing if there is none now.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> nix::Result<Option<Datagram>> {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<SockaddrStorage>(
            self.fd.as_raw_fd(),
            &mut parts,
            Some(&mut self.control),
            MsgFlags::empty(),
        ) {
            Err(Errno::EAGAIN) => return Ok(None),
            received => received?,
        };
        let (mut to, mut stamp) = (None, None);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmTimestampns(time) => stamp = Some(time),
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
        let from = message.address.as_ref().and_then(socket_address);
        let (Some(from), Some(to), Some(stamp)) = (from, to, stamp) else { return Err(Errno::EPROTO) };
        Ok(Some(Datagram { length: message.bytes, from, to, stamp }))
    }

    /// Sends a datagram, from the address the kernel chooses.
    pub(super) fn send(&self, packet: &[u8], to: SocketAddr) -> nix::Result<()> {
        self.send_with(packet, to, &[])
    }

    /// Sends a datagram from one of the host's addresses.
    pub(super) fn send_from(&self, packet: &[u8], from: IpAddr, to: SocketAddr) -> nix::Result<()> {
        match from {
            IpAddr::V4(from) => {
                let source = in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
                self.send_with(packet, to, &[ControlMessage::Ipv4PacketInfo(&info)])
            }
            IpAddr::V6(from) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 };
                self.send_with(packet, to, &[ControlMessage::Ipv6PacketInfo(&info)])
            }
        }
    }

    fn send_with(&self, packet: &[u8], to: SocketAddr, control: &[ControlMessage<'_>]) -> nix::Result<()> {
        let parts = [IoSlice::new(packet)];
        let to = SockaddrStorage::from(to);
        sendmsg(self.fd.as_raw_fd(), &parts, control, MsgFlags::empty(), Some(&to)).map(drop)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = |address: &SockaddrIn| SocketAddr::from(SocketAddrV4::from(*address));
    let v6 = |address: &SockaddrIn6| SocketAddr::from(SocketAddrV6::from(*address));
    address.as_sockaddr_in().map(v4).or_else(|| address.as_sockaddr_in6().map(v6))
}
