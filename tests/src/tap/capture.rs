//! Listens at a switch and keeps the frames that matter.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mantle::wire::Mac;
use mantle_protocol::Instant;

use super::frame::{Frame, claims};
use super::socket::PacketSocket;
use crate::clock::{StampConverter, now, sleep_until, wait_for};
use crate::switch::{Switch, Wiring};

/// How often what has come in is read. The kernel stamps the frames, so nothing is less precise for waiting.
const READ_EVERY: Duration = Duration::from_millis(2);

/// Enough of a frame for everything that is looked at: Ethernet, IPv6, a neighbour advertisement with its option.
const LONGEST: usize = 256;

/// Keeps every frame by which a host acts as owner of an address that is not its own, on one switch.
///
/// The instants are those at which the kernel took the frame in at the port, exact to the microsecond. What a host
/// sends while its cable is pulled does not reach the switch, and so is not seen.
#[derive(Debug)]
pub struct Tap {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: Vec<Frame>,
    drops: u64,
    /// Everything that came in before this has been read.
    until: Instant,
}

impl Tap {
    /// Starts listening at every port of a switch, also those to come.
    pub(crate) fn start(switch: &Switch) -> Self {
        let socket = switch.namespace().run(|| {
            PacketSocket::open()
                .unwrap_or_else(|errno| panic!("cannot open a packet socket for the tap: {errno}"))
        });
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut listener = Listener { socket, switch: switch.clone(), seen: seen.clone() };
        let stopped = stop.clone();
        let thread = switch.namespace().thread("tap", move || {
            while !stopped.load(Ordering::Relaxed) {
                listener.read();
                sleep_until(now() + READ_EVERY);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// Every frame up to now, in the order they came in.
    pub fn frames(&self) -> Vec<Frame> {
        let asked = now();
        wait_for("the tap to catch up", Duration::from_secs(10), || {
            let seen = lock(&self.seen);
            (seen.until > asked).then(|| seen.frames.clone())
        })
    }

    /// How many frames the kernel dropped because the tap was too slow: if any, nothing is proven.
    pub fn drops(&self) -> u64 {
        lock(&self.seen).drops
    }

    /// The frames that have been read beyond the first `known`, without waiting.
    pub(crate) fn frames_beyond(&self, known: usize) -> Vec<Frame> {
        lock(&self.seen).frames.get(known..).unwrap_or_default().to_vec()
    }

    /// The frames that have been read, without waiting.
    pub(crate) fn frames_so_far(&self) -> Vec<Frame> {
        lock(&self.seen).frames.clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and `frames` did not return either.
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Listener {
    socket: PacketSocket,
    switch: Switch,
    seen: Arc<Mutex<Seen>>,
}

impl Listener {
    fn read(&mut self) {
        let until = now();
        let stamps = StampConverter::measure();
        let mut buffer = [0; LONGEST];
        let mut frames = Vec::new();
        let wiring = self.switch.wiring();
        loop {
            let received = match self.socket.receive(&mut buffer) {
                Ok(Some(received)) => received,
                Ok(None) => break,
                // A link went down: that is told once, and the next call reads on.
                Err(nix::errno::Errno::ENETDOWN) => continue,
                Err(errno) => panic!("the tap cannot read: {errno}"),
            };
            // What comes in on the bridge itself has come in at a port before.
            let Some(host) = wiring.hosts.get(&received.link) else { continue };
            let at = stamps.instant(received.stamp);
            let frame = &buffer[..received.length];
            let Some(&from) = frame.get(6..).and_then(<[u8]>::first_chunk) else { continue };
            let of_vips = claims(frame).into_iter().filter(|claim| may_be_vip(claim.vip, &wiring));
            frames.extend(of_vips.map(|claim| Frame { at, host: host.clone(), from: Mac(from), claim }));
        }
        drop(wiring);
        let drops =
            self.socket.drops().unwrap_or_else(|errno| panic!("the tap cannot tell its drops: {errno}"));
        let mut seen = lock(&self.seen);
        seen.frames.append(&mut frames);
        seen.drops += u64::from(drops);
        seen.until = until;
    }
}

/// Whatever is not the hosts' own: the tap needs no list of VIPs that a scenario could forget to give it.
fn may_be_vip(address: IpAddr, wiring: &Wiring) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !(link_local || address.is_unspecified() || wiring.own.contains(&address))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
