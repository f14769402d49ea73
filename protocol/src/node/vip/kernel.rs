//! What the kernel was ordered to do for a VIP, and what it confirmed.

use crate::Role;

/// What is known of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) enum Confirmed {
    /// Nothing yet: an address that an earlier agent left may stand, perhaps from the middle of a handoff.
    Left {
        /// Whether it is from the middle of a handoff.
        mid_handoff: bool,
    },
    /// The role that the kernel confirmed last.
    Role(Role),
}

/// The role that was ordered last, and the one that was confirmed last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) struct Kernel {
    ordered: Option<Role>,
    confirmed: Confirmed,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { ordered: None, confirmed: Confirmed::Left { mid_handoff: false } }
    }
}

impl Kernel {
    /// The kernel of a VIP of which nothing stands.
    pub(in crate::node) fn off() -> Self {
        Self { ordered: None, confirmed: Confirmed::Role(Role::Off) }
    }

    /// The kernel of a VIP whose address an earlier agent left.
    pub(in crate::node) fn left(mid_handoff: bool) -> Self {
        Self { ordered: None, confirmed: Confirmed::Left { mid_handoff } }
    }

    /// Decides whether a role is to be ordered now; if so it counts as ordered.
    ///
    /// A confirmation names the role and not the order. So an *off* must never be taken for a later one's: it would release a
    /// VIP that the order in between is just putting on (I4). Hence an order voids an earlier confirmed *off*, and no order
    /// to serve the VIP goes out while the confirmation of an *off* is on its way.
    pub(in crate::node) fn order(&mut self, due: Role) -> bool {
        let awaits_off = self.ordered == Some(Role::Off) && !self.is_off();
        if self.ordered == Some(due) || awaits_off {
            return false;
        }
        self.ordered = Some(due);
        if self.is_off() {
            // Nothing stands and nothing was ordered since: there is nothing to order off.
            if due == Role::Off {
                return false;
            }
            self.confirmed = Confirmed::Left { mid_handoff: false };
        }
        true
    }

    /// The kernel confirmed a role.
    pub(in crate::node) fn confirms(&mut self, role: Role) {
        self.confirmed = Confirmed::Role(role);
    }

    /// The role that was confirmed last, if any.
    pub(in crate::node) fn role(&self) -> Option<Role> {
        match self.confirmed {
            Confirmed::Role(role) => Some(role),
            Confirmed::Left { .. } => None,
        }
    }

    /// Whether the role that was ordered last is confirmed, and is this one.
    pub(in crate::node) fn is_in(&self, role: Role) -> bool {
        self.ordered == Some(role) && self.role() == Some(role)
    }

    /// Whether the kernel confirmed that nothing of the VIP stands.
    pub(in crate::node) fn is_off(&self) -> bool {
        self.role() == Some(Role::Off)
    }

    /// Whether the kernel confirmed that nothing is answered for the VIP, and nothing else is ordered.
    pub(in crate::node) fn is_silent(&self) -> bool {
        let silent = matches!(self.role(), Some(Role::Prepared { .. } | Role::Forwarding { .. }));
        self.is_off() || (silent && self.role() == self.ordered)
    }

    /// Whether the VIP's address is in place and unanswered, and ordered to stay so: between two such roles it is unanswered
    /// throughout.
    pub(in crate::node) fn stays_unanswered(&self) -> bool {
        let is_unanswered = |role| matches!(role, Some(Role::Prepared { .. } | Role::Forwarding { .. }));
        is_unanswered(self.role()) && is_unanswered(self.ordered)
    }

    /// Whether the kernel confirmed that the node answers for the VIP as its owner.
    pub(in crate::node) fn answers(&self) -> bool {
        matches!(self.role(), Some(Role::Owner { .. }))
    }

    /// Whether a session that is resumed may not serve the VIP under the record as it is: an earlier agent took the address
    /// off, or left it in the middle of a handoff, so a release or a handover that it sent may still be carried out.
    pub(in crate::node) fn may_be_given_away(&self) -> bool {
        match self.confirmed {
            Confirmed::Left { mid_handoff } => mid_handoff,
            Confirmed::Role(role) => role == Role::Off,
        }
    }
}
