//! Two nodes that hand VIPs to each other while there is a load on them.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use mantle_protocol::Instant;
use serde_json::Value;

use super::{Borne, Load, Rates, Server};
use crate::clock::{now, wait_for};
use crate::host::Host;
use crate::lab::PUBLIC_LINK;
use crate::stage::{SOON, Setting, Stage};

/// The load goes on for so long between two moves: what is late belongs to the move before. Shorter than a drain, so that the
/// connections which stay open live through every move.
const BETWEEN: Duration = Duration::from_millis(1500);
/// What `mantle handoff` ends with when the VIP was not handed over.
const REFUSED: i32 = 7;
/// A probe that has no answer after this has none.
const UNANSWERED: Duration = Duration::from_millis(200);

/// The nodes and the host that the load comes from.
pub struct Handoffs {
    /// The nodes, and a client that probes the VIPs.
    pub stage: Stage,
    servers: Vec<Server>,
    loader: Host,
    owner: usize,
    refused: usize,
}

/// What the moves did to a VIP.
#[derive(Debug)]
pub struct Moved {
    /// The VIP.
    pub vip: IpAddr,
    /// To the load.
    pub borne: Borne,
    /// When each move was asked for, since the load was there.
    pub asked: Vec<Duration>,
    /// When the client's probes that were lost were sent, since the load was there.
    pub lost_probes: Vec<Duration>,
    /// How long the client went without an answer around each move.
    pub gaps: Vec<Duration>,
    /// How many frames the lab's links dropped by themselves meanwhile.
    pub dropped: u64,
}

impl Handoffs {
    /// Sets the stage, with the kernel program meeting what arrives at `mode`: `tc`, or `xdp` in the driver.
    pub fn set(name: &str, mode: &str, vips: &[IpAddr]) -> Self {
        let settings = format!("dataplane: {{mode: {mode}}}");
        let setting = Setting { vips: vips.to_vec(), settings: &settings, ..Setting::default() };
        let mut stage = Stage::empty(name, &setting);
        let config = stage.config();
        for name in setting.nodes {
            let since = now();
            let host = stage.lab.host(name);
            if mode == "xdp" {
                host.port(PUBLIC_LINK).carry_xdp();
            }
            let at = stage.add_host(host, &config);
            stage.wait_live(at);
            if at == 0 {
                stage.wait_owner(at, since);
            }
        }
        for at in 0..stage.nodes.len() {
            let is_ready = |vip: &Value| vip["ready"] == true;
            let status = stage.wait_status(at, "everything ready", |status| {
                status["vips"].as_array().is_some_and(|vips| vips.iter().all(is_ready))
            });
            assert_eq!(status["links"][0]["mode"], mode, "{status:#}");
        }
        let servers = stage.nodes.iter().map(|node| Server::start(&node.host)).collect();
        let loader = stage.lab.host("loader");
        Self { stage, servers, loader, owner: 0, refused: 0 }
    }

    /// Has every VIP handed there and back under a load on each, so many moves in all.
    ///
    /// # Panics
    /// If a VIP is not handed over.
    pub fn under(&mut self, rates: Rates, moves: usize) -> Vec<Moved> {
        let vips = self.stage.vips.clone();
        let loads: Vec<Load> = vips.iter().map(|vip| Load::start(&self.loader, *vip, rates)).collect();
        let (begun, dropped) = (now(), self.dropped());
        sleep(BETWEEN);
        let mut spans = Vec::new();
        for _ in 0..moves {
            let asked = self.hand_over();
            sleep(BETWEEN);
            spans.push(asked..now());
        }
        let end = now();
        sleep(UNANSWERED);
        let dropped = self.dropped() - dropped;
        let mut taken: Vec<Moved> = Vec::new();
        for (vip, load) in vips.into_iter().zip(loads) {
            let borne = load.stop(&self.servers);
            let (lost_probes, gaps) = self.stage.client.look(|probes| {
                let probes = probes.of(vip);
                let gap = |span: &std::ops::Range<Instant>| {
                    probes.longest_gap(span.clone()).map(|gap| gap.length())
                };
                let lost = probes.lost_at(begun..end).map(|sent| sent.since(begun));
                (lost.collect(), spans.iter().filter_map(gap).collect())
            });
            let asked = spans.iter().map(|span| span.start.since(begun)).collect();
            taken.push(Moved { vip, borne, asked, lost_probes, gaps, dropped });
        }
        taken
    }

    /// Has the owner hand every VIP over by command; when the first was asked for.
    pub(crate) fn hand_over(&mut self) -> Instant {
        let host = &self.stage.nodes[self.owner].host;
        let config = self.stage.lab.config_path(host);
        let config = config.to_str().expect("a path of letters");
        let asked = now();
        for vip in &self.stage.vips {
            // On a machine too busy for the successor to prepare in time the VIP stays where it is, and is asked for again.
            wait_for(format_args!("{vip} handed over by {}", host.name()), SOON, || {
                let output = self.stage.lab.mantle(host, &["handoff", &vip.to_string(), "-c", config]);
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(matches!(output.status.code(), Some(0 | REFUSED)), "{told}");
                self.refused += usize::from(!output.status.success());
                output.status.success().then_some(())
            });
        }
        self.owner = 1 - self.owner;
        self.stage.wait_owner(self.owner, now());
        asked
    }

    fn dropped(&self) -> u64 {
        let hosts: u64 = self.stage.lab.hosts().iter().map(Host::dropped).sum();
        hosts + self.stage.lab.public().dropped()
    }

    /// How often it was refused to hand a VIP over, until now.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// Ends it, once the judge has found everything in order; and no server before the agents.
    pub fn end(self) {
        self.stage.end();
    }
}

impl Moved {
    /// When the lost datagrams and probes were sent, each after the last move that had been asked for.
    pub(crate) fn lost_after_moves(&self, rate: u32) -> [Vec<Duration>; 2] {
        let after = |sent: Duration| self.asked.iter().rev().find_map(|asked| sent.checked_sub(*asked));
        let datagrams = self.borne.stream.lost.iter().map(|number| Duration::from_secs(1) * *number / rate);
        [datagrams.filter_map(after).collect(), self.lost_probes.iter().copied().filter_map(after).collect()]
    }

    /// Fails unless nothing was lost, reset or refused, and the load was there: at least that share of every rate.
    #[track_caller]
    pub fn assert_lossless(&self, least: f64) {
        let Self { vip, borne, asked, lost_probes, .. } = self;
        assert!(borne.reached >= least, "{vip}: too little of the load was there: {borne:#?}");
        assert!(borne.stream.lost.is_empty(), "{vip}: lost of the stream, moved at {asked:?}: {borne:#?}");
        assert!(borne.asked.old.failed.is_empty(), "{vip}: connections were lost: {borne:#?}");
        assert!(borne.asked.new.failed.is_empty(), "{vip}: new connections failed: {borne:#?}");
        assert!(lost_probes.is_empty(), "{vip}: probes were lost at {lost_probes:?}, moved at {asked:?}");
    }
}
