//! The client: a numbered probe to every VIP, every millisecond.
//!
//! One thread wakes once per interval, sends, and reads what has come since. The kernel stamps what comes in, so a
//! late wake-up makes no answer look late.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mantle_protocol::Instant;

use super::packet::{LONGEST, PORT, ProbeId, probe, read_answer};
use super::report::{Probe, Probes};
use super::socket::UdpSocket;
use crate::clock::{StampConverter, now, sleep_until, wait_for};
use crate::host::Host;
use crate::namespace::finish;

/// How long answers are waited for after the last probe.
const GRACE: Duration = Duration::from_millis(200);

/// Probes VIPs until it is stopped.
#[derive(Debug)]
pub struct Client {
    probes: Arc<Mutex<Probes>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// The usual time between two probes to a VIP.
    pub const INTERVAL: Duration = Duration::from_millis(1);

    /// Starts probing from a host; many VIPs want a longer interval than [`Self::INTERVAL`].
    pub fn start(host: &Host, vips: &[IpAddr], interval: Duration) -> Self {
        assert!(u16::try_from(vips.len()).is_ok(), "a probe counts VIPs with two bytes");
        let sockets = host.run(|| {
            [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(|any| {
                UdpSocket::bind(any, 0)
                    .unwrap_or_else(|errno| panic!("cannot send probes from {any}: {errno}"))
            })
        });
        let probes = Arc::new(Mutex::new(Probes::new(vips)));
        let stop = Arc::new(AtomicBool::new(false));
        let thread_own = Prober { sockets, vips: vips.to_vec(), probes: probes.clone(), numbers: 0 };
        let stopped = stop.clone();
        let thread = host.on_thread(move || thread_own.probe_until(&stopped, interval));
        Self { probes, stop, thread: Some(thread) }
    }

    /// What has been counted so far.
    pub fn so_far(&self) -> Probes {
        lock(&self.probes).clone()
    }

    /// Looks at what has been counted so far without copying it; the client waits meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Probes) -> T) -> T {
        look(&lock(&self.probes))
    }

    /// Waits until a node has answered a probe for a VIP that was sent after `since`; the instant of its answer.
    ///
    /// # Panics
    /// If none does within `limit`.
    #[track_caller]
    pub fn wait_answered(&self, vip: IpAddr, node: &str, since: Instant, limit: Duration) -> Instant {
        wait_for(format_args!("an answer of {node} for {vip}"), limit, || {
            lock(&self.probes).of(vip).first_answer(node, since)
        })
    }

    /// Waits until any node has answered a probe for a VIP that was sent after `since`; that node.
    ///
    /// # Panics
    /// If none does within `limit`.
    #[track_caller]
    pub fn wait_answerer(&self, vip: IpAddr, since: Instant, limit: Duration) -> String {
        wait_for(format_args!("an answer for {vip}"), limit, || {
            lock(&self.probes).of(vip).first_answerer(since).map(str::to_owned)
        })
    }

    /// Waits a moment for the last answers, and gives the count.
    pub fn stop(mut self) -> Probes {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            finish(thread.join());
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Prober {
    sockets: [UdpSocket; 2],
    vips: Vec<IpAddr>,
    probes: Arc<Mutex<Probes>>,
    numbers: u64,
}

impl Prober {
    fn probe_until(mut self, stopped: &AtomicBool, interval: Duration) {
        let mut due = now();
        while !stopped.load(Ordering::Relaxed) {
            // After a late wake-up this returns at once until all is caught up: there is a probe for each interval.
            sleep_until(due);
            self.send();
            self.receive();
            due = due + interval;
        }
        let end = now() + GRACE;
        while now() < end {
            sleep_until(now() + Duration::from_millis(5));
            self.receive();
        }
    }

    fn send(&mut self) {
        let number = self.numbers;
        self.numbers += 1;
        for (place, vip) in self.vips.iter().enumerate() {
            let id = ProbeId { vip: u16::try_from(place).expect("counted in start"), number };
            let socket = &self.sockets[usize::from(vip.is_ipv6())];
            lock(&self.probes).sent(place, Probe { sent: now(), answer: None });
            // A refusal ("no route", "host unreachable") is what a lost probe looks like from here.
            let _ = socket.send(&probe(id), SocketAddr::new(*vip, PORT));
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; LONGEST];
        let stamps = StampConverter::measure();
        for socket in &mut self.sockets {
            // An error here is an ICMP message about a probe that was lost: the next call reads on.
            while let Some(received) = socket.receive(&mut buffer).transpose() {
                let Ok(datagram) = received else { continue };
                let Some((id, node)) = read_answer(&buffer[..datagram.length]) else { continue };
                let place = usize::from(id.vip);
                if self.vips.get(place) == Some(&datagram.from.ip()) {
                    let at = stamps.instant(datagram.stamp);
                    lock(&self.probes).answered(place, id.number, at, node);
                }
            }
        }
    }
}

fn lock(probes: &Mutex<Probes>) -> std::sync::MutexGuard<'_, Probes> {
    probes.lock().unwrap_or_else(PoisonError::into_inner)
}
