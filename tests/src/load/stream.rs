//! A stream of numbered datagrams, one way: lost is what no server took in.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::clock::{now, sleep_until};
use crate::host::Host;
use crate::namespace::finish;

const PORT: u16 = 7101;

/// As large as a datagram of a stream is. It begins with its number, and goes on with the VIP.
const LEN: usize = 200;
const NUMBER: usize = 4;
const VIP: usize = 16;

/// What came for each VIP, by number.
type Numbers = BTreeMap<IpAddr, Vec<u32>>;
/// How often the sender wakes.
const BEAT: Duration = Duration::from_millis(1);
/// A sender that could not keep up catches up on so many beats and leaves out the rest, which shows in the rate.
const MOST_LATE: u32 = 10;
/// Room for seconds of it: a thread that waits for its turn must not look like a network that loses packets.
const BUFFER: usize = 32 << 20;
/// What is on its way has arrived after this.
const GRACE: Duration = Duration::from_millis(500);

/// Sends until it is stopped.
#[derive(Debug)]
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Duration)>,
}

impl Stream {
    pub(super) fn start(host: &Host, vip: IpAddr, rate: u32) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = host.on_thread(move || send(SocketAddr::new(vip, PORT), rate, &stopped));
        Self { stop, thread }
    }

    /// How many were sent, in which time.
    pub(super) fn stop(self) -> (u32, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = finish(self.thread.join());
        std::thread::sleep(GRACE);
        sent
    }
}

fn send(to: SocketAddr, rate: u32, stopped: &AtomicBool) -> (u32, Duration) {
    let any = if to.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(to).map(|()| socket));
    let socket = socket.unwrap_or_else(|error| panic!("cannot send to {to}: {error}"));
    let (mut datagram, mut sent, mut due) = ([0; LEN], 0_u32, 0.0);
    datagram[NUMBER..NUMBER + VIP].copy_from_slice(&as_v6(to.ip()).octets());
    let begun = now();
    let (mut beat, share) = (begun, f64::from(rate) * BEAT.as_secs_f64());
    while !stopped.load(Ordering::Relaxed) {
        beat = beat + BEAT;
        sleep_until(beat);
        // Late beats follow each other without a pause.
        if now().since(beat) > BEAT * MOST_LATE {
            beat = now();
        }
        due += share;
        while due >= 1.0 {
            datagram[..NUMBER].copy_from_slice(&sent.to_be_bytes());
            // What the kernel refuses to send is as lost as what never arrives.
            let _ = socket.send(&datagram);
            sent += 1;
            due -= 1.0;
        }
    }
    (sent, now().since(begun))
}

/// Takes the stream in on a host, at every address, until it is dropped.
#[derive(Debug)]
pub(super) struct Sink {
    numbers: Arc<Mutex<Numbers>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    pub(super) fn start(host: &Host) -> Self {
        let socket = host.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)));
        let socket = socket.unwrap_or_else(|error| panic!("cannot listen on port {PORT}: {error}"));
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).expect("root may have any buffer");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("it is no time of 0");
        let (numbers, stop) = (Arc::<Mutex<Numbers>>::default(), Arc::<AtomicBool>::default());
        let (taken, stopped) = (Arc::clone(&numbers), Arc::clone(&stop));
        let thread = host.on_thread(move || take_in(&socket, &taken, &stopped));
        Self { numbers, stop, thread: Some(thread) }
    }

    /// The numbers that came for a VIP since this was last asked, in their order.
    pub(super) fn taken_in(&self, vip: IpAddr) -> Vec<u32> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.remove(&vip).unwrap_or_default()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Its panic has been printed, and what it did not take in is lost.
        self.thread.take().map(JoinHandle::join);
    }
}

fn take_in(socket: &UdpSocket, numbers: &Mutex<Numbers>, stopped: &AtomicBool) {
    let mut buffer = [0; LEN + 1];
    while !stopped.load(Ordering::Relaxed) {
        match socket.recv(&mut buffer) {
            Ok(LEN) => {
                let (number, rest) = buffer.split_first_chunk::<NUMBER>().expect("it is longer");
                let (vip, _) = rest.split_first_chunk::<VIP>().expect("it is longer");
                let vip = Ipv6Addr::from(*vip).to_canonical();
                let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
                numbers.entry(vip).or_default().push(u32::from_be_bytes(*number));
            }
            Ok(length) => panic!("a datagram of {length} bytes is none of the stream's"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("cannot take the stream in: {error}"),
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// Datagrams that were sent.
    pub sent: u32,
    /// The numbers of those that nobody took in: which, since they are sent at a steady rate, says when.
    pub lost: Vec<u32>,
    /// How often one was taken in that had been already.
    pub doubled: u32,
}

impl Streamed {
    pub(super) fn count(sent: u32, taken_in: impl Iterator<Item = Vec<u32>>) -> Self {
        let mut times = vec![0_u32; usize::try_from(sent).expect("32 bits fit")];
        for number in taken_in.flatten() {
            times[usize::try_from(number).expect("32 bits fit")] += 1;
        }
        let lost = (0..).zip(&times).filter(|(_, times)| **times == 0).map(|(number, _)| number).collect();
        let doubled = times.iter().map(|times| times.saturating_sub(1)).sum();
        Self { sent, lost, doubled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_is_what_no_server_took_in() {
        let count = Streamed::count(6, [vec![0, 1, 3], vec![1, 4]].into_iter());
        assert_eq!(count, Streamed { sent: 6, lost: vec![2, 5], doubled: 1 });
    }
}
