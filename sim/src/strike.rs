//! How faults come about.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mantle_protocol::{Event, Key, Role, Value, Write};

use super::clock::Clock;
use super::fault::Fault;
use super::kernel::{Fence, Kernel, State};
use super::mutant::Mutant;
use super::world::{Post, World};

impl World {
    /// Lets something go wrong, or puts it lease.
    pub(super) fn strike(&mut self, fault: Fault) {
        self.story.tell(self.now, || format!("-- {fault:?}"));
        match fault {
            Fault::Freeze(at) => self.freeze(at),
            Fault::Thaw(at) => self.thaw(at),
            Fault::Kill(at) => self.hosts[at].dismiss(),
            Fault::Start { at, remembers, vips } => self.start(at, remembers, vips),
            Fault::Crash(at) => {
                self.hosts[at].dismiss();
                self.hosts[at].is_up = false;
                for number in 0..self.plan.vips.len() {
                    let ip = self.plan.vips[number];
                    self.hosts[at].note_unanswered(ip, self.now);
                }
                let timeless = self.hosts[at].kernel.timeless;
                self.hosts[at].kernel = Kernel { timeless, ..Kernel::default() };
            }
            Fault::Boot(at) => self.boot(at),
            Fault::Move { at, vip, to } => {
                let to = to.map(|to| self.hosts[to].plan.name.parse().expect("the plan's names are good"));
                self.post(at, 0, Post::Word(Event::HandOff { vip, to }));
            }
            Fault::Judge(at, vip, health) => {
                self.post(at, 0, Post::Word(Event::Health(BTreeMap::from([(vip, health)]))));
            }
            Fault::Drained(at, vip) => self.post(at, 0, Post::Word(Event::Drained(vip))),
            Fault::Stop(at) => self.post(at, 0, Post::Word(Event::Stop)),
            Fault::CutEtcd(at) => self.hosts[at].reaches_etcd = false,
            Fault::JoinEtcd(at) => self.hosts[at].reaches_etcd = true,
            Fault::CutWatch(at) => self.hosts[at].hears_watch = false,
            Fault::JoinWatch(at) => {
                self.hosts[at].hears_watch = true;
                self.listen(at);
            }
            Fault::Stall => self.etcd.stalled = true,
            Fault::Resume => self.go_on(),
            Fault::SlowDisk => self.etcd.slow_disk = true,
            Fault::FastDisk => self.etcd.slow_disk = false,
            Fault::Loss => self.etcd.lossy = true,
            Fault::NoLoss => self.etcd.lossy = false,
            Fault::Unready(at, vips) => {
                self.hosts[at].unready = vips.into_iter().collect();
                self.tell_facts(at);
            }
            Fault::Ready(at) => {
                self.hosts[at].unready.clear();
                self.tell_facts(at);
            }
            Fault::Sick(at, vip) => {
                self.hosts[at].sick.insert(vip);
            }
            Fault::Well(at, vip) => {
                self.hosts[at].sick.remove(&vip);
            }
            Fault::Snapshot => self.etcd.kept = self.etcd.store.clone(),
            Fault::Restore => self.restore(),
            Fault::Clone => self.clone_machine(),
            Fault::Blind(at) => self.change_fence(at, Fence::Lifetime),
            Fault::Sighted(at) => {
                let fence = self.hosts[at].plan.fence;
                self.change_fence(at, fence);
            }
            Fault::NewCard(at) => {
                self.hosts[at].cards += 1;
                self.tell_facts(at);
            }
            Fault::SlowApplier(at) => self.hosts[at].slow_applier = true,
            Fault::FastApplier(at) => self.hosts[at].slow_applier = false,
            Fault::DeleteSession(at) => {
                let key = self.session_key(at);
                self.meddle(&Write::Delete(key));
            }
            Fault::SpoilSession(at) => {
                let key = self.session_key(at);
                self.meddle(&Write::Put(key, Value::Garbage));
            }
            Fault::SpoilRecord(vip) => self.meddle(&Write::Put(Key::Vip(vip), Value::Garbage)),
            Fault::DeleteRecord(vip) => self.meddle(&Write::Delete(Key::Vip(vip))),
        }
    }

    fn session_key(&self, at: usize) -> Key {
        Key::Node(self.hosts[at].plan.name.parse().expect("the plan's names are good"))
    }

    /// A foreign hand writes, if there is something to write over.
    pub(super) fn meddle(&mut self, write: &Write) {
        let (Write::Put(key, _) | Write::Delete(key)) = write;
        if self.etcd.store.keys.contains_key(key) {
            let changes = self.etcd.store.force(write);
            self.note_owners(&changes);
            self.show(&changes);
        }
    }

    fn freeze(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.is_frozen = host.agent.is_some();
        if host.is_frozen && self.mutant == Some(Mutant::ClockStopsWhileFrozen) {
            host.clock.stop(self.now);
        }
    }

    /// What came in meanwhile reaches the agent at once, in an order that depends on the channels it came by.
    fn thaw(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if !std::mem::take(&mut host.is_frozen) {
            return;
        }
        host.clock.go_on(self.now);
        if let Some(agent) = &mut host.agent {
            agent.wake = None;
        }
        let answers_first = self.random.percent(50);
        let (mut soon, mut later) = (Vec::new(), vec![Post::Wake]);
        for post in std::mem::take(&mut self.hosts[at].mailbox) {
            let is_answer = matches!(post, Post::Reply { .. } | Post::Word(_));
            if is_answer == answers_first { soon.push(post) } else { later.push(post) }
        }
        let mut after = 0;
        for post in soon.into_iter().chain(later) {
            after += self.random.between(5, 60);
            self.post(at, after, post);
        }
    }

