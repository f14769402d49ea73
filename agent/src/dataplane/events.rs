//! What the kernel program tells.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use mantle_ebpf::layout::Event;
pub use mantle_ebpf::layout::Kind;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Receiver;

use crate::wire::Mac;
use mantle_protocol::Instant;

/// Something the kernel program saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataplaneEvent {
    /// When.
    pub at: Instant,
    /// The VIP it was about.
    pub vip: IpAddr,
    /// What it was.
    pub kind: Kind,
    /// The index of the link it was seen on.
    pub link: u32,
    /// Who claims the VIP; or who sent the frame that was dropped.
    pub mac: Mac,
}

/// The events of the kernel program, or of the raw fallback, as they come.
///
/// Nothing waits for the reader: what finds no room in the buffer is lost, and still counted.
pub struct Events(Source);

enum Source {
    Program(Box<AsyncFd<RingBuf<MapData>>>),
    Raw(Receiver<DataplaneEvent>),
}

impl Events {
    /// Wants a tokio runtime.
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring holds its descriptor open for as long as it lives, and gives the same one each time.
        let registered = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        Ok(Self(Source::Program(Box::new(registered?))))
    }

    /// Those of the raw fallback.
    pub(super) fn raw(events: Receiver<DataplaneEvent>) -> Self {
        Self(Source::Raw(events))
    }

    /// The next event. Can be dropped at any time: an event leaves the buffer only as it is returned.
    pub async fn next(&mut self) -> io::Result<DataplaneEvent> {
        let ring = match &mut self.0 {
            Source::Program(ring) => ring,
            Source::Raw(events) => {
                return events.recv().await.ok_or_else(|| io::Error::other("nobody tells them any more"));
            }
        };
        loop {
            if let Some(event) = next(ring.get_mut()) {
                return Ok(event);
            }
            let mut guard = ring.readable_mut().await?;
            if let Some(event) = next(guard.get_inner_mut()) {
                return Ok(event);
            }
            // Found empty after it was said to be readable: what comes from now on is said anew.
            guard.clear_ready();
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

fn next(ring: &mut RingBuf<MapData>) -> Option<DataplaneEvent> {
    // What a program of another version wrote is passed over.
    loop {
        if let Some(event) = read(&ring.next()?) {
            return Some(event);
        }
    }
}

fn read(entry: &[u8]) -> Option<DataplaneEvent> {
    let Event { at, vip, kind, link, mac, .. } = Event::read(entry)?;
    let (at, vip, kind) = (Instant::from_boot(Duration::from_nanos(at)), vip.into(), Kind::of(kind)?);
    Some(DataplaneEvent { at, vip, kind, link, mac })
}
