//! One machine: its clock, its kernel, and the agent that may or may not run on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use mantle_ebpf::wire::Mac;
use mantle_protocol::{
    Event, Instant, Key, Node, Request, Revision, Role, Settings, Standing, WhenNobodyIsReady,
};

use super::clock::{Clock, Micros};
use super::kernel::{Fence, Kernel, State};
use super::plan::HostPlan;
use super::world::Post;

/// One machine.
#[expect(clippy::struct_excessive_bools, reason = "each is a trouble of its own that a fault makes or ends")]
pub(super) struct Host {
    pub(super) plan: HostPlan,
    pub(super) clock: Clock,
    pub(super) kernel: Kernel,
    /// What fences it now.
    pub(super) fence: Fence,
    pub(super) agent: Option<Agent>,
    /// Counts the agents that ran here: what was meant for an earlier one reaches nobody.
    pub(super) life: u32,
    /// Counts the runtime directories: what an agent knows its predecessor by.
    pub(super) incarnation: u32,
    /// Whether it has power.
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    /// What came in while the agent was frozen.
    pub(super) mailbox: Vec<Post>,
    pub(super) reaches_etcd: bool,
    pub(super) hears_watch: bool,
    /// When a VIP's address was last seen in place and unanswered, and when the node last began to answer for one.
    pub(super) unanswered_at: BTreeMap<IpAddr, Micros>,
    pub(super) answered_at: BTreeMap<IpAddr, Micros>,
    /// Counts the MACs that its link has had.
    pub(super) cards: u8,
    /// VIPs whose links are not ready.
    pub(super) unready: BTreeSet<IpAddr>,
    /// VIPs for which nothing that is ordered succeeds.
    pub(super) sick: BTreeSet<IpAddr>,
    pub(super) slow_applier: bool,
    /// The latest sending of a renewal that etcd carried out, per session: what a lease may count from (I3).
    pub(super) renewed: BTreeMap<Revision, Instant>,
}

/// A running agent: the protocol, and what stands around it in the product.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) node: Node,
    /// What has come since its last turn.
    pub(super) inbox: Vec<Event>,
    /// Whether it is about to take that in.
    pub(super) turns: bool,
    /// The VIPs of its config.
    pub(super) vips: BTreeSet<IpAddr>,
    /// The session whose lease was moved last.
    pub(super) mark: Revision,
    /// The lease as this agent moved it last, and under which session.
    pub(super) granted: (Revision, Instant),
    pub(super) pending: BTreeMap<u64, Pending>,
    /// The renewals that were answered, and under which session they were asked for: a further copy of one may be
    /// acknowledged, too.
    pub(super) renewed: BTreeMap<u64, Option<Revision>>,
    /// When the next tick is on its way for.
    pub(super) wake: Option<Micros>,
    /// Whether its watch is established.
    pub(super) listening: bool,
    /// When the list reaches it that the watch goes on from.
    pub(super) lists_at: Micros,
    /// When the latest news of a key reaches it, where news of a key keep their order.
    pub(super) latest: BTreeMap<Key, Micros>,
    pub(super) applier: Applier,
    /// The role that was last ordered (I2), and under which session.
    pub(super) ordered: BTreeMap<IpAddr, (Role, Revision)>,
    /// The highest mod revision its view has shown of each key (I6).
    pub(super) shown: BTreeMap<Key, Revision>,
}

/// A transaction under way.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) request: Rc<Request>,
    /// The number of its present try.
    pub(super) attempt: u32,
    /// Whether a try's outcome is open.
    pub(super) open: bool,
}

/// An order to the applier.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// Stand so, under the session that was live when it was ordered.
    Stand(IpAddr, Role, Revision),
    /// The lease that lifetimes go by.
    Lease(Instant),
}

/// The applier: a thread of its own that carries out orders when it gets to them.
#[derive(Clone, Default)]
pub(super) struct Applier {
    pub(super) orders: VecDeque<Order>,
    pub(super) busy: bool,
    pub(super) lease: Instant,
    /// What is served by the last order carried out, and under which session it was ordered.
    pub(super) served: BTreeMap<IpAddr, Revision>,
    /// What is ordered to be served and still waits for a lease that is fresh enough.
    pub(super) waiting: BTreeMap<IpAddr, (Role, Revision)>,
}

