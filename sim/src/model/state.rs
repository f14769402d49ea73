//! One state of the model: the store, the machines, and everything that is on its way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Clock, Kernel, Micros, Store};
use mantle_protocol::{Change, Event, Instant, Key, Node, Request, Revision, Role};

use super::hashed::Hashed;

/// A state.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct State {
    /// True time, in ticks.
    pub(super) now: u64,
    /// Whether nothing has happened in this tick yet.
    pub(super) dawn: bool,
    /// The machine that is about to do all that it can by itself.
    pub(super) turn: Option<usize>,
    /// How many faults there may still be.
    pub(super) faults: u8,
    /// How many agents may still be told to end or to give up their VIPs.
    pub(super) orders: u8,
    pub(super) store: Hashed<Store>,
    pub(super) hosts: Vec<Hashed<Host>>,
    /// The invariant that an event has just broken.
    pub(super) broken: Option<&'static str>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Host {
    pub(super) clock: Clock,
    pub(super) kernel: Kernel,
    pub(super) agent: Option<Agent>,
    /// Counts the agents that ran here.
    pub(super) life: u8,
    /// Counts the runtime directories.
    pub(super) incarnation: u8,
    /// Whether it has once been owner.
    pub(super) served: bool,
    /// Whether it has once served what it had handed over.
    pub(super) drained: bool,
    /// What was asked of etcd and has not reached it yet, in order; also by agents that are gone.
    pub(super) asks: Vec<Ask>,
    /// Whether nothing of that gets through.
    pub(super) is_cut: bool,
    /// What of it is held up, while what is asked later gets through.
    pub(super) late_asks: Vec<Ask>,
}

/// A request on its way to etcd.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Ask {
    pub(super) life: u8,
    /// Just before it was sent, by the node's clock.
    pub(super) sent: Instant,
    pub(super) request: Arc<Request>,
    /// Whether its agent has been told that the outcome is unknown.
    pub(super) given_up: bool,
}

/// A running agent and what stands around its protocol.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Agent {
    pub(super) node: Node,
    /// The session whose lease was moved last.
    pub(super) mark: Revision,
    pub(super) is_frozen: bool,
    /// Answers and confirmations, in order.
    pub(super) words: Vec<Word>,
    /// Answers that are held up.
    pub(super) late_words: Vec<Word>,
    /// The watch's news, in order for each key.
    pub(super) news: BTreeMap<Key, Vec<Change>>,
    /// The keys whose news are held up.
    pub(super) held: BTreeSet<Key>,
    /// News that will come once more.
    pub(super) echoes: Vec<Change>,
    /// Whether it waits for a list of all keys.
    pub(super) lists: bool,
    /// Orders to the applier, each with the session that was live when it was given.
    pub(super) orders: Vec<(IpAddr, Role, Revision)>,
    /// Whether the applier does not get to them.
    pub(super) slow_applier: bool,
}

/// An answer or a confirmation.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Word {
    pub(super) event: Event,
    /// What the watch tells of the same, where the answer does not come first.
    pub(super) news: Vec<Change>,
}

impl State {
    /// How long a tick is. It makes the rule for S as tight as ticks allow: the slowest owner's lease is over after three,
    /// its last frame reaches the wire before the fourth, and then the fastest standby's silence is over.
    pub(super) const TICK: Micros = 24_300;

    /// When the model's time begins: machines have been up for a while.
    const BEGIN: Micros = 1_000_000;

    /// True time, in ticks.
    pub fn ticks(&self) -> u64 {
        self.now
    }

    pub(super) fn micros(&self) -> Micros {
        Self::BEGIN + self.now * Self::TICK
    }

    /// What a node's clock shows.
    pub(super) fn clock(&self, at: usize) -> Instant {
        self.hosts[at].clock.at(self.micros())
    }

    /// How many nodes are heard to answer for a VIP.
    pub(super) fn heard(&self, ip: IpAddr) -> usize {
        let now = self.micros();
        self.hosts.iter().filter(|host| host.kernel.is_heard(ip, host.clock.at(now))).count()
    }
}

impl Agent {
    /// Whether its node's deadline has come.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.node.deadline() <= now
    }

    /// The keys that have news it can hear.
    pub(super) fn audible(&self) -> impl Iterator<Item = &Key> {
        self.news.keys().filter(|key| !self.held.contains(*key))
    }
}