    /// etcd comes back as it was when it was kept. What is on its way finds that; every watch begins anew.
    fn restore(&mut self) {
        self.etcd.store = self.etcd.kept.clone();
        for at in 0..self.hosts.len() {
            self.listen(at);
        }
    }

    /// The last machine is the first one's copy: its clock, its kernel and its agent, which knows nothing of that.
    fn clone_machine(&mut self) {
        let clone = self.hosts.len() - 1;
        let Some(agent) = self.hosts[0].agent.clone() else { return };
        let (clock, kernel, incarnation) =
            (self.hosts[0].clock.clone(), self.hosts[0].kernel.clone(), self.hosts[0].incarnation);
        let pending: Vec<(u64, u32)> =
            agent.pending.iter().map(|(number, it)| (*number, it.attempt)).collect();
        let host = &mut self.hosts[clone];
        host.life += 1;
        (host.clock, host.kernel, host.incarnation, host.agent) = (clock, kernel, incarnation, Some(agent));
        if let Some(agent) = &mut host.agent {
            (agent.wake, agent.turns, agent.applier.busy) = (None, false, false);
        }
        for (request, attempt) in pending {
            self.post(clone, 150_000, Post::TimeOut { request, attempt });
        }
        self.post(clone, 0, Post::Wake);
        self.listen(clone);
        self.one_answers_at_most();
    }

    /// Another fence from now on. What is served behind the program is taken off at once, and put on again behind a lifetime
    /// when the record promises no shorter bound than that.
    fn change_fence(&mut self, at: usize, fence: Fence) {
        let host = &mut self.hosts[at];
        if host.fence == fence {
            return;
        }
        host.fence = fence;
        if fence == Fence::Lifetime {
            host.kernel.entries.retain(|_, entry| entry.state != State::Owner);
        }
        if let Some(agent) = &mut host.agent {
            agent.applier.lease = agent.node.lease();
            let served = std::mem::take(&mut agent.applier.served);
            let again = served.keys().filter_map(|ip| Some((*ip, *agent.ordered.get(ip)?)));
            agent.applier.waiting.extend(again.filter(|(_, (role, _))| matches!(role, Role::Owner { .. })));
        }
        self.tell_facts(at);
        self.put_on(at);
    }

    fn boot(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if !std::mem::replace(&mut host.is_up, true) {
            host.clock = Clock::new(host.plan.rate, self.now - 1_000_000.min(self.now));
            host.renewed.clear();
        }
    }

    fn start(&mut self, at: usize, remembers: bool, vips: Vec<IpAddr>) {
        if self.hosts[at].agent.is_some() || !self.hosts[at].is_up {
            return;
        }
        self.hosts[at].incarnation += u32::from(!remembers);
        let hold = self.plan.when_nobody_is_ready;
        self.hosts[at].employ(at, vips.into_iter().collect(), hold);
        self.find_leftovers(at);
        let after = self.random.between(10, 20_000);
        self.put_facts(at, after);
        self.listen(at);
    }

    /// What a predecessor left is told of; what the config knows nothing of is taken off first, if that succeeds.
    fn find_leftovers(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let now = host.clock.at(self.now);
        let Some(agent) = &mut host.agent else { return };
        let kernel = &mut host.kernel;
        kernel.entries.retain(|ip, _| agent.vips.contains(ip) || host.sick.contains(ip));
        let found: BTreeSet<IpAddr> =
            kernel.entries.keys().copied().filter(|ip| kernel.stands(*ip, now)).collect();
        let strays: Vec<IpAddr> = found.iter().copied().filter(|ip| !agent.vips.contains(ip)).collect();
        let halfway = found.iter().copied().filter(|ip| kernel.is_halfway(*ip)).collect();
        let standing =
            if self.mutant == Some(Mutant::EntriesOutliveTheSession) { BTreeSet::new() } else { found };
        self.post(at, 0, Post::Word(Event::Found { standing, halfway }));
        for ip in strays {
            self.order_off(at, ip);
        }
    }

    /// Tells the agent what its machine allows.
    fn tell_facts(&mut self, at: usize) {
        self.put_facts(at, 100);
    }

    fn put_facts(&mut self, at: usize, after: u64) {
        let host = &self.hosts[at];
        let Some(agent) = &host.agent else { return };
        let ready = agent.vips.difference(&host.unready).copied().collect();
        let bound = host.bound();
        let bound = self.mutant.map_or(bound, |mutant| mutant.bound(bound));
        let links = BTreeMap::from([("eth0".to_owned(), host.mac(at))]);
        let mac = host.mac(at);
        let fenced = host.fence == Fence::Program;
        let macs = agent.vips.iter().filter(|_| fenced).map(|ip| (*ip, mac)).collect();
        self.post(at, after, Post::Word(Event::Facts { links, ready, bound, macs }));
    }

    /// Tells the story who is who.
    pub(super) fn introduce(&mut self, at: usize) {
        let plan = &self.hosts[at].plan;
        self.story.tell(0, || {
            let fence = match plan.fence {
                Fence::Program => "the kernel program",
                Fence::Lifetime => "lifetimes",
            };
            let timing = plan.timing;
            format!(
                "{}: {:?}/{:?}/{:?}, fenced by {fence}, its clock at {} ppm",
                plan.name, timing.renew, timing.lease, timing.silence, plan.rate
            )
        });
    }
}
