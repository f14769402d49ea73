//! Nodes, one store and one clock: everything is delivered at once unless a test holds it back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use mantle_sim::Store;
use mantle_sim::protocol::node::{Effect, Event, Happening, Node, Purpose, Request, Settings};
use mantle_sim::protocol::{Answer, Change, Instant, Stance, Timing, WhenNobodyIsReady, Write};

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own that a test throws")]
#[derive(Clone)]
pub(super) struct Host {
    pub(super) node: Node,
    /// How the kernel stands: what the last confirmed order left.
    pub(super) stances: BTreeMap<IpAddr, Stance>,
    /// Every stance that was ordered.
    pub(super) ordered: Vec<Stance>,
    pub(super) told: Vec<Happening>,
    pub(super) committed: Vec<Purpose>,
    pub(super) ended: bool,
    /// Whether its transactions reach etcd.
    pub(super) etcd: bool,
    /// Whether it hears the watch.
    pub(super) watch: bool,
    /// Whether it is given a list when it asks for one.
    pub(super) lists: bool,
    /// Whether it runs.
    pub(super) runs: bool,
    /// Whether its kernel confirms orders.
    pub(super) confirms: bool,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) store: Store,
    pub(super) hosts: Vec<Host>,
    inbox: VecDeque<(usize, Event)>,
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

pub(super) fn settings(name: &str, vips: &[IpAddr]) -> Settings {
    Settings {
        name: name.parse().unwrap(),
        machine: format!("machine-of-{name}"),
        timing: Timing::DEFAULT,
        priority: 100,
        when_nobody_is_ready: WhenNobodyIsReady::Hold,
        vips: vips.iter().copied().collect(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: Instant::ZERO + ms(60_000),
            store: Store::default(),
            hosts: Vec::new(),
            inbox: VecDeque::new(),
        }
    }

    /// Starts a node whose machine is in order, with `found` left standing by a predecessor.
    pub(super) fn start(&mut self, settings: Settings, found: &[IpAddr]) -> usize {
        let at = self.hosts.len();
        let ready = settings.vips.clone();
        self.hosts.push(Host {
            node: Node::new(settings),
            stances: BTreeMap::new(),
            ordered: Vec::new(),
            told: Vec::new(),
            committed: Vec::new(),
            ended: false,
            etcd: true,
            watch: true,
            lists: true,
            runs: true,
            confirms: true,
        });
        self.give(at, Event::Found(found.iter().copied().collect()));
        self.ready(at, ready);
        self.relist(at);
        at
    }

    /// A new agent on the same machine, whose predecessor's addresses stand or not.
    pub(super) fn restart(&mut self, at: usize, settings: Settings, found: &[IpAddr]) {
        let ready = settings.vips.clone();
        let host = &mut self.hosts[at];
        host.node = Node::new(settings);
        host.runs = true;
        host.committed.clear();
        host.stances.retain(|ip, _| found.contains(ip));
        self.give(at, Event::Found(found.iter().copied().collect()));
        self.ready(at, ready);
        self.relist(at);
    }

    pub(super) fn ready(&mut self, at: usize, ready: BTreeSet<IpAddr>) {
        self.facts(at, ready, Timing::DEFAULT.right);
    }

    /// Tells a node what it could wear now, and the bound of its slowest fence.
    pub(super) fn facts(&mut self, at: usize, ready: BTreeSet<IpAddr>, bound: Duration) {
        let links = BTreeMap::new();
        self.give(at, Event::Facts { links, ready, bound });
    }

    pub(super) fn relist(&mut self, at: usize) {
        let (revision, list) = (self.store.revision, self.store.list());
        self.give(at, Event::Listed(revision, list));
    }

    /// Gives a node an event and carries out everything that follows from it.
    pub(super) fn give(&mut self, at: usize, event: Event) {
        self.inbox.push_back((at, event));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some((at, event)) = self.inbox.pop_front() {
            if self.hosts[at].runs {
                let effects = self.hosts[at].node.handle(self.now, event);
                for effect in effects {
                    self.carry_out(at, effect);
                }
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Commit(request) => self.commit(at, request),
            Effect::Stand(ip, stance) => {
                self.hosts[at].ordered.push(stance);
                if self.hosts[at].confirms {
                    self.hosts[at].stances.insert(ip, stance);
                    self.inbox.push_back((at, Event::Stood(ip, stance)));
                }
            }
            Effect::Right(..) => {}
            Effect::Relist if !self.hosts[at].lists => {}
            Effect::Relist => {
                let (revision, list) = (self.store.revision, self.store.list());
                self.inbox.push_back((at, Event::Listed(revision, list)));
            }
            Effect::Tell(happening) => self.hosts[at].told.push(happening),
            Effect::Ended => self.hosts[at].ended = true,
        }
    }

    fn commit(&mut self, at: usize, request: Request) {
        self.hosts[at].committed.push(request.purpose);
        let answer = if self.hosts[at].etcd {
            let (answer, changes) = self.store.commit(&request.txn);
            self.show(&changes);
            answer
        } else {
            Answer::Unknown
        };
        let sent = request.decided;
        self.inbox.push_back((at, Event::Answered { request, sent, answer }));
    }

    fn show(&mut self, changes: &[Change]) {
        for (at, host) in self.hosts.iter().enumerate() {
            if host.watch && !changes.is_empty() {
                self.inbox.push_back((at, Event::Changed(changes.to_vec())));
            }
        }
    }

    /// A foreign hand writes.
    pub(super) fn force(&mut self, write: &Write) {
        let changes = self.store.force(write);
        self.show(&changes);
        self.settle();
    }

    /// Lets time pass, waking each node when it asks to be.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.hosts.iter().enumerate().filter(|(_, host)| host.runs && !host.ended);
            let next = due
                .map(|(at, host)| (host.node.deadline().max(self.now + Duration::from_micros(10)), at))
                .min();
            match next {
                Some((at_time, at)) if at_time <= end => {
                    self.now = at_time;
                    self.give(at, Event::Tick);
                    self.one_owner_at_most();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// I1, with the right as the kernel program would enforce it.
    pub(super) fn one_owner_at_most(&self) {
        let mut owners = BTreeMap::new();
        for host in &self.hosts {
            for ip in host.stances.keys() {
                if host.owns(*ip, self.now) {
                    *owners.entry(*ip).or_insert(0) += 1;
                }
            }
        }
        assert!(owners.values().all(|count| *count <= 1), "two owners at {:?}: {owners:?}", self.now);
    }

    pub(super) fn owner(&self, ip: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.owns(ip, self.now))
    }
}

impl Host {
    pub(super) fn owns(&self, ip: IpAddr, now: Instant) -> bool {
        matches!(self.stances.get(&ip), Some(Stance::Owner { .. })) && now < self.node.right()
    }
}
