//! Where an agent's effects are carried out: as its core does, and its applier.
//!
//! What is assumed of the applier: an entry is armed under the session that was live when that was ordered, and whether a
//! lifetime may still be begun is checked in the instant it is begun.

use std::net::IpAddr;

use mantle_protocol::{Effect, Event, Instant, Revision, Role};

use super::clock::Micros;
use super::host::{Host, Order};
use super::kernel::{Entry, Fence, State};
use super::mutant::Mutant;
use super::plan::HostPlan;
use super::world::{Post, World};

impl World {
    /// Carries out what the protocol wants done.
    pub(super) fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Commit(request) => self.ask(at, request),
            Effect::AssumeRole(ip, role) => self.order_role(at, ip, role),
            Effect::Grant(session, until) => self.move_lease(at, session, until),
            Effect::Revoke(session) => self.move_lease(at, session, Instant::ZERO),
            Effect::Relist => self.listen(at),
            Effect::Notify(happening) => {
                self.story.tell(self.now, || format!("{}: {happening:?}", self.hosts[at].plan.name));
            }
            Effect::Ended => {
                self.story.tell(self.now, || format!("{}: ends", self.hosts[at].plan.name));
                self.nothing_stands(at);
                self.hosts[at].dismiss();
            }
        }
    }

    fn order_role(&mut self, at: usize, ip: IpAddr, role: Role) {
        self.story.tell(self.now, || format!("{}: orders {ip} {role:?}", self.hosts[at].plan.name));
        let Some(agent) = &mut self.hosts[at].agent else { return };
        let mark = agent.mark;
        agent.ordered.insert(ip, (role, mark));
        self.yields_to_the_prepared(at, ip, role);
        self.sends_on_to_the_answering(at, ip, role);
        let unconfirmed = match self.mutant {
            Some(Mutant::OffBeforeConfirmed) => role == Role::Off,
            Some(Mutant::HandsOverUnconfirmed) => matches!(role, Role::Yielding { .. }),
            _ => false,
        };
        if unconfirmed {
            self.post(at, 0, Post::Word(Event::RoleConfirmed(ip, role)));
        }
        self.order(at, Order::Stand(ip, role, mark));
    }

    /// The kernel program's lease is moved at once, by the core; lifetimes are begun by the applier.
    fn move_lease(&mut self, at: usize, session: Revision, until: Instant) {
        self.lease_is_backed(at, session, until);
        let host = &mut self.hosts[at];
        let Some(agent) = &mut host.agent else { return };
        if host.plan.fence == Fence::Program {
            if self.mutant == Some(Mutant::EntriesOutliveTheSession) {
                for entry in host.kernel.entries.values_mut() {
                    entry.mark = session;
                }
            }
            agent.mark = session;
            host.kernel.grant(session, until);
        }
        agent.granted = (session, until);
        match host.fence {
            Fence::Program => self.one_answers_at_most(),
            Fence::Lifetime => self.order(at, Order::Lease(until)),
        }
    }

    /// What the config knows nothing of is taken off without the protocol's asking.
    pub(super) fn order_off(&mut self, at: usize, ip: IpAddr) {
        self.order(at, Order::Stand(ip, Role::Off, 0));
    }

    pub(super) fn order(&mut self, at: usize, order: Order) {
        let slow = self.hosts[at].slow_applier;
        let after = if slow { self.netlink_takes() } else { self.random.between(20, 3_000) };
        let Some(agent) = &mut self.hosts[at].agent else { return };
        agent.applier.orders.push_back(order);
        self.set_to_work(at, after);
    }

    /// The applier gets to their orders: one after the other, or all at once with only the last of a VIP's carried out.
    pub(super) fn applier(&mut self, at: usize) {
        let all = self.random.percent(50);
        let Host { agent: Some(agent), sick, .. } = &mut self.hosts[at] else { return };
        agent.applier.busy = false;
        let is_sick = |order: &Order| matches!(order, Order::Stand(ip, ..) if sick.contains(ip));
        if self.mutant == Some(Mutant::OneHoldsUpAll) && agent.applier.orders.iter().any(is_sick) {
            return self.set_to_work(at, 50_000);
        }
        let count = if all { agent.applier.orders.len() } else { 1 };
        let mut orders: Vec<Order> = agent.applier.orders.drain(..count).collect();
        let last_of_its_vip = |number: usize, ip: IpAddr| {
            !orders[number + 1..].iter().any(|order| matches!(order, Order::Stand(other, ..) if *other == ip))
        };
        let kept: Vec<bool> = (0..orders.len())
            .map(|number| match orders[number] {
                Order::Stand(ip, ..) => last_of_its_vip(number, ip),
                Order::Lease(_) => true,
            })
            .collect();
        let mut kept = kept.into_iter();
        orders.retain(|_| kept.next() == Some(true));
        for order in orders {
            match order {
                Order::Lease(until) => self.refresh(at, until),
                Order::Stand(ip, role, _) if self.hosts[at].sick.contains(&ip) => {
                    self.fail(at, ip, role);
                    let pause = self.random.between(20_000, 100_000);
                    self.post(at, pause, Post::Again(order));
                }
                Order::Stand(ip, role, mark) => self.stand(at, ip, role, mark),
            }
        }
        let after = if self.hosts[at].slow_applier { self.netlink_takes() } else { 20 };
        self.set_to_work(at, after);
    }

    /// How long a netlink call takes on a node whose applier is slow.
    fn netlink_takes(&mut self) -> Micros {
        self.random.between(0, 900_000)
    }

    /// What failed is tried again, unless something else was ordered meanwhile.
    pub(super) fn try_again(&mut self, at: usize, order: Order) {
        let Some(agent) = &self.hosts[at].agent else { return };
        if let Order::Stand(ip, role, mark) = order
            && agent.ordered.get(&ip).is_none_or(|last| *last == (role, mark))
        {
            self.order(at, order);
        }
    }

    /// Lets the applier get to its orders, if there are any and it is not about to.
    fn set_to_work(&mut self, at: usize, after: Micros) {
        let Some(agent) = &mut self.hosts[at].agent else { return };
        if !agent.applier.orders.is_empty() && !std::mem::replace(&mut agent.applier.busy, true) {
            self.post(at, after, Post::Applier);
        }
    }

    /// What is ordered off and fails to go is at least not kept up any more.
    fn fail(&mut self, at: usize, ip: IpAddr, role: Role) {
        if let Some(agent) = &mut self.hosts[at].agent
            && role == Role::Off
        {
            agent.applier.served.remove(&ip);
            agent.applier.waiting.remove(&ip);
        }
    }

    fn stand(&mut self, at: usize, ip: IpAddr, role: Role, mark: Revision) {
        self.hosts[at].note_unanswered(ip, self.now);
        let Some(agent) = &mut self.hosts[at].agent else { return };
        match role {
            Role::Off => {
                agent.applier.served.remove(&ip);
                agent.applier.waiting.remove(&ip);
                self.hosts[at].kernel.entries.remove(&ip);
                self.confirm(at, ip, role);
            }
            Role::Owner { .. } => {
                agent.applier.waiting.insert(ip, (role, mark));
                self.put_on(at);
            }
            Role::Prepared { .. } | Role::Yielding { .. } | Role::Forwarding { .. } => {
                agent.applier.served.remove(&ip);
                agent.applier.waiting.remove(&ip);
                let opens =
                    self.mutant == Some(Mutant::OpensOnTheOffer) && matches!(role, Role::Prepared { .. });
                let state = if opens { Some(State::Owner) } else { State::of(role) };
                if let Some(state) = state {
                    self.hosts[at].kernel.entries.insert(ip, Entry { state, mark, expires: None });
                }
                self.one_answers_at_most();
                self.confirm(at, ip, role);
            }
        }
    }

    fn refresh(&mut self, at: usize, until: Instant) {
        let Some(agent) = &mut self.hosts[at].agent else { return };
        let longer = until > agent.applier.lease;
        agent.applier.lease = until;
        if longer {
            self.renew_lifetimes(at);
            self.put_on(at);
        }
    }

    /// Puts on what waits for it.
    pub(super) fn put_on(&mut self, at: usize) {
        if !self.may_begin(at) {
            return;
        }
        let Some(agent) = &mut self.hosts[at].agent else { return };
        for (ip, (role, ordered_under)) in std::mem::take(&mut agent.applier.waiting) {
            // No fence that is slower than the record promises will do.
            let bound = self.hosts[at].bound();
            let bound = self.mutant.map_or(bound, |mutant| mutant.bound(bound));
            if matches!(role, Role::Owner { bound: promised, .. } if promised < bound) {
                if let Some(agent) = &mut self.hosts[at].agent {
                    agent.applier.waiting.insert(ip, (role, ordered_under));
                }
                continue;
            }
            let expires = self.lifetime(at);
            let host = &mut self.hosts[at];
            let mark =
                if self.mutant == Some(Mutant::MarkedWhenArmed) { host.kernel.mark } else { ordered_under };
            host.kernel.entries.insert(ip, Entry { state: State::Owner, mark, expires });
            host.answered_at.insert(ip, self.now);
            if let Some(agent) = &mut host.agent {
                agent.applier.served.insert(ip, mark);
            }
            self.confirm(at, ip, role);
        }
        self.one_answers_at_most();
    }

    fn renew_lifetimes(&mut self, at: usize) {
        if !self.may_begin(at) {
            return;
        }
        let Some(agent) = &self.hosts[at].agent else { return };
        let served: Vec<(IpAddr, Revision)> =
            agent.applier.served.iter().map(|(ip, mark)| (*ip, *mark)).collect();
        for (ip, mark) in served {
            let expires = self.lifetime(at);
            self.hosts[at].kernel.entries.insert(ip, Entry { state: State::Owner, mark, expires });
        }
        self.one_answers_at_most();
    }

    /// Whether a lifetime begun now ends within the bound; the kernel program needs no such question.
    fn may_begin(&self, at: usize) -> bool {
        let host = &self.hosts[at];
        let Some(agent) = &host.agent else { return false };
        let (now, lease) = (host.clock.at(self.now), agent.applier.lease);
        match host.fence {
            Fence::Program => true,
            Fence::Lifetime => now < lease && now <= lease - host.plan.timing.lease + HostPlan::ALLOWANCE,
        }
    }

    /// When a lifetime that begins now is over: the kernel may be up to a second late.
    fn lifetime(&mut self, at: usize) -> Option<Instant> {
        let late = std::time::Duration::from_millis(self.random.between(0, 1000));
        let host = &self.hosts[at];
        (host.fence == Fence::Lifetime).then(|| host.clock.at(self.now) + host.plan.lifetime() + late)
    }

    fn confirm(&mut self, at: usize, ip: IpAddr, role: Role) {
        self.story
            .tell(self.now, || format!("{}: the kernel stands to {ip} {role:?}", self.hosts[at].plan.name));
        // Always as long: the channel keeps the applier's words in order.
        self.post(at, 50, Post::Word(Event::RoleConfirmed(ip, role)));
    }
}
