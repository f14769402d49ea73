//! How far this node is in taking, keeping and giving away one VIP: the state machine of the protocol.
//!
//! ```mermaid
//! stateDiagram-v2
//!     [*] --> NotOurs
//!     NotOurs --> Serving: record names us
//!     NotOurs --> Serving: session back
//!     NotOurs --> MustRewrite: session back, must rewrite
//!     Serving --> Offered: offer
//!     Offered --> Serving: withdraw
//!     Offered --> Yielding: prepared
//!     Yielding --> Serving: withdraw
//!     Yielding --> InDoubt: handover unknown
//!     Yielding --> Draining: record names successor
//!     InDoubt --> Draining: record names successor
//!     Draining --> Forwarding: successor answers
//!     Draining --> NotOurs: drain over
//!     Forwarding --> NotOurs: drain over
//!     Serving --> Releasing: give up
//!     Releasing --> NotOurs: record names another
//! ```
//!
//! `Yielding` with `in_doubt` is drawn as `InDoubt`, `Draining` with `opened` as `Forwarding`. Not drawn, as they go out
//! from almost everywhere: a lost session, and a record that names another node, lead to `NotOurs`; a record that names this
//! node leads to `Serving`, but from `Releasing`; "give up" leads from each phase of an owner to `Releasing`. The whole table
//! stands in docs/protocol.md, and a test compares it with [`Phase::after`].

use mantle_ebpf::wire::Mac;

use super::super::Successor;
use crate::{Instant, Offer, Role};

/// How far this node is with one VIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::node) enum Phase {
    /// The record does not name this node's session.
    #[default]
    NotOurs,
    /// The record names this node's session.
    Ours(Ownership),
    /// The record names the successor. This node serves the connections that were opened here.
    Draining(Draining),
}

/// What an owner is doing with its VIP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) enum Ownership {
    /// It serves the VIP.
    Serving,
    /// Something that an earlier agent sent may still give this very record away: it serves only once the record is
    /// rewritten.
    MustRewrite,
    /// It serves the VIP, and waits for the successor to say that it is prepared.
    Offered {
        /// The handoff.
        handoff: Handoff,
        /// Until when it waits.
        until: Instant,
    },
    /// It yields to the successor, and hands the record over as soon as the kernel says that it yields.
    Yielding {
        /// The handoff.
        handoff: Handoff,
        /// The successor's MAC.
        to: Mac,
        /// Until when the kernel is to have said so.
        until: Instant,
        /// Whether the handover's outcome is unknown: it may be carried out at any time. So the node goes on yielding, and is
        /// owner again only by a transaction that changes the record.
        in_doubt: bool,
    },
    /// It gives the VIP up: nothing brings it back under this record, whose release may be under way.
    Releasing,
}

/// A handoff that this node began.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) struct Handoff {
    /// What this node's session says of it.
    pub(in crate::node) offer: Offer,
    /// When it was offered.
    pub(in crate::node) began: Instant,
}

impl Handoff {
    /// The node that is to follow.
    pub(in crate::node) fn successor(&self) -> Successor {
        (self.offer.to.clone(), self.offer.session)
    }
}

/// What is left of a VIP that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) struct Draining {
    /// The handoff.
    pub(in crate::node) handoff: Handoff,
    /// The successor's MAC.
    pub(in crate::node) to: Mac,
    /// How long it lasts.
    pub(in crate::node) limits: DrainLimits,
    /// Whether the successor answers. Until then this node goes on yielding: what arrives is served here rather than sent on
    /// to a node that does not answer yet.
    pub(in crate::node) opened: bool,
}

/// How long a drain lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) struct DrainLimits {
    /// Until when the connections that were opened here are served.
    pub(in crate::node) until: Instant,
    /// Until when the successor is waited for to answer.
    pub(in crate::node) opens_by: Instant,
}

/// Whom a changed record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Names {
    /// This node's session.
    Us,
    /// The session that the VIP is offered to, or was handed to.
    Successor {
        /// How long to drain, if this node can.
        drain: Option<DrainLimits>,
    },
    /// Another session, or nobody.
    Another,
}

/// What moves a phase on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) enum Input {
    /// The record changed.
    Record(Names),
    /// This node's session was lost.
    SessionLost,
    /// This node's session went live again, and the record names it.
    SessionBack {
        /// Whether what an earlier agent sent may still give the record away.
        must_rewrite: bool,
    },
    /// The VIP is offered to a successor.
    Offer {
        /// The handoff.
        handoff: Handoff,
        /// Until when the successor is to be prepared.
        until: Instant,
    },
    /// The successor says that it is prepared.
    Prepared {
        /// The MAC it will answer with.
        to: Mac,
        /// Until when the kernel is to yield.
        until: Instant,
    },
    /// The handoff is taken back, or too late.
    Withdraw,
    /// The VIP cannot stay, and nobody follows.
    GiveUp,
    /// The outcome of the handover that compares this record is unknown.
    HandoverUnknown,
    /// The successor answers for the VIP.
    SuccessorAnswers,
    /// No connection is left that was opened here.
    ConnectionsGone(Instant),
    /// The drain is over.
    DrainOver,
}

