//! Requests that meet bad luck. What gives a VIP away is carried out only after its node has given up waiting for the answer:
//! etcd was slow, or a relay on the way was. Meanwhile something happens to the node that would have it serve the VIP again,
//! if it could. An agent dies just as it is about to rewrite a record of its own, and a session is deleted just before a record
//! would name it.

use std::net::IpAddr;
use std::rc::Rc;

use mantle_protocol::{Health, Key, Purpose, Record, Request, Value, Write};

use super::clock::Micros;
use super::etcd::Try;
use super::fault::Fault;
use super::host::Pending;
use super::world::{Item, Post, World};

impl World {
    /// In some worlds somebody deletes a session just before the record would name it.
    pub(super) fn meddle_at_the_worst_moment(&mut self, attempt: &Try) {
        if !self.plan.unlucky || self.now >= self.plan.schedule.over || !self.random.percent(20) {
            return;
        }
        let named = attempt.request.txn.writes().iter().find_map(|write| match write {
            Write::Put(Key::Vip(_), Value::Record(Record { owner: Some(owner) })) => Some(owner.node.clone()),
            _ => None,
        });
        if let Some(node) = named {
            self.meddle(&Write::Delete(Key::Node(node)));
        }
    }

    /// Whether a request is to be late.
    pub(super) fn is_to_be_late(&mut self, at: usize, request: &Request) -> bool {
        let gives_away = matches!(request.purpose, Purpose::HandOver | Purpose::Release);
        let ends = self.now + self.lease_of(at) + 200_000;
        self.plan.unlucky && gives_away && ends < self.plan.schedule.over && self.random.percent(40)
    }

    /// Sends a request late, has its node hear soon that nobody knows its outcome, and has something happen to the node.
    pub(super) fn send_late(&mut self, at: usize, number: u64, request: Rc<Request>) {
        let host = &self.hosts[at];
        let (sent, life) = (host.clock.at(self.now), host.life);
        let attempt = self.etcd.last_attempt();
        let late = self.random.between(10_000, self.lease_of(at));
        let vip = request.txn.writes().iter().find_map(|write| match write {
            Write::Put(Key::Vip(ip), _) => Some(*ip),
            _ => None,
        });
        if let Some(agent) = &mut self.hosts[at].agent {
            agent.pending.insert(number, Pending { request: Rc::clone(&request), attempt, open: true });
        }
        self.put(self.now + late, Item::Arrive(Try { at, life, number, attempt, sent, request }));
        let known = self.random.between(1_000, 20_000);
        self.post(at, known, Post::TimeOut { request: number, attempt });
        let meanwhile = self.random.between(0, 2 * known);
        match (self.random.index(3), vip) {
            (0, Some(vip)) => self.fault(meanwhile, Fault::Judge(at, vip, Health::Good)),
            (1, _) => {
                let vips = self.plan.vips.clone();
                self.fault(meanwhile, Fault::Kill(at));
                let start = meanwhile + self.random.between(0, 20_000);
                self.fault(start, Fault::Start { at, remembers: true, vips });
            }
            _ => {}
        }
    }

    /// In some worlds an agent dies just before it rewrites a record of its own. The next one starts much later.
    pub(super) fn dies_before_it_rewrites(&mut self, at: usize, request: &Request) -> bool {
        let starts = 8 * self.lease_of(at);
        if !self.plan.unlucky || self.now + starts >= self.plan.schedule.over {
            return false;
        }
        let host = &self.hosts[at];
        let is_own = |ip: &IpAddr| {
            let owner = self.owners.get(ip);
            owner.is_some_and(|(node, of)| node.as_str() == host.plan.name && request.session == Some(*of))
        };
        let rewrites = request.purpose == Purpose::Claim
            && request
                .txn
                .writes()
                .iter()
                .any(|write| matches!(write, Write::Put(Key::Vip(ip), _) if is_own(ip)));
        if !rewrites || self.random.percent(60) {
            return false;
        }
        let vips = self.plan.vips.clone();
        self.fault(0, Fault::Kill(at));
        self.fault(starts, Fault::Start { at, remembers: true, vips });
        true
    }

    fn fault(&mut self, after: Micros, fault: Fault) {
        self.put(self.now + after, Item::Fault(fault));
    }

    fn lease_of(&self, at: usize) -> Micros {
        let host = &self.hosts[at];
        host.clock.truly(host.plan.timing.lease)
    }
}
