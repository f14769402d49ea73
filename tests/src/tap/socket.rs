//! The packet socket that hears what comes in at every port of a switch.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, getsockopt,
    recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// Two seconds of a busy switch.
const BUFFER: usize = 32 << 20;

/// A packet socket on all devices of the thread's network namespace that never blocks.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: OwnedFd,
    control: Vec<u8>,
}

/// Where and when a frame came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) length: usize,
    /// The device it came in on.
    pub(crate) link: u32,
    /// When the kernel took it in, by `CLOCK_REALTIME`.
    pub(crate) stamp: TimeSpec,
}

impl PacketSocket {
    pub(crate) fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        setsockopt(&fd, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
        // Only what a host sent: the copies that the switch sends on would count everything twice.
        setsockopt(&fd, IgnoreOutgoing, &true)?;
        Ok(Self { fd, control: cmsg_space!(TimeSpec) })
    }

    /// The next frame, cut to the buffer; nothing if there is none now.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> nix::Result<Option<Received>> {
        let mut parts = [IoSliceMut::new(buffer)];
        let received =
            recvmsg::<LinkAddr>(self.fd.as_raw_fd(), &mut parts, Some(&mut self.control), MsgFlags::empty());
        let message = match received {
            Err(Errno::EAGAIN) => return Ok(None),
            received => received?,
        };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
            _ => None,
        });
        let link = message.address.and_then(|address| u32::try_from(address.ifindex()).ok());
        let (Some(stamp), Some(link)) = (stamp, link) else { return Err(Errno::EPROTO) };
        Ok(Some(Received { length: message.bytes, link, stamp }))
    }

    /// How many frames the kernel dropped since this was last asked, for want of room.
    pub(crate) fn drops(&self) -> nix::Result<u32> {
        getsockopt(&self.fd, Statistics).map(|statistics| statistics.tp_drops)
    }
}

// Two options that nix does not name yet.
#[derive(Clone, Copy, Debug)]
struct IgnoreOutgoing;

#[derive(Clone, Copy, Debug)]
struct Statistics;

nix::setsockopt_impl!(IgnoreOutgoing, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool, sockopt::SetBool);
nix::getsockopt_impl!(
    Statistics,
    libc::SOL_PACKET,
    libc::PACKET_STATISTICS,
    libc::tpacket_stats,
    sockopt::GetStruct<libc::tpacket_stats>
);
