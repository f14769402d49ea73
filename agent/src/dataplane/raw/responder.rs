//! The thread that answers on one link.
//!
//! Its own, so that no netlink call and no transaction delays an answer. It shares the book with the hands, and holds it
//! from the verdict until the answer is sent: when they have changed a stance, nothing of the one before is under way (I4).

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use mantle_ebpf::verdict::{Verdict, arriving};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::book::Book;
use super::frame::Received;
use super::groups::Groups;
use super::socket::PacketSocket;
use super::{RawError, filter, lock};
use crate::link::Link;

/// A link's thread; it ends with this.
pub(super) struct Responder {
    /// Closed, it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts to answer for these VIPs as the book says.
    pub(super) fn start(link: &Link, vips: &[IpAddr], book: Arc<Mutex<Book>>) -> Result<Self, RawError> {
        let ethertype = |protocol: i32| u16::try_from(protocol).unwrap_or_default();
        let desk = Desk {
            sockets: [
                PacketSocket::open(link, ethertype(libc::ETH_P_ARP), &filter::arp(vips))?,
                PacketSocket::open(link, ethertype(libc::ETH_P_IPV6), &filter::neighbour_discovery(vips))?,
            ],
            _groups: Groups::join(link, vips)?,
            book,
            name: link.name.clone(),
            index: link.index,
        };
        let failed = |source| RawError::Thread { link: link.name.clone(), source };
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let named = thread::Builder::new().name("mantle-raw".to_owned());
        let thread = named.spawn(move || desk.run(&stopped)).map_err(failed)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panic would have ended the process.
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Desk {
    sockets: [PacketSocket; 2],
    _groups: Groups,
    book: Arc<Mutex<Book>>,
    name: String,
    index: u32,
}

impl Desk {
    fn run(self, stopped: &UnixStream) {
        let mut frame = Received::on(self.index);
        let mut broken = None;
        loop {
            let [arp, ndp] =
                self.sockets.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            let mut waited = [PollFd::new(stopped.as_fd(), PollFlags::POLLIN), arp, ndp];
            match poll(&mut waited, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => panic!("cannot wait for what asks on {}: {errno}", self.name),
            }
            if waited[0].any().unwrap_or(true) {
                return;
            }
            for socket in &self.sockets {
                let error = self.answer_all(socket, &mut frame).err();
                if error.is_some() && error != broken {
                    tracing::warn!(link = self.name, "what asks for the VIPs could not be read: {error:?}");
                }
                broken = error.or(broken);
            }
        }
    }

    fn answer_all(&self, socket: &PacketSocket, frame: &mut Received) -> nix::Result<()> {
        while socket.receive(frame)? {
            let book = lock(&self.book);
            // The verdict went by the clock too; between the two this thread may have stood still (I2).
            if arriving(frame, &*book) == Verdict::Reply
                && book.has_right()
                && let Err(errno) = socket.send(frame.bytes())
            {
                // Whoever asked asks again.
                tracing::debug!(link = self.name, "an answer was not sent: {errno}");
            }
        }
        Ok(())
    }
}
