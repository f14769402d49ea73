//! The raw fallback: where eBPF can't be had, ARP and neighbour solicitations for the VIPs are answered from userspace by
//! raw sockets, and the kernel's own stack is kept quiet about them. So a frozen or dead agent is a silent one.
//!
//! The kernel answers for no address of another device where `arp_ignore` is not 0, and never by neighbour discovery:
//! so the VIPs' addresses stand on the loopback device, [`HOME`], while the answers leave by the link. What is answered, and
//! what is not, is judged by the kernel program's own logic, built for the host.
//!
//! What this does not fence is IP: a neighbour that knows the MAC is served until the address's lifetime ends. So a node
//! with it declares the lifetime's bound.

mod book;
mod filter;
mod frame;
mod groups;
mod responder;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mantle_ebpf::layout::Counters;
use nix::errno::Errno;
use thiserror::Error;
use tokio::sync::mpsc;

use self::book::Book;
use self::responder::Responder;
use super::quiet::{Quiet, QuietError};
use super::{Entry, Events, RightCell};
use crate::link::Link;

/// The index of the loopback device in every network namespace: where the VIPs' addresses stand (`LOOPBACK_IFINDEX`).
pub const HOME: u32 = 1;

/// So many events may wait for the agent; what does not fit is dropped, as it is by the kernel program.
const EVENTS: usize = 256;

/// Answers for the VIPs from userspace.
pub struct Raw {
    book: Arc<Mutex<Book>>,
    right: RightCell,
    events: Option<mpsc::Receiver<super::DataplaneEvent>>,
    responders: BTreeMap<u32, Responder>,
}

/// Why a link's VIPs cannot be answered from userspace.
#[derive(Debug, Error)]
pub enum RawError {
    /// No socket.
    #[error("cannot {what} on {link}: {source}; mode raw needs CAP_NET_RAW")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The link.
        link: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The group that an IPv6 VIP is asked for by cannot be joined.
    #[error("cannot join the solicited-node group of {vip} on {link}: {source}; is IPv6 off there?")]
    Group {
        /// The VIP.
        vip: IpAddr,
        /// The link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel cannot be kept quiet.
    #[error(transparent)]
    Quiet(#[from] QuietError),
    /// No thread.
    #[error("cannot start the thread that answers on {link}: {source}")]
    Thread {
        /// The link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Raw {
    /// Nothing answered yet.
    pub fn open() -> io::Result<Self> {
        let right = RightCell::alone()?;
        let (tell, events) = mpsc::channel(EVENTS);
        let book = Arc::new(Mutex::new(Book::new(right.clone(), tell)));
        Ok(Self { book, right, events: Some(events), responders: BTreeMap::new() })
    }

    /// A handle on the right that every answer goes by.
    pub fn right(&self) -> RightCell {
        self.right.clone()
    }

    /// What is seen of conflicts and of the fence, for one reader.
    pub fn events(&mut self) -> Option<Events> {
        self.events.take().map(Events::raw)
    }

    /// Answers on a link for these VIPs from now on, and keeps the kernel quiet about them there.
    pub fn attach(&mut self, link: &Link, vips: &[IpAddr], quiet: &mut Quiet) -> Result<(), RawError> {
        let responder = Responder::start(link, vips, Arc::clone(&self.book))?;
        quiet.hush(link.index, &link.name)?;
        self.responders.insert(link.index, responder);
        Ok(())
    }

    /// Whether the VIPs of that link are answered here.
    pub fn answers_on(&self, index: u32) -> bool {
        self.responders.contains_key(&index)
    }

    /// Answers on no link but these.
    pub fn retain(&mut self, wanted: &BTreeSet<u32>) {
        self.responders.retain(|index, _| wanted.contains(index));
    }

    /// Stands to a VIP; when it returns, no answer of another stance is under way.
    pub fn set(&mut self, vip: IpAddr, entry: &Entry) {
        self.book().set(vip, entry);
    }

    /// Knows a VIP no more.
    pub fn remove(&mut self, vip: IpAddr) {
        self.book().remove(vip);
    }

    /// What was counted of each VIP since it was set first.
    pub fn counters(&self) -> BTreeMap<IpAddr, Counters> {
        self.book().counters()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // A thread that panics takes the process with it.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
