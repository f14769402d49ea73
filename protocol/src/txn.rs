//! Transactions: nothing is written or deleted without comparing what was decided on (I5).

use super::key::{Key, Revision};
use super::session::Value;
use super::view::Change;

/// What must still be so for a transaction to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// The key's create revision; 0 if there is no such key.
    Created(Key, Revision),
    /// The key's mod revision; 0 if there is no such key.
    Modified(Key, Revision),
}

impl Compare {
    /// The key that is compared.
    pub fn key(&self) -> &Key {
        match self {
            Self::Created(key, _) | Self::Modified(key, _) => key,
        }
    }
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Sets a key.
    Put(Key, Value),
    /// Deletes a key.
    Delete(Key),
}

/// One transaction: all compares hold and all writes are done, or nothing is.
///
/// When a compare fails the compared keys are read back in the same transaction. It can only be built from compares and
/// from writes that bring the compare of their own key along: a write without its compare cannot be expressed (I5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Txn {
    compares: Vec<Compare>,
    writes: Vec<Write>,
}

impl Txn {
    /// The most VIPs one transaction moves: etcd takes 128 operations, and the sessions need a few.
    pub const MOST_VIPS: usize = 100;

    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also compares a key that it does not write.
    pub fn require(&mut self, seen: Compare) {
        self.compares.push(seen);
    }

    /// Sets the key that `seen` compares.
    pub fn put(&mut self, seen: Compare, value: Value) {
        self.writes.push(Write::Put(seen.key().clone(), value));
        self.compares.push(seen);
    }

    /// Deletes the key that `seen` compares.
    pub fn delete(&mut self, seen: Compare) {
        self.writes.push(Write::Delete(seen.key().clone()));
        self.compares.push(seen);
    }

    /// What must hold.
    pub fn compares(&self) -> &[Compare] {
        &self.compares
    }

    /// What is done then.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It was carried out, at this revision.
    Done(Revision),
    /// A compare failed; what the compared keys were at this revision (a key that is not there is a deletion).
    Refused {
        /// The revision the keys were read at.
        revision: Revision,
        /// The compared keys.
        found: Vec<Change>,
    },
    /// It certainly was not carried out: nothing was sent, or etcd said so.
    Failed,
    /// It may have been carried out, or still be: the answer did not come in time.
    Unknown,
}
