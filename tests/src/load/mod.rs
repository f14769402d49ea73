//! A load on a VIP: a stream of numbered datagrams, connections that go on asking, and new ones all the time.
//!
//! Nothing here has a thread of its own for each connection: the stream has one at either end, and all connections of a host
//! share one. Whoever measures with it must look at what rate was really reached: a load that was never there proves nothing.

mod askers;
mod handoffs;
mod server;
mod stream;

use std::net::IpAddr;
use std::time::Duration;

use crate::host::Host;
use askers::Askers;
pub use askers::{Asked, Tally};
pub use handoffs::{Handoffs, Moved};
pub use server::Server;
use stream::Stream;
pub use stream::Streamed;

/// How much load there is to be.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Datagrams a second.
    pub datagrams: u32,
    /// Connections that stay open.
    pub connections: u32,
    /// How often each of them asks.
    pub pause: Duration,
    /// Connections a second that are opened, ask once and are closed.
    pub new_connections: u32,
}

impl Rates {
    /// What a second brings of questions on the connections that stay open.
    fn questions(self) -> f64 {
        f64::from(self.connections) / self.pause.as_secs_f64()
    }
}

/// A load from one host on one VIP.
#[derive(Debug)]
pub struct Load {
    vip: IpAddr,
    rates: Rates,
    stream: Stream,
    askers: Askers,
}

/// What became of it.
#[derive(Debug)]
pub struct Borne {
    /// Of the stream.
    pub stream: Streamed,
    /// Of the connections.
    pub asked: Asked,
    /// The smallest of the rates that were reached, each as a share of what was to be.
    pub reached: f64,
}

impl Load {
    /// Starts it; every connection that stays is open when this returns.
    pub fn start(host: &Host, vip: IpAddr, rates: Rates) -> Self {
        let askers = Askers::start(host, vip, rates);
        Self { vip, rates, stream: Stream::start(host, vip, rates.datagrams), askers }
    }

    /// Ends it, and counts at the servers what came of the stream.
    pub fn stop<'a>(self, servers: impl IntoIterator<Item = &'a Server>) -> Borne {
        let (sent, took) = self.stream.stop();
        let asked = self.askers.stop();
        let stream = Streamed::count(sent, servers.into_iter().map(|server| server.taken_in(self.vip)));
        let reached = [
            f64::from(sent) / took.as_secs_f64() / f64::from(self.rates.datagrams),
            asked.old.rate(asked.took) / self.rates.questions(),
            asked.new.rate(asked.took) / f64::from(self.rates.new_connections),
        ];
        Borne { stream, asked, reached: reached.into_iter().fold(f64::INFINITY, f64::min) }
    }
}
