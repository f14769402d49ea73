//! A packet socket that hears one protocol on one link, through a filter, and answers by it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, sock_filter};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, recvfrom, send, setsockopt, socket, sockopt,
};

use super::RawError;
use super::frame::Received;
use crate::link::Link;

/// The socket.
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens it for an ethertype. Bound only when the filter is there: it never hears anything else.
    pub(super) fn open(link: &Link, ethertype: u16, filter: &[sock_filter]) -> Result<Self, RawError> {
        let failed = |what| move |source| RawError::Socket { what, link: link.name.clone(), source };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .map_err(failed("open a packet socket"))?;
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
            filter: filter.as_ptr().cast_mut(),
        };
        setsockopt(&fd, AttachFilter, &program).map_err(failed("filter a packet socket"))?;
        bind(&fd, ethertype, link.index).map_err(failed("bind a packet socket"))?;
        Ok(Self(fd))
    }

    /// Reads the next frame for this host; says whether there was one.
    pub(super) fn receive(&self, frame: &mut Received) -> nix::Result<bool> {
        loop {
            match recvfrom::<LinkAddr>(self.0.as_raw_fd(), frame.room()) {
                // Another host's, by its MAC or its VLAN.
                Ok((_, Some(from))) if from.pkttype() == libc::PACKET_OTHERHOST => {}
                Ok((length, _)) => {
                    frame.filled(length);
                    return Ok(true);
                }
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sends a frame by the link, now or not at all.
    pub(super) fn send(&self, frame: &[u8]) -> nix::Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn bind(socket: &OwnedFd, ethertype: u16, index: u32) -> nix::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: ethertype.to_be(),
        sll_ifindex: i32::try_from(index).map_err(|_| Errno::ENODEV)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the address is whole, of the length that is given, and lives through the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) };
    Errno::result(bound).map(drop)
}

// An option that nix does not name. The kernel copies the program within the call.
#[derive(Clone, Copy, Debug)]
struct AttachFilter;

nix::setsockopt_impl!(
    AttachFilter,
    libc::SOL_SOCKET,
    libc::SO_ATTACH_FILTER,
    libc::sock_fprog,
    sockopt::SetStruct<'_, libc::sock_fprog>
);