impl Phase {
    /// The phase after `input`. What is not expected in a phase changes nothing.
    pub(in crate::node) fn after(self, input: Input) -> Self {
        use Ownership::{MustRewrite, Offered, Releasing, Serving, Yielding};
        use Phase::{Draining as Drains, NotOurs, Ours};
        match input {
            Input::Record(names) => self.after_record(names),
            Input::SessionLost => NotOurs,
            Input::SessionBack { must_rewrite } => match self {
                NotOurs if must_rewrite => Ours(MustRewrite),
                NotOurs => Ours(Serving),
                phase @ (Ours(_) | Drains(_)) => phase,
            },
            Input::Offer { handoff, until } => match self {
                Ours(Serving) => Ours(Offered { handoff, until }),
                phase @ (NotOurs
                | Ours(MustRewrite | Offered { .. } | Yielding { .. } | Releasing)
                | Drains(_)) => phase,
            },
            Input::Prepared { to, until } => match self {
                Ours(Offered { handoff, .. }) => Ours(Yielding { handoff, to, until, in_doubt: false }),
                phase @ (NotOurs | Ours(Serving | MustRewrite | Yielding { .. } | Releasing) | Drains(_)) => {
                    phase
                }
            },
            // While the handover is in doubt it cannot be taken back: it may be carried out at any time.
            Input::Withdraw => match self {
                Ours(Offered { .. } | Yielding { in_doubt: false, .. }) => Ours(Serving),
                phase @ (NotOurs
                | Ours(Serving | MustRewrite | Yielding { in_doubt: true, .. } | Releasing)
                | Drains(_)) => phase,
            },
            Input::GiveUp => match self {
                Ours(Serving | MustRewrite | Offered { .. } | Yielding { .. } | Releasing) => Ours(Releasing),
                phase @ (NotOurs | Drains(_)) => phase,
            },
            Input::HandoverUnknown => match self {
                Ours(Yielding { handoff, to, until, in_doubt: _ }) => {
                    Ours(Yielding { handoff, to, until, in_doubt: true })
                }
                phase @ (NotOurs | Ours(Serving | MustRewrite | Offered { .. } | Releasing) | Drains(_)) => {
                    phase
                }
            },
            Input::SuccessorAnswers => match self {
                Drains(draining) => Drains(Draining { opened: true, ..draining }),
                phase @ (NotOurs | Ours(_)) => phase,
            },
            Input::ConnectionsGone(now) => match self {
                Drains(draining) => {
                    let limits = DrainLimits { until: now, ..draining.limits };
                    Drains(Draining { limits, ..draining })
                }
                phase @ (NotOurs | Ours(_)) => phase,
            },
            Input::DrainOver => match self {
                NotOurs | Drains(_) => NotOurs,
                phase @ Ours(_) => phase,
            },
        }
    }

    /// The phase after the record changed. What compared the record before can give it away no more (I5): so there is no
    /// doubt and no offer left under a record that names this node again.
    fn after_record(self, names: Names) -> Self {
        use Ownership::{MustRewrite, Offered, Releasing, Serving, Yielding};
        use Phase::{Draining as Drains, NotOurs, Ours};
        match names {
            Names::Us => match self {
                NotOurs | Drains(_) | Ours(Serving | MustRewrite | Offered { .. } | Yielding { .. }) => {
                    Ours(Serving)
                }
                Ours(Releasing) => Ours(Releasing),
            },
            Names::Successor { drain } => match (self, drain) {
                (Ours(Yielding { handoff, to, .. }), Some(limits)) => {
                    Drains(Draining { handoff, to, limits, opened: false })
                }
                // The successor rewrote it.
                (phase @ Drains(_), Some(_) | None) => phase,
                (
                    NotOurs | Ours(Serving | MustRewrite | Offered { .. } | Yielding { .. } | Releasing),
                    Some(_) | None,
                ) => NotOurs,
            },
            Names::Another => NotOurs,
        }
    }

    /// Whether the record names this node's session.
    pub(in crate::node) fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// The handoff that is under way or drains.
    pub(in crate::node) fn handoff(&self) -> Option<&Handoff> {
        match self {
            Self::Ours(Ownership::Offered { handoff, .. } | Ownership::Yielding { handoff, .. })
            | Self::Draining(Draining { handoff, .. }) => Some(handoff),
            Self::Ours(Ownership::Serving | Ownership::MustRewrite | Ownership::Releasing)
            | Self::NotOurs => None,
        }
    }

    /// Whether something that is under way may still give this very record away.
    pub(in crate::node) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Ours(Ownership::MustRewrite | Ownership::Yielding { in_doubt: true, .. }))
    }

    /// The role of a node that yields.
    pub(in crate::node) fn yielding(to: Mac, handoff: &Handoff) -> Role {
        Role::Yielding { to, number: handoff.offer.number }
    }
}

#[cfg(test)]
mod tests;
