//! Nodes, one store and one clock: everything is delivered at once unless a test holds it back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;
use mantle_protocol::{
    Answer, Change, Effect, Event, Instant, Node, Notice, Purpose, Request, Role, Settings, Timing,
    WhenNobodyIsReady, Write,
};
use mantle_sim::Store;

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own that a test throws")]
#[derive(Clone)]
pub(super) struct Host {
    pub(super) node: Node,
    /// How the kernel stands: what the last confirmed order left.
    pub(super) roles: BTreeMap<IpAddr, Role>,
    /// Every role that was ordered.
    pub(super) ordered: Vec<Role>,
    pub(super) told: Vec<Notice>,
    pub(super) committed: Vec<Purpose>,
    /// Every transaction that was asked for.
    pub(super) asked: Vec<Request>,
    pub(super) ended: bool,
    /// Whether its transactions reach etcd.
    pub(super) etcd: bool,
    /// Whether it hears the watch.
    pub(super) watch: bool,
    /// Whether it is given a list when it asks for one.
    pub(super) lists: bool,
    /// Whether it runs.
    pub(super) runs: bool,
    /// Whether it stands still, and what came in meanwhile.
    pub(super) is_frozen: bool,
    mailbox: Vec<(usize, Post)>,
    /// The lease that an earlier agent left to the kernel.
    left: Instant,
    /// Whether its kernel confirms orders.
    pub(super) confirms: bool,
    /// Whether the kernel program fences what it is ready for: it can take part in handoffs.
    pub(super) fenced: bool,
    /// How long it waits for an answer: D.
    patience: Duration,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) store: Store,
    pub(super) hosts: Vec<Host>,
    /// Whether nodes that are started are fenced by the kernel program.
    pub(super) fenced: bool,
    /// What is on its way, in order.
    inbox: VecDeque<(usize, Post)>,
    /// Requests that reach etcd only when they are let go on.
    late: Vec<Request>,
    /// Whether etcd loses what it is asked, as one that has lost its leader does.
    pub(super) loses: bool,
    /// What was lost, by whom, and when that is given up.
    lost: BTreeMap<(Instant, usize), Vec<Request>>,
}

