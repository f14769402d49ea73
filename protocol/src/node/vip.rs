//! One VIP, as this node knows it and stands to it.

use std::time::Duration;

use super::handing::Handing;
use super::moving::Wishes;
use super::peers::Peers;
use crate::{Entry, Epoch, Health, Holder, Instant, NodeName, Revision, Role, Value};

/// Who holds a VIP, as far as this node can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// Nobody: it was released, or never held.
    #[default]
    Nobody,
    /// A node's session.
    By(Holder),
    /// Somebody, perhaps: the record is unreadable and was never read.
    Unknown,
}

/// One VIP.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Vip {
    /// Whether this node is ready for it, as its session says: it could be served and is in good health.
    pub(super) ready: bool,
    /// Whether the machine could serve it now.
    pub(super) servable: bool,
    /// How this node's checks judge it.
    pub(super) health: Health,
    /// Whether this node held it last: nobody else is known to have held it since.
    pub(super) held_last: bool,
    /// For its health it is not given up before: the last time nobody took it, though somebody said to be ready.
    pub(super) keep_until: Instant,
    /// The record's mod revision, 0 if there is none: what a transaction compares.
    pub(super) modified: Revision,
    /// Whether the record was readable when last seen. When it was deleted or overwritten by a foreign hand the last
    /// holder is presumed to go on: it may still answer, so its silence decides, and it mends the record itself.
    pub(super) readable: bool,
    /// The mod revision of the last readable record.
    pub(super) epoch: Epoch,
    /// Who holds it by the last readable record.
    pub(super) held: Held,
    /// Since when that has been known here.
    pub(super) since: Instant,
    /// The role asked for.
    pub(super) wanted: Option<Role>,
    /// The role the kernel confirmed; not known while a predecessor's address may stand.
    pub(super) stood: Option<Role>,
    /// This node is giving it up: it never re-arms under this record, whose release may be under way.
    pub(super) leaving: bool,
    /// What gives this record away may be under way, sent by a predecessor or answered by nothing: re-arm only by a
    /// transaction that changes the record.
    pub(super) doubtful: bool,
    /// A predecessor left it halfway in a handoff.
    pub(super) halfway: bool,
    /// How far it is on its way to another node.
    pub(super) handing: Option<Handing>,
    /// Why and where it is to move.
    pub(super) wishes: Wishes,
    /// A transaction on it is under way.
    pub(super) pending: bool,
    /// No new transaction on it before.
    pub(super) retry_at: Instant,
}

impl Default for Vip {
    fn default() -> Self {
        Self {
            ready: false,
            servable: false,
            health: Health::Good,
            held_last: false,
            keep_until: Instant::ZERO,
            modified: 0,
            readable: true,
            epoch: 0,
            held: Held::Nobody,
            since: Instant::ZERO,
            wanted: None,
            stood: None,
            leaving: false,
            doubtful: false,
            halfway: false,
            handing: None,
            wishes: Wishes::default(),
            pending: false,
            retry_at: Instant::ZERO,
        }
    }
}

impl Vip {
    /// Whether a predecessor left its address standing, and that halfway in a handoff.
    pub(super) fn found(&mut self, stands: bool, halfway: bool) {
        self.halfway = halfway;
        self.stood = if stands { None } else { Some(Role::Off) };
    }

    /// Takes in whether the machine could serve it; says whether this node's readiness changed.
    pub(super) fn can_be_served(&mut self, servable: bool) -> bool {
        self.servable = servable;
        self.decide_readiness()
    }

    /// Takes in how the checks judge it; says whether this node's readiness changed.
    pub(super) fn is_judged(&mut self, health: Health) -> bool {
        self.health = health;
        self.decide_readiness()
    }

    fn decide_readiness(&mut self) -> bool {
        let before = self.ready;
        self.ready = self.servable && self.health == Health::Good;
        self.ready != before
    }

    /// Whether a role is to be ordered now; if so it counts as ordered.
    ///
    /// A confirmation names the role and not the order, so an *off* must never be taken for a later one's: it would
    /// release a VIP that the order in between is just putting on (I4). Hence an order voids what was confirmed of an
    /// earlier *off*, and none to serve the VIP goes out while the confirmation of an *off* is on its way.
    pub(super) fn order(&mut self, due: Role) -> bool {
        let awaits_off = self.wanted == Some(Role::Off) && !self.is_off();
        if self.wanted == Some(due) || awaits_off {
            return false;
        }
        self.wanted = Some(due);
        if self.is_off() {
            // Nothing stands and nothing was ordered since: there is nothing to order off.
            if due == Role::Off {
                return false;
            }
            self.stood = None;
        }
        true
    }

    /// Takes in what the record's key now holds; says whether the holder changed.
    pub(super) fn record_is(&mut self, now: Instant, entry: Option<&Entry>) -> bool {
        self.modified = entry.map_or(0, |entry| entry.modified);
        let held = match entry.map(|entry| &entry.value) {
            Some(Value::Record(record)) => {
                self.readable = true;
                self.epoch = self.modified;
                record.owner.clone().map_or(Held::Nobody, Held::By)
            }
            Some(_) => {
                self.readable = false;
                if self.held == Held::Nobody { Held::Unknown } else { self.held.clone() }
            }
            None => {
                self.readable = self.held == Held::Nobody;
                self.held.clone()
            }
        };
        // Whatever a predecessor still had under way compared the revision that is gone now.
        self.doubtful = false;
        let news = held != self.held;
        if news {
            self.held = held;
            self.since = now;
            self.leaving = false;
        }
        news
    }

    /// The watch has come as far as the record. That its holder was never heard of is known from now on.
    pub(super) fn is_heard(&mut self, now: Instant, peers: &Peers) {
        if let Held::By(holder) = &self.held
            && peers.last_heard(holder).is_none()
        {
            self.since = now;
        }
    }

    /// Whether the record names this session.
    pub(super) fn names(&self, name: &NodeName, session: Revision) -> bool {
        matches!(&self.held, Held::By(holder) if holder.node == *name && holder.session == session)
    }

    /// How to serve it, if the record names the session that is entitled to and nothing speaks against it.
    pub(super) fn role_under(&self, name: &NodeName, entitled: Option<Revision>) -> Option<Role> {
        let session = entitled?;
        match &self.held {
            Held::By(holder) if self.names(name, session) && !self.leaving => match self.yielding() {
                Some(yielding) => Some(yielding),
                None if self.doubtful => None,
                None => Some(Role::Owner { epoch: self.epoch, bound: holder.bound, drain: None }),
            },
            _ => None,
        }
    }

    /// Whether the record promises others a shorter wait than this bound.
    pub(super) fn is_outgrown_by(&self, bound: Duration) -> bool {
        matches!(&self.held, Held::By(holder) if holder.bound < bound)
    }

    /// Whether the kernel confirmed that nothing is answered for it here, and nothing else is ordered.
    pub(super) fn is_silent(&self) -> bool {
        let silent = matches!(self.stood, Some(Role::Prepared { .. } | Role::Forwarding { .. }));
        self.is_off() || (silent && self.stood == self.wanted)
    }

    /// Whether it is ordered to stand here unanswered: from one such role to another it stays so, whenever the kernel does it.
    pub(super) fn is_to_be_silent(&self) -> bool {
        matches!(self.wanted, Some(Role::Prepared { .. } | Role::Forwarding { .. }))
    }

    /// Whether the kernel confirmed that nothing of it stands here.
    pub(super) fn is_off(&self) -> bool {
        self.stood == Some(Role::Off)
    }
}
