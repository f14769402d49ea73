//! The protocol under a model checker: everything that can happen within bounds, in every order.
//!
//! The protocol is the product's own, driven as the agent drives it. Around it stand an etcd that is a linearizable
//! store, a watch of which each key's news keep their order and nothing else does, kernels that go on without their
//! agents, and clocks at the two ends of what the rule for S allows. True time goes in ticks; what can happen within a
//! tick happens in any order, and what does not happen in its tick is a fault, of which there are so many. So "within
//! the bounds" means: this long, with so many faults, each of any kind, at any time and for any time.
//!
//! Left to the simulator: foreign writes but for a deleted session, and what lies between two ticks; fences by lifetimes and
//! timings that differ, too. A lifetime is whole seconds long, and the ticks fit one timing: with two, or with lifetimes, a
//! takeover would be a hundred ticks away, and ten are what can be exhausted.

mod action;
mod exhaust;
mod hashed;
mod state;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;
use stateright::Property;

pub use action::{Action, End, Fault, Waiting};
pub use exhaust::{Exhausted, Violated, exhaust, refute};
pub use state::State;

use crate::{Clock, Kernel, Mutant, Store};
use hashed::Hashed;
use mantle_protocol::{Answer, Event, Key, NodeName, Purpose, Settings, Timing, WhenNobodyIsReady};
use state::Host;

/// How far a model goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many VIPs they compete for.
    pub vips: u8,
    /// Whether it begins with an owner and its standbys, or with agents that have just been started.
    pub settled: bool,
    /// How many ticks it goes on.
    pub ticks: u64,
    /// How many faults there are at most.
    pub faults: u8,
    /// How many agents are told at most to end, or to give up their VIPs.
    pub orders: u8,
    /// Whether the last node goes before the others, and is handed their VIPs.
    pub preempts: bool,
}

impl Bounds {
    /// Two nodes and one VIP, with an owner, for so long and with so many faults and orders.
    pub const fn settled(ticks: u64, faults: u8, orders: u8) -> Self {
        Self { nodes: 2, vips: 1, settled: true, ticks, faults, orders, preempts: false }
    }
}

/// The protocol within bounds, with one of its rules broken or none.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// How far it goes.
    pub bounds: Bounds,
    /// The rule that is broken.
    pub broken: Option<Mutant>,
}

impl Model {
    /// The name of the property that is I1.
    pub const ONE_ANSWERS: &str = "I1: one node at most answers";

    /// S is what the safety rule asks for at least.
    const TIMING: Timing = Timing {
        renew: Duration::from_millis(30),
        lease: Duration::from_micros(65_500),
        silence: Duration::from_micros(106_875),
    };

    /// One tick, by any clock.
    const PREEMPT: Duration = Duration::from_millis(20);

    /// Two ticks, by any clock.
    const DRAIN: Duration = Duration::from_millis(40);

    fn name(at: usize) -> NodeName {
        let name = ["a", "b", "c", "d"][at];
        name.parse().expect("these are good")
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        (1..=self.bounds.vips).map(|last| IpAddr::from([10, 0, 0, last]))
    }

    fn vips(&self) -> BTreeSet<IpAddr> {
        self.addresses().collect()
    }

    fn keys(&self) -> BTreeSet<Key> {
        let sessions = (0..self.bounds.nodes).map(|at| Key::Node(Self::name(at)));
        sessions.chain(self.vips().into_iter().map(Key::Vip)).collect()
    }

    fn settings(&self, at: usize, incarnation: u8) -> Settings {
        Settings {
            name: Self::name(at),
            machine: format!("{at}/{incarnation}"),
            timing: Self::TIMING,
            priority: if self.bounds.preempts && at == self.bounds.nodes - 1 { 200 } else { 100 },
            when_nobody_is_ready: WhenNobodyIsReady::Hold,
            drain: Self::DRAIN,
            preempt: self.bounds.preempts.then_some(Self::PREEMPT),
            vips: self.vips(),
        }
    }

