//! What a client sees of a service on the VIP while the flood goes on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use ipnet::IpNet;
use mantle::config::Mode;

use super::sender::Sender;
use super::{LINK, VIP, own_vip, request};
use crate::bench::figures::{FLOOD_GAPS, FLOOD_LOST, FLOOD_RATE};
use crate::bench::series::Series;
use crate::clock::now;
use crate::counts::received;
use crate::host::Host;
use crate::lab::Lab;
use crate::poll::{Offload, set_offload};
use crate::probe::Client;

/// How long the flood goes on.
const FLOODED: Duration = Duration::from_secs(2);
/// It is at its height from here on.
const RISEN: Duration = Duration::from_millis(200);
/// So many requests reach the owner meanwhile at least: ten times as many as the client's probes.
const LEAST: u32 = 20_000;
/// Few enough at a time for the flood to end when it is to.
const WAVE: u32 = 10_000;

/// Who answers ARP: nobody but the kernel, or our program.
const ANSWERING: [Option<Mode>; 3] = [None, Some(Mode::Tc), Some(Mode::Xdp)];

/// The share of a client's probes that is lost, and its longest time without an answer: with the kernel answering, TC and
/// native XDP.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let lab = Lab::new("bench-flooded");
    let [owner, flooder, client] = ["owner", "flooder", "client"].map(|name| lab.host(name));
    owner.add_address(LINK, IpNet::from(IpAddr::V4(VIP)));
    owner.port(LINK).carry_xdp();
    flooder.port(LINK).run(|port| set_offload(port, Offload::Gro, true));
    let client = Client::start(&client, &[VIP.into()], Client::INTERVAL);
    let mut rates = Vec::new();
    let mut seen = [const { (Vec::new(), Vec::new()) }; 3];
    for _ in 0..runs {
        for (mode, (lost, gaps)) in ANSWERING.into_iter().zip(&mut seen) {
            let dataplane = mode.map(|mode| own_vip(&owner, mode));
            let flood = Flood::start(&flooder, &request(owner.port(LINK).mac(), VIP));
            sleep(RISEN);
            let taken_in = owner.run(|| received(LINK));
            let from = now();
            sleep(FLOODED);
            let to = now();
            let taken_in = owner.run(|| received(LINK)) - taken_in;
            assert!(taken_in > LEAST, "{taken_in} requests are no flood");
            rates.push(f64::from(taken_in) / FLOODED.as_secs_f64());
            flood.stop();
            if let Some(dataplane) = dataplane {
                owner.run(move || dataplane.close().expect("what was attached can be taken off"));
            }
            client.look(|probes| {
                let of = probes.of(VIP.into());
                let share = |part: usize| f64::from(u32::try_from(part).expect("some thousands"));
                lost.push(100.0 * share(of.lost_in(from..to)) / share(of.sent_in(from, to).len()));
                let longest = of.longest_gap(from..to).map(|gap| gap.length()).unwrap_or_default();
                gaps.push(longest.as_secs_f64() * 1e3);
            });
        }
    }
    let figures = FLOOD_LOST.iter().zip(&FLOOD_GAPS);
    let series = |((lost, gap), seen): (_, (Vec<f64>, Vec<f64>))| {
        [Series::new(lost, seen.0), Series::new(gap, seen.1)]
    };
    [Series::new(&FLOOD_RATE, rates)].into_iter().chain(figures.zip(seen).flat_map(series)).collect()
}

/// A flood, until it is told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Flood {
    fn start(from: &Host, frame: &[u8]) -> Self {
        let mut sender = Sender::of(frame);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = from.on_thread(move || {
            while !stopped.load(Ordering::Relaxed) {
                sender.send(LINK, WAVE);
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the flood was sent");
    }
}
