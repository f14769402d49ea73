//! Counts who speaks on which TCP port on a switch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use super::socket::PacketSocket;
use crate::clock::{now, sleep_until};
use crate::switch::Switch;

const READ_EVERY: Duration = Duration::from_millis(5);

/// Enough of a frame for the TCP ports: Ethernet, IPv6, TCP.
const LONGEST: usize = 128;

/// Counts the TCP frames on one switch by port, for as long as it lives.
#[derive(Debug)]
pub struct Traffic {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: BTreeMap<u16, u64>,
    /// From which addresses a port was spoken to.
    clients: BTreeMap<u16, BTreeSet<IpAddr>>,
}

/// A TCP frame.
struct Spoken {
    source: Option<IpAddr>,
    ports: [u16; 2],
}

impl Traffic {
    /// Starts counting at every port of a switch, also those to come.
    pub fn start(switch: &Switch) -> Self {
        let mut socket = switch.namespace().run(|| {
            PacketSocket::open()
                .unwrap_or_else(|errno| panic!("cannot open a packet socket to count traffic: {errno}"))
        });
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (told, stopped) = (seen.clone(), stop.clone());
        let thread = switch.namespace().thread("traffic", move || {
            while !stopped.load(Ordering::Relaxed) {
                let read = read(&mut socket);
                let mut seen = told.lock().unwrap_or_else(PoisonError::into_inner);
                for Spoken { source, ports } in read {
                    for port in ports {
                        *seen.frames.entry(port).or_default() += 1;
                    }
                    seen.clients.entry(ports[1]).or_default().extend(source);
                }
                drop(seen);
                sleep_until(now() + READ_EVERY);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// How many frames went from or to a TCP port so far.
    pub fn of_port(&self, port: u16) -> u64 {
        self.seen().frames.get(&port).copied().unwrap_or_default()
    }

    /// The addresses from which a TCP port was spoken to so far.
    pub fn clients_of(&self, port: u16) -> BTreeSet<IpAddr> {
        self.seen().clients.get(&port).cloned().unwrap_or_default()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

/// The TCP frames that have come in.
fn read(socket: &mut PacketSocket) -> Vec<Spoken> {
    let mut buffer = [0; LONGEST];
    let mut spoken = Vec::new();
    loop {
        match socket.receive(&mut buffer) {
            Ok(Some(received)) => {
                let packet = LaxSlicedPacket::from_ethernet(&buffer[..received.length.min(LONGEST)]);
                if let Ok(LaxSlicedPacket { net, transport: Some(TransportSlice::Tcp(tcp)), .. }) = packet {
                    let source = match net {
                        Some(LaxNetSlice::Ipv4(ip)) => Some(ip.header().source_addr().into()),
                        Some(LaxNetSlice::Ipv6(ip)) => Some(ip.header().source_addr().into()),
                        _ => None,
                    };
                    spoken.push(Spoken { source, ports: [tcp.source_port(), tcp.destination_port()] });
                }
            }
            Ok(None) => return spoken,
            // A link went down: that is told once, and the next call reads on.
            Err(nix::errno::Errno::ENETDOWN) => {}
            Err(errno) => panic!("traffic cannot be counted: {errno}"),
        }
    }
}
