//! A netlink socket, and the messages in what it receives.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, parse_i32,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// As much as the kernel puts into one datagram of a dump, twice over.
const INBOX: usize = 64 * 1024;

/// What the kernel may queue for us, where `net.core.rmem_max` lets it: bursts that overrun it cost a resync.
const QUEUE: i32 = 4 << 20;

const KERNEL: u32 = 0;

/// A dump during which something changed, or that was overrun, is worth beginning anew so often.
pub(super) const DUMPS: u32 = 16;

/// A netlink socket that never blocks.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
    inbox: Vec<u8>,
}

impl Netlink {
    /// Opens a socket that hears of these groups.
    pub(super) fn open(groups: &[MulticastGroup]) -> Result<Self, Errno> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            let mask = groups.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
            socket.bind(&SocketAddr::new(0, mask))?;
            socket.set_non_blocking(true)?;
            socket.set_rx_buf_sz(QUEUE)?;
            // Answers say in words what was wrong, and don't repeat the request.
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            Ok(socket)
        };
        Ok(Self { socket: open().map_err(errno)?, sequence: 0, inbox: Vec::with_capacity(INBOX) })
    }

    /// Appends a request to a batch, and says under which number it will be answered.
    pub(super) fn append(&mut self, batch: &mut Vec<u8>, flags: u16, request: RouteNetlinkMessage) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = batch.len();
        batch.resize(start + message.buffer_len(), 0);
        message.serialize(&mut batch[start..]);
        self.sequence
    }

    /// Has the kernel carry out a batch of requests: when this returns it has, and its answers are waiting.
    pub(super) fn send(&self, batch: &[u8]) -> Result<(), Errno> {
        self.socket.send_to(batch, &SocketAddr::new(KERNEL, 0), 0).map_err(errno)?;
        Ok(())
    }

    /// Takes in one dump to its end, with the events that come in between; false if it can't be relied on as a whole.
    ///
    /// The kernel writes each part of a dump while the one before it is read, so that nothing has to be waited for.
    pub(super) fn dump(
        &mut self,
        request: RouteNetlinkMessage,
        mut take: impl FnMut(&Message<'_>),
    ) -> Result<bool, Errno> {
        let mut batch = Vec::new();
        let sequence = self.append(&mut batch, NLM_F_REQUEST | NLM_F_DUMP, request);
        self.send(&batch)?;
        let mut whole = true;
        loop {
            let messages = match self.receive() {
                Ok(Some(messages)) => messages,
                // The end was not announced.
                Ok(None) => return Err(Errno::EBADMSG),
                Err(Errno::ENOBUFS) => {
                    whole = false;
                    continue;
                }
                Err(errno) => return Err(errno),
            };
            for message in messages {
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.outcome() {
                    Some(outcome) if message.sequence == sequence => return outcome.map(|()| whole),
                    _ => take(&message),
                }
            }
        }
    }

    /// The messages of the next datagram that is waiting, if there is one.
    ///
    /// `ENOBUFS` says that some were lost; later ones can still be received.
    pub(super) fn receive(&mut self) -> Result<Option<Messages<'_>>, Errno> {
        loop {
            self.inbox.clear();
            match self.socket.recv_from(&mut self.inbox, libc::MSG_TRUNC) {
                Ok((length, _)) if length > self.inbox.len() => return Err(Errno::ENOBUFS),
                // Other processes can send to this socket too; only the kernel is believed.
                Ok((_, from)) if from.port_number() != KERNEL => {}
                Ok(_) => return Ok(Some(Messages { rest: &self.inbox })),
                Err(error) => match errno(error) {
                    Errno::EAGAIN => return Ok(None),
                    Errno::EINTR => {}
                    errno => return Err(errno),
                },
            }
        }
    }
}

impl AsRawFd for Netlink {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// One message of the kernel's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

impl Message<'_> {
    /// What an acknowledgement or the end of a dump says; nothing if this is neither.
    pub(super) fn outcome(&self) -> Option<Result<(), Errno>> {
        if !matches!(i32::from(self.kind), libc::NLMSG_DONE | libc::NLMSG_ERROR) {
            return None;
        }
        // The kernel's is long enough.
        let code = self.payload.get(..4).and_then(|code| parse_i32(code).ok()).unwrap_or(0);
        Some(if code == 0 { Ok(()) } else { Err(Errno::from_raw(code.saturating_neg())) })
    }
}

/// The messages of a datagram.
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let rest = self.rest;
        let raw = NetlinkBuffer::new_checked(rest).ok()?;
        let length = raw.length() as usize;
        self.rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: raw.message_type(),
            flags: raw.flags(),
            sequence: raw.sequence_number(),
            payload: raw.payload(),
        })
    }
}
