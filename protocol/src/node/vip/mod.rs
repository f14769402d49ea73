//! One VIP, as this node knows it: what etcd says, what the machine allows, what the kernel does, and how far this node is
//! with it.

mod kernel;
mod phase;
mod record;

pub(super) use kernel::Kernel;
pub(super) use phase::{DrainLimits, Draining, Handoff, Input, Names, Ownership, Phase};
pub(super) use record::{KnownRecord, Owner};

use super::move_request::MoveRequest;
use crate::{Health, Instant};

/// One VIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Vip {
    /// What etcd says.
    pub(super) record: KnownRecord,
    /// What this node's machine and checks say.
    pub(super) local: Readiness,
    /// What the kernel does.
    pub(super) kernel: Kernel,
    /// How far this node is with it.
    pub(super) phase: Phase,
    /// The transaction on it.
    pub(super) inflight: Inflight,
    /// Why and where it is to move.
    pub(super) request: MoveRequest,
    /// What a node does under `whenNobodyIsReady: hold`.
    pub(super) hold: Hold,
}

/// Whether this node could be owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Readiness {
    /// Whether the machine could serve the VIP now.
    pub(super) servable: bool,
    /// How this node's checks judge it.
    pub(super) health: Health,
}

impl Readiness {
    /// Whether this node is ready to be owner, as its session says.
    pub(super) fn is_ready(self) -> bool {
        self.servable && self.health == Health::Good
    }
}

/// The transaction on a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Inflight {
    /// None is under way; the next may be sent from this instant on.
    None {
        /// That instant.
        retry_at: Instant,
    },
    /// One is under way.
    UnderWay,
}

impl Default for Inflight {
    fn default() -> Self {
        Self::None { retry_at: Instant::ZERO }
    }
}

impl Inflight {
    /// Whether a transaction on the VIP is under way.
    pub(super) fn is_under_way(self) -> bool {
        self == Self::UnderWay
    }
}

/// What a node remembers of a VIP for the case that its check fails and nobody else is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    /// Whether this node owned the VIP last: nobody else is known to have owned it since.
    pub(super) owned_last: bool,
    /// The VIP is not given up for its health before this instant: the last time a node that said to be ready did not take
    /// it.
    pub(super) keep_until: Instant,
}

impl Vip {
    /// A VIP of which an earlier agent left the address, or did not.
    pub(super) fn found(&mut self, stands: bool, mid_handoff: bool) {
        self.kernel = if stands { Kernel::left(mid_handoff) } else { Kernel::off() };
    }

    /// Moves the phase on.
    pub(super) fn step(&mut self, input: Input) {
        self.phase = std::mem::take(&mut self.phase).after(input);
    }
}