impl Host {
    pub(super) fn new(plan: HostPlan, kernel: Kernel) -> Self {
        Self {
            // A machine that has been up for a while.
            clock: Clock::new(plan.rate, 0),
            fence: plan.fence,
            plan,
            kernel,
            agent: None,
            life: 0,
            incarnation: 0,
            is_up: true,
            is_frozen: false,
            mailbox: Vec::new(),
            reaches_etcd: true,
            hears_watch: true,
            unanswered_at: BTreeMap::new(),
            answered_at: BTreeMap::new(),
            cards: 1,
            unready: BTreeSet::new(),
            sick: BTreeSet::new(),
            slow_applier: false,
            renewed: BTreeMap::new(),
        }
    }

    /// A new agent, which knows nothing yet.
    pub(super) fn employ(&mut self, number: usize, vips: BTreeSet<IpAddr>, hold: WhenNobodyIsReady) {
        if self.life > 0 {
            self.plan.timing = self.plan.later_timing;
        }
        let settings = Settings {
            name: self.plan.name.parse().expect("the plan's names are good"),
            machine: format!("machine-{number}/{}", self.incarnation),
            timing: self.plan.timing,
            priority: self.plan.priority,
            when_nobody_is_ready: hold,
            drain: self.plan.drain,
            preempt: self.plan.preempt,
            vips: vips.clone(),
        };
        self.life += 1;
        self.is_frozen = false;
        self.mailbox.clear();
        self.agent = Some(Agent {
            node: Node::new(settings),
            inbox: Vec::new(),
            turns: false,
            vips,
            mark: 0,
            granted: (0, Instant::ZERO),
            pending: BTreeMap::new(),
            renewed: BTreeMap::new(),
            wake: None,
            listening: false,
            lists_at: 0,
            latest: BTreeMap::new(),
            applier: Applier::default(),
            ordered: BTreeMap::new(),
            shown: BTreeMap::new(),
        });
    }

    /// The agent is gone; what the kernel does for it stays.
    pub(super) fn dismiss(&mut self) {
        self.agent = None;
        self.life += 1;
        self.is_frozen = false;
        self.mailbox.clear();
    }

    /// How long it may at worst go on answering after it sent a renewal.
    pub(super) fn bound(&self) -> std::time::Duration {
        self.plan.bound_by(self.fence)
    }

    /// A VIP's address is about to change: if it is in place and unanswered, that is kept.
    pub(super) fn note_unanswered(&mut self, ip: IpAddr, now: Micros) {
        let state = self.kernel.entries.get(&ip).map(|entry| entry.state);
        if matches!(state, Some(State::Prepared | State::Forwarding)) {
            self.unanswered_at.insert(ip, now);
        }
    }

    /// The MAC that it answers with.
    pub(super) fn mac(&self, at: usize) -> Mac {
        Mac([2, 0, 0, 0, self.cards, u8::try_from(at).unwrap_or(u8::MAX)])
    }

    /// Whether an agent runs here that wants the VIP and could serve it; whether it has a session is its own affair.
    pub(super) fn wants(&self, ip: IpAddr) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.vips.contains(&ip) && !self.unready.contains(&ip))
    }

    /// Whether an agent runs here whose session lives.
    pub(super) fn is_live(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| matches!(agent.node.standing(), Standing::Live(_)))
    }

    /// Whether it serves what comes for the VIP, itself or by sending it on.
    pub(super) fn serves(&self, ip: IpAddr, now: Micros) -> bool {
        self.is_up && self.kernel.serves(ip, self.clock.at(now))
    }

    /// Whether neighbours hear it answer for the VIP.
    pub(super) fn is_heard(&self, ip: IpAddr, now: Micros) -> bool {
        self.is_up && self.kernel.is_heard(ip, self.clock.at(now))
    }
}
