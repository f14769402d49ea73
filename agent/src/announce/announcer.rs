//! The socket that announcements of one link leave by.

use std::io;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use pnet::datalink::{self, Channel, ChannelType, DataLinkSender, NetworkInterface};
use thiserror::Error;

use super::{Frames, Outlet};

/// Room for the frames of some hundred VIPs at once, each of which the kernel counts at three quarters of a kilobyte.
const SEND_BUFFER: usize = 1 << 20;

/// Sends the announcements of one link: an `AF_PACKET` socket that receives nothing.
///
/// Not with `PACKET_QDISC_BYPASS`, fast as it is: that bypasses the fence at TC egress as well.
pub struct Announcer {
    link: String,
    sender: Box<dyn DataLinkSender>,
}

/// Why a link cannot be announced on.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No socket.
    #[error("cannot open a packet socket to announce on {link}: {source}; mantle needs CAP_NET_RAW")]
    Socket {
        /// The link.
        link: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The socket cannot be bound to the link.
    #[error(
        "cannot bind a packet socket to {link} (index {index}): {source}; the link may be gone or have a new index"
    )]
    Bind {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// pnet answered with a channel it has no name for.
    #[error("cannot announce on {link}: pnet opened no Ethernet channel on it")]
    NoEthernet {
        /// The link.
        link: String,
    },
}

/// Why a VIP was not announced.
#[derive(Debug, Error)]
pub enum AnnounceError {
    /// No room in the kernel or the device (ENOBUFS, EAGAIN), as after link-up on a VLAN over a bond; or dropped at
    /// TC egress, which the kernel reports alike. A little later it may go.
    #[error("{link} takes no frame at the moment: {source}")]
    Congested {
        /// The link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The link is down.
    #[error("{link} is down")]
    LinkDown {
        /// The link.
        link: String,
    },
    /// The link is gone: one of the same name is another, and needs an announcer of its own.
    #[error("{link} is gone")]
    LinkGone {
        /// The link.
        link: String,
    },
    /// Anything else.
    #[error("{link} refuses the frame: {source}")]
    Refused {
        /// The link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Announcer {
    /// Opens the socket for the link of that name and index.
    pub fn open(link: &str, index: u32) -> Result<Self, OpenError> {
        let socket_error = |source| OpenError::Socket { link: link.to_owned(), source };
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
            .map_err(socket_error)?;
        // Beyond the system's limit where allowed, else up to it.
        setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER))
            .map_err(socket_error)?;

        let config = datalink::Config {
            // pnet closes the socket, also when it fails.
            socket_fd: Some(socket.into_raw_fd()),
            // pnet binds with this protocol. "Layer 2" would mean all protocols, and make the socket a tap on every
            // received frame; 0 leaves it deaf. What is sent is whole frames all the same: the socket decides that.
            channel_type: ChannelType::Layer3(0),
            promiscuous: false,
            // Otherwise pnet waits for room without end.
            write_timeout: Some(Duration::ZERO),
            // Both unused: frames come built, and nothing is received.
            write_buffer_size: 0,
            read_buffer_size: 0,
            ..datalink::Config::default()
        };
        let interface = NetworkInterface {
            name: link.to_owned(),
            description: String::new(),
            index,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        match datalink::channel(&interface, config) {
            Ok(Channel::Ethernet(sender, _)) => Ok(Self { link: link.to_owned(), sender }),
            Ok(_) => Err(OpenError::NoEthernet { link: link.to_owned() }),
            Err(source) => Err(OpenError::Bind { link: link.to_owned(), index, source }),
        }
    }
}

impl Outlet for Announcer {
    fn send(&mut self, frames: &Frames) -> Result<(), AnnounceError> {
        for frame in frames.iter() {
            // pnet gives nothing for what it cannot send at all; on Linux it always gives a result.
            let result = self.sender.send_to(frame, None).unwrap_or(Err(io::ErrorKind::Unsupported.into()));
            result.map_err(|source| AnnounceError::new(&self.link, source))?;
        }
        Ok(())
    }
}

impl AnnounceError {
    fn new(link: &str, source: io::Error) -> Self {
        let link = link.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOBUFS | Errno::EAGAIN) => Self::Congested { link, source },
            // pnet's own: the socket had no room.
            None if source.kind() == io::ErrorKind::TimedOut => Self::Congested { link, source },
            Some(Errno::ENETDOWN) => Self::LinkDown { link },
            Some(Errno::ENXIO | Errno::ENODEV) => Self::LinkGone { link },
            _ => Self::Refused { link, source },
        }
    }
}

#[cfg(test)]
mod tests;
