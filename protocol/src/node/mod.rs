//! A node: one state machine for its session, its lease and all of its VIPs.
//!
//! Everything is level-triggered. An event changes what the node knows; then the node compares what it knows with what it
//! has asked for, and gives the difference as effects. So a late, doubled or missing event can delay a step, never cause a
//! wrong one.
//!
//! | to read | file |
//! |---|---|
//! | what happens in which order | this one, [`Node::handle_all`] |
//! | how an event changes what is known | `intake.rs`, `answers.rs` |
//! | the state machine of a VIP | `vip/phase.rs` |
//! | how far a handoff or a drain has come | `advance.rs`, `move_request.rs` |
//! | which transaction is due for a VIP | `next.rs`, then `commit.rs` |
//! | the session and the lease | `session.rs`, `lease.rs`, `own.rs` |
//! | what the kernel is to do for a VIP | `roles.rs` |
//! | what is known of the other nodes | `peers.rs`, `offers.rs` |

mod advance;
mod answers;
mod commit;
mod event;
mod forget;
mod intake;
mod lease;
mod move_request;
mod next;
mod no_handoff;
mod notice;
mod offers;
mod own;
mod peers;
mod roles;
mod session;
mod status;
mod vip;
mod word;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;

pub use event::{Effect, Event, Purpose, Request};
pub use no_handoff::NoHandoff;
pub use notice::{How, Notice};
use offers::Offers;
use own::Own;
pub use own::Standing;
use peers::Peers;
pub use status::{PeerStatus, VipStatus};
use vip::Vip;

use crate::{Instant, Key, NodeName, Revision, Timing, View, WhenNobodyIsReady};

/// What a node is given once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Its name.
    pub name: NodeName,
    /// The machine and this boot of it; see [`Session::machine`](crate::Session::machine).
    pub machine: String,
    /// Its timing.
    pub timing: Timing,
    /// Who goes first.
    pub priority: u32,
    /// What it does with a VIP whose check fails on it while no other node is ready for it.
    pub when_nobody_is_ready: WhenNobodyIsReady,
    /// How long it serves the connections of a VIP that it has handed over; zero if not at all.
    pub drain: Duration,
    /// After how long it hands a VIP over to a node of higher priority that is ready for it; never, if there is none.
    pub preempt: Option<Duration>,
    /// The VIPs it competes for.
    pub vips: BTreeSet<IpAddr>,
}

/// A node that is to follow as owner, by name and session.
type Successor = (NodeName, Revision);

/// One running agent, as the protocol sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    settings: Settings,
    view: View,
    /// The revision up to which everything has been heard, in order: by a list and the watch, and by nothing else.
    heard: Revision,
    /// Whether the keys have been listed once.
    listed: bool,
    own: Own,
    /// Until when this node may act as owner of what is recorded as its own.
    lease: Instant,
    peers: Peers,
    /// What is offered to this node.
    offers: Offers,
    machine: Machine,
    vips: BTreeMap<IpAddr, Vip>,
    stopping: bool,
    /// How many VIPs were recorded as this node's own while its lease was over, when roles were last assigned.
    lapsed: usize,
    /// A session came or went, or a record changed its owner: some session may be of no interest any more.
    sessions_changed: bool,
    /// When something is due next.
    wake: Instant,
    effects: Vec<Effect>,
}

/// What the machine last said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Machine {
    /// The MAC of each link that carries a VIP; nothing is begun before these are known.
    links: Option<BTreeMap<String, Mac>>,
    /// The addresses that it publishes as its own.
    addresses: Vec<IpAddr>,
    /// The MACs of the VIPs of which the kernel program can carry a handoff.
    macs: BTreeMap<IpAddr, Mac>,
    /// How long it may at worst go on answering after it sent a renewal: what its slowest fence allows.
    bound: Duration,
}

impl Node {
    /// A node that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        let vips = settings.vips.iter().map(|ip| (*ip, Vip::default())).collect();
        Self {
            settings,
            view: View::default(),
            heard: 0,
            listed: false,
            own: Own::default(),
            lease: Instant::ZERO,
            peers: Peers::default(),
            offers: Offers::default(),
            machine: Machine {
                links: None,
                addresses: Vec::new(),
                macs: BTreeMap::new(),
                bound: Timing::LONGEST_BOUND,
            },
            vips,
            stopping: false,
            lapsed: 0,
            sessions_changed: false,
            wake: Instant::ZERO,
            effects: Vec::new(),
        }
    }

    /// Takes in an event at `now` and gives what is to be done.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        self.handle_all(now, [event])
    }

    /// Takes in all events that have come by `now`, in their order, and gives what is to be done about them together: VIPs
    /// that are given up or come free at the same time move in one transaction.
    ///
    /// The order of the steps is part of the protocol.
    pub fn handle_all(&mut self, now: Instant, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        // 1. All events first: what is decided below is decided on the latest news. A lost session is lost before anything
        //    else is asked for in its name (I6).
        for event in events {
            self.take_in(now, event);
        }
        self.wake = Instant::from_boot(Duration::MAX);
        // 2. Drains and handoffs move on by time and by what the others say, so that the transactions of the next step are
        //    those of the phase that holds now.
        self.advance_drains(now);
        // 3. Transactions on VIPs. Each renews the session too, where it can: so they come before the renewal.
        self.move_vips(now);
        // 4. The session says what steps 2 and 3 have come to, and is renewed, if that is due.
        self.keep_session(now);
        // 5. Roles come last. They follow from the phases, and step 4 may have ended the session: nothing is served on what
        //    an earlier step still took for granted (I2).
        self.assign_roles(now);
        // 6. What is of no interest any more is forgotten, once every step has seen it.
        self.forget();
        std::mem::take(&mut self.effects)
    }

    /// When to call again with [`Event::Tick`], whatever else happens.
    pub fn deadline(&self) -> Instant {
        self.wake
    }

    fn wake_at(&mut self, at: Instant) {
        self.wake = self.wake.min(at);
    }

    fn notify(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }

    fn own_key(&self) -> Key {
        Key::Node(self.settings.name.clone())
    }

    /// Whether the kernel program can carry a handoff of the VIP on this node.
    fn can_hand_over(&self, ip: IpAddr) -> bool {
        self.machine.macs.contains_key(&ip)
    }

    /// How long each step of a handoff may take.
    fn step_limit(&self) -> Duration {
        self.settings.timing.lease / 2
    }
}

#[cfg(test)]
mod tests;
