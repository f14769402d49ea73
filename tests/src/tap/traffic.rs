//! Counts who speaks on which TCP port on a switch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use etherparse::{LaxSlicedPacket, TransportSlice};

use super::socket::PacketSocket;
use crate::clock::{now, sleep_until};
use crate::switch::Switch;

const READ_EVERY: Duration = Duration::from_millis(5);

/// Enough of a frame for the TCP ports: Ethernet, IPv6, TCP.
const LONGEST: usize = 128;

/// Counts the TCP frames on one switch by port, for as long as it lives.
#[derive(Debug)]
pub struct Traffic {
    frames: Arc<Mutex<BTreeMap<u16, u64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Starts counting at every port of a switch, also those to come.
    pub fn start(switch: &Switch) -> Self {
        let mut socket = switch.namespace().run(|| {
            PacketSocket::open()
                .unwrap_or_else(|errno| panic!("cannot open a packet socket to count traffic: {errno}"))
        });
        let (frames, stop) = (Arc::<Mutex<BTreeMap<u16, u64>>>::default(), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (frames.clone(), stop.clone());
        let thread = switch.namespace().thread("traffic", move || {
            while !stopped.load(Ordering::Relaxed) {
                let seen = read(&mut socket);
                let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                for port in seen {
                    *counted.entry(port).or_default() += 1;
                }
                drop(counted);
                sleep_until(now() + READ_EVERY);
            }
        });
        Self { frames, stop, thread: Some(thread) }
    }

    /// How many frames went from or to a TCP port so far.
    pub fn of_port(&self, port: u16) -> u64 {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied().unwrap_or_default()
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

/// The ports of the TCP frames that have come in, both of each.
fn read(socket: &mut PacketSocket) -> Vec<u16> {
    let mut buffer = [0; LONGEST];
    let mut ports = Vec::new();
    loop {
        match socket.receive(&mut buffer) {
            Ok(Some(received)) => {
                let packet = LaxSlicedPacket::from_ethernet(&buffer[..received.length.min(LONGEST)]);
                if let Ok(LaxSlicedPacket { transport: Some(TransportSlice::Tcp(tcp)), .. }) = packet {
                    ports.extend([tcp.source_port(), tcp.destination_port()]);
                }
            }
            Ok(None) => return ports,
            // A link went down: that is told once, and the next call reads on.
            Err(nix::errno::Errno::ENETDOWN) => {}
            Err(errno) => panic!("traffic cannot be counted: {errno}"),
        }
    }
}