    fn facts(&self, at: usize, is_ready: bool) -> Event {
        let last = if at == 0 { 1 } else { 2 };
        let mac = Mac([2, 0, 0, 0, 0, last]);
        let bound = Self::TIMING.lease;
        Event::Facts {
            links: BTreeMap::from([("eth0".to_owned(), mac)]),
            ready: if is_ready { self.vips() } else { BTreeSet::new() },
            bound: self.broken.map_or(bound, |mutant| mutant.bound(bound)),
            macs: self.addresses().map(|ip| (ip, mac)).collect(),
        }
    }

    fn breaks(&self, mutant: Mutant) -> bool {
        self.broken == Some(mutant)
    }

    /// Both agents are just being started on machines that have no history; the one or the other has the slower clock.
    /// What is renewed when depends on when the last one was started.
    fn begin(&self, slow: usize, later: u64) -> State {
        let timeless = self.breaks(Mutant::NoKernelDeadline);
        let host = |at| Host {
            clock: Clock::new(if at == slow { Clock::SLOWEST } else { Clock::FASTEST }, 0),
            kernel: Kernel { timeless, ..Kernel::default() },
            agent: None,
            life: 0,
            incarnation: 0,
            served: false,
            drained: false,
            asks: Vec::new(),
            is_cut: false,
            late_asks: Vec::new(),
        };
        let mut state = State {
            now: 0,
            dawn: false,
            turn: None,
            faults: self.bounds.faults,
            orders: self.bounds.orders,
            store: Hashed::new(Store::default()),
            hosts: (0..self.bounds.nodes).map(|at| Hashed::new(host(at))).collect(),
            broken: None,
        };
        for at in 0..self.bounds.nodes {
            if at == self.bounds.nodes - 1 {
                state.now = later;
            }
            state.start(self, at, true);
            if self.bounds.settled {
                self.settle(&mut state);
            }
        }
        state
    }

    /// Lets all go well until nobody has anything to do, in the one order in which things are offered.
    fn settle(&self, state: &mut State) {
        loop {
            let mut actions = Vec::new();
            state.offer(&mut actions);
            match actions.swap_remove(0) {
                Action::Pass => return,
                action => state.happen(self, action),
            }
        }
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(slow, later)| self.begin(slow, later)).to_vec()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.offer(actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.happen(self, action);
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.now < self.bounds.ticks
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Self::ONE_ANSWERS, |model: &Self, state: &State| {
                model.addresses().all(|ip| state.heard(ip) <= 1)
            }),
            Property::always("I4: what is given up is off", |_, state: &State| state.broken != Some("I4")),
            Property::always("I5: what is named is there", |_, state: &State| state.broken != Some("I5")),
            Property::sometimes("claim", |_, state: &State| state.was_done(Purpose::Claim, |_| true)),
            Property::sometimes("take over", |_, state: &State| state.was_done(Purpose::TakeOver, |_| true)),
            Property::sometimes("take back", |_, state: &State| {
                let served_in_turn = state.hosts.iter().filter(|host| host.served).count() > 1;
                served_in_turn && state.was_done(Purpose::Claim, |host| host.served)
            }),
            Property::sometimes("hand over", |_, state: &State| state.was_done(Purpose::HandOver, |_| true)),
            Property::sometimes("hand back", |_, state: &State| {
                let served_in_turn = state.hosts.iter().all(|host| host.served);
                served_in_turn && state.was_done(Purpose::HandOver, |host| host.drained)
            }),
            Property::sometimes("release", |_, state: &State| state.was_done(Purpose::Release, |_| true)),
            Property::sometimes("resume what stands", |_, state: &State| {
                state.was_done(Purpose::Resume, |host| !host.kernel.entries.is_empty())
            }),
            Property::sometimes("end", |_, state: &State| state.was_done(Purpose::End, |_| true)),
        ]
    }
}

impl State {
    /// Whether an agent of such a machine is about to hear that what it asked for was done.
    fn was_done(&self, purpose: Purpose, on: impl Fn(&Host) -> bool) -> bool {
        self.hosts.iter().any(|host| {
            let heard = |event: &Event| match event {
                Event::Answered { request, answer: Answer::Done(_), .. } => request.purpose == purpose,
                _ => false,
            };
            host.agent.as_ref().is_some_and(|agent| agent.words.iter().any(|word| heard(&word.event)))
                && on(host)
        })
    }
}
