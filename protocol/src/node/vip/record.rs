//! What this node knows of a VIP's record.

use crate::{Entry, Epoch, Holder, Instant, NodeName, Revision, Value};

/// Who owns a VIP, as far as this node can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::node) enum Owner {
    /// Nobody: the VIP was released, or never owned.
    #[default]
    Nobody,
    /// The record names this holder.
    Named(Holder),
    /// The record named this holder until somebody else deleted or overwrote it. The holder may still answer, so it counts
    /// as the owner: others wait for its silence, and it rewrites the record itself.
    Presumed(Holder),
    /// Perhaps somebody: the record is unreadable, and this node never read it.
    Unknown,
}

/// A VIP's record as this node last saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::node) struct KnownRecord {
    /// The record's mod revision, 0 if there is none: what a transaction compares.
    pub(in crate::node) modified: Revision,
    /// The mod revision of the last readable record.
    pub(in crate::node) epoch: Epoch,
    /// Who owns the VIP.
    pub(in crate::node) owner: Owner,
    /// Since when this node has known that.
    pub(in crate::node) since: Instant,
}

impl KnownRecord {
    /// The node that owns the VIP, by the last readable record.
    pub(in crate::node) fn holder(&self) -> Option<&Holder> {
        match &self.owner {
            Owner::Named(holder) | Owner::Presumed(holder) => Some(holder),
            Owner::Nobody | Owner::Unknown => None,
        }
    }

    /// Whether the owner is this session of this node.
    pub(in crate::node) fn names(&self, node: &NodeName, session: Revision) -> bool {
        self.holder().is_some_and(|holder| holder.node == *node && holder.session == session)
    }

    /// Whether somebody else deleted or overwrote the record.
    pub(in crate::node) fn is_spoiled(&self) -> bool {
        matches!(self.owner, Owner::Presumed(_) | Owner::Unknown)
    }

    /// Takes in what the record's key now holds; says whether the owner changed.
    pub(in crate::node) fn is(&mut self, now: Instant, entry: Option<&Entry>) -> bool {
        self.modified = entry.map_or(0, |entry| entry.modified);
        let before = std::mem::take(&mut self.owner);
        let holder = match &before {
            Owner::Named(holder) | Owner::Presumed(holder) => Some(holder.clone()),
            Owner::Nobody | Owner::Unknown => None,
        };
        self.owner = match (entry.map(|entry| &entry.value), holder) {
            (Some(Value::Record(record)), _) => {
                self.epoch = self.modified;
                record.owner.clone().map_or(Owner::Nobody, Owner::Named)
            }
            (Some(Value::Session(_) | Value::Garbage) | None, Some(holder)) => Owner::Presumed(holder),
            (Some(Value::Session(_) | Value::Garbage), None) => Owner::Unknown,
            (None, None) => before.clone(),
        };
        let is_news = match (&before, &self.owner) {
            (
                Owner::Named(before) | Owner::Presumed(before),
                Owner::Named(after) | Owner::Presumed(after),
            ) => before != after,
            (before, after) => before != after,
        };
        if is_news {
            self.since = now;
        }
        is_news
    }
}
