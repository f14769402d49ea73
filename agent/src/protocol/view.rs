//! What this node knows of etcd's keys, kept from going back in time (I6).

use std::collections::{BTreeMap, BTreeSet};

use super::key::{Key, NodeName, Revision};
use super::session::Value;

/// A key that is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its create revision.
    pub created: Revision,
    /// Its mod revision.
    pub modified: Revision,
    /// What it holds.
    pub value: Value,
}

/// A key at a revision, from a watch, a list, or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// The revision this is known from: the mod revision of a key that is there, the revision of its deletion or of the
    /// reading for one that is not.
    pub revision: Revision,
    /// What is there; nothing if it was deleted.
    pub entry: Option<Entry>,
}

/// The keys as last known: a high-water mark of revisions per key over watch events, lists and own answers alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    keys: BTreeMap<Key, (Revision, Option<Entry>)>,
}

impl View {
    /// Takes in a change if it is news, and says whether it was.
    pub fn apply(&mut self, change: Change) -> bool {
        let mark = self.keys.get(&change.key).map_or(0, |(mark, _)| *mark);
        if change.revision <= mark {
            return false;
        }
        self.keys.insert(change.key, (change.revision, change.entry));
        true
    }

    /// The key, if it is there.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.keys.get(key)?.1.as_ref()
    }

    /// The session that a node began at this revision, if it is still there.
    pub fn session(&self, node: &NodeName, created: Revision) -> Option<&Entry> {
        self.get(&Key::Node(node.clone())).filter(|entry| entry.created == created)
    }

    /// The key's mod revision; 0 if it is not there.
    pub fn modified(&self, key: &Key) -> Revision {
        self.get(key).map_or(0, |entry| entry.modified)
    }

    /// The keys that are there.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.keys.iter().filter_map(|(key, (_, entry))| Some((key, entry.as_ref()?)))
    }

    /// The keys that are there but missing from a list taken at `revision`: they were deleted before it.
    pub fn missing_from(&self, listed: &[Change], revision: Revision) -> Vec<Change> {
        let listed: BTreeSet<&Key> = listed.iter().map(|change| &change.key).collect();
        self.iter()
            .filter(|(key, entry)| entry.modified <= revision && !listed.contains(key))
            .map(|(key, _)| Change { key: key.clone(), revision, entry: None })
            .collect()
    }
}