/// What is on its way to or from a node.
#[derive(Clone, Debug)]
enum Post {
    /// An event, to the node.
    Event(Event),
    /// A transaction, to etcd.
    Request(Request),
    /// An order, to the kernel.
    Order(IpAddr, Role),
}

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The MAC that a node answers with.
pub(super) fn mac(at: usize) -> Mac {
    Mac([2, 0, 0, 0, 1, u8::try_from(at).unwrap()])
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
        drain: ms(10_000),
        preempt: None,
        vips: vips.iter().copied().collect(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: Instant::ZERO + ms(60_000),
            store: Store::default(),
            hosts: Vec::new(),
            fenced: false,
            inbox: VecDeque::new(),
            late: Vec::new(),
            loses: false,
            lost: BTreeMap::new(),
        }
    }

    /// Starts a node whose machine is in order, with `found` left standing by a predecessor.
    pub(super) fn start(&mut self, settings: Settings, found: &[IpAddr]) -> usize {
        let at = self.hosts.len();
        let ready = settings.vips.clone();
        let patience = settings.timing.lease;
        self.hosts.push(Host {
            node: Node::new(settings),
            roles: BTreeMap::new(),
            ordered: Vec::new(),
            told: Vec::new(),
            committed: Vec::new(),
            asked: Vec::new(),
            ended: false,
            etcd: true,
            watch: true,
            lists: true,
            runs: true,
            is_frozen: false,
            mailbox: Vec::new(),
            left: Instant::ZERO,
            confirms: true,
            fenced: self.fenced,
            patience,
        });
        self.found(at, found);
        self.facts(at, ready, patience);
        self.relist(at);
        at
    }

    /// A new agent on the same machine, whose predecessor's addresses stand or not.
    pub(super) fn restart(&mut self, at: usize, settings: Settings, found: &[IpAddr]) {
        let ready = settings.vips.clone();
        self.inbox.retain(|(to, post)| *to != at || matches!(post, Post::Request(_)));
        let host = &mut self.hosts[at];
        host.left = host.node.lease();
        host.node = Node::new(settings);
        (host.runs, host.is_frozen, host.ended) = (true, false, false);
        host.mailbox.clear();
        host.committed.clear();
        host.roles.retain(|ip, _| found.contains(ip));
        self.found(at, found);
        self.ready(at, ready);
        self.relist(at);
    }

    fn found(&mut self, at: usize, found: &[IpAddr]) {
        let standing: BTreeSet<IpAddr> = found.iter().copied().collect();
        let served = |ip: &IpAddr| matches!(self.hosts[at].roles.get(ip), None | Some(Role::Owner { .. }));
        let halfway = standing.iter().copied().filter(|ip| !served(ip)).collect();
        self.give(at, Event::Found { standing, halfway });
    }

    pub(super) fn ready(&mut self, at: usize, ready: BTreeSet<IpAddr>) {
        self.facts(at, ready, Timing::DEFAULT.lease);
    }

    /// Tells a node what it could wear now, and the bound of its slowest fence.
    pub(super) fn facts(&mut self, at: usize, ready: BTreeSet<IpAddr>, bound: Duration) {
        let links = BTreeMap::new();
        let mac = mac(at);
        let macs = ready.iter().filter(|_| self.hosts[at].fenced).map(|ip| (*ip, mac)).collect();
        self.give(at, Event::Facts { links, ready, bound, macs });
    }

    pub(super) fn relist(&mut self, at: usize) {
        let (revision, list) = (self.store.revision, self.store.list());
        self.give(at, Event::Listed(revision, list));
    }

    /// Gives a node an event and carries out everything that follows from it.
    pub(super) fn give(&mut self, at: usize, event: Event) {
        self.put(at, event);
        self.settle();
    }

    /// Puts an event on its way to a node.
    pub(super) fn put(&mut self, at: usize, event: Event) {
        self.inbox.push_back((at, Post::Event(event)));
    }

    /// Puts an order on its way to a node's kernel.
    pub(super) fn order(&mut self, at: usize, ip: IpAddr, role: Role) {
        self.inbox.push_back((at, Post::Order(ip, role)));
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    /// Lets the one thing happen that is on its way for the longest time; says whether there was any.
    pub(super) fn step(&mut self) -> bool {
        let Some((at, post)) = self.inbox.pop_front() else { return false };
        match post {
            Post::Request(request) => self.commit(at, request),
            post if self.hosts[at].is_frozen => self.hosts[at].mailbox.push((at, post)),
            Post::Event(event) if self.hosts[at].runs => {
                for effect in self.hosts[at].node.handle(self.now, event) {
                    self.carry_out(at, effect);
                }
            }
            Post::Order(ip, role) if self.hosts[at].runs => {
                self.hosts[at].roles.insert(ip, role);
                // A kernel that confirms nothing is the test's own affair.
                if self.hosts.iter().all(|host| host.confirms) {
                    self.one_owner_at_most();
                }
                self.put(at, Event::RoleConfirmed(ip, role));
            }
            Post::Event(_) | Post::Order(..) => {}
        }
        true
    }

    /// An agent stops where it is; its kernel goes on.
    pub(super) fn freeze(&mut self, at: usize) {
        self.hosts[at].is_frozen = true;
    }

    /// It goes on, with what came in meanwhile.
    pub(super) fn thaw(&mut self, at: usize) {
        self.hosts[at].is_frozen = false;
        let mailbox = std::mem::take(&mut self.hosts[at].mailbox);
        self.inbox.extend(mailbox);
        self.give(at, Event::Tick);
    }

    /// What was held up on its way to etcd gets there.
    pub(super) fn let_late_requests_go_on(&mut self) {
        for request in std::mem::take(&mut self.late) {
            let (_, changes) = self.store.commit(&request.txn);
            self.show(&changes);
        }
        self.settle();
    }

    /// A copy of what a node asked for, sent to another endpoint, gets to etcd late: nobody waits for its answer any more.
    pub(super) fn carry_out_copy(&mut self, request: &Request) {
        let (_, changes) = self.store.commit(&request.txn);
        self.show(&changes);
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Commit(request) => {
                self.hosts[at].committed.push(request.purpose);
                self.hosts[at].asked.push(request.clone());
                self.inbox.push_back((at, Post::Request(request)));
            }
            Effect::AssumeRole(ip, role) => {
                self.hosts[at].ordered.push(role);
                if self.hosts[at].confirms {
                    self.order(at, ip, role);
                }
            }
            Effect::Grant(..) | Effect::Revoke(_) => {}
            Effect::Relist if !self.hosts[at].lists => {}
            Effect::Relist => {
                let (revision, list) = (self.store.revision, self.store.list());
                self.put(at, Event::Listed(revision, list));
            }
            Effect::Notify(happening) => self.hosts[at].told.push(happening),
            Effect::Ended => self.hosts[at].ended = true,
        }
    }

    fn commit(&mut self, at: usize, request: Request) {
        if self.loses {
            let given_up = self.now + self.hosts[at].patience;
            return self.lost.entry((given_up, at)).or_default().push(request);
        }
        let answer = if self.hosts[at].etcd {
            let (answer, changes) = self.store.commit(&request.txn);
            self.show(&changes);
            answer
        } else {
            self.late.push(request.clone());
            Answer::Unknown
        };
        let sent = request.decided;
        self.put(at, Event::Answered { request, sent, answer });
    }

    fn show(&mut self, changes: &[Change]) {
        for (at, host) in self.hosts.iter().enumerate() {
            if host.watch && !changes.is_empty() {
                self.inbox.push_back((at, Post::Event(Event::Changed(changes.to_vec()))));
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
            let due =
                self.hosts.iter().enumerate().filter(|(_, host)| host.runs && !host.is_frozen && !host.ended);
            let next = due
                .map(|(at, host)| (host.node.deadline().max(self.now + Duration::from_micros(10)), at))
                .min();
            let given_up = self.lost.keys().next().copied().filter(|(due, _)| *due <= end);
            if let Some(due) = given_up.filter(|due| next.is_none_or(|next| *due <= next)) {
                self.now = due.0;
                for request in self.lost.remove(&due).into_iter().flatten() {
                    let sent = request.decided;
                    self.put(due.1, Event::Answered { request, sent, answer: Answer::Unknown });
                }
                self.settle();
                continue;
            }
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

    /// I1, with the lease as the kernel program would enforce it.
    pub(super) fn one_owner_at_most(&self) {
        let mut owners = BTreeMap::new();
        for host in &self.hosts {
            for ip in host.roles.keys() {
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
        let until = self.node.lease().max(self.left);
        matches!(self.roles.get(&ip), Some(Role::Owner { .. })) && now < until
    }
}
