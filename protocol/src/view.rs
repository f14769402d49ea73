//! What this node knows of etcd's keys, kept from going back in time (I6).

use std::collections::{BTreeMap, BTreeSet};

use super::key::{Key, NodeName, Revision};
use super::session::{Session, Value};

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

impl Entry {
    /// Keeps what the session said last. Renewals are under way side by side, and in copies to several endpoints: etcd may
    /// carry one out after another that was decided later. The counter tells which was decided later. Only the bound is taken
    /// from the renewal that etcd carried out last: a takeover compares that very renewal.
    fn keep_what_was_said_last(&mut self, known: &Self) {
        if let (Value::Session(session), Value::Session(said)) = (&mut self.value, &known.value)
            && self.created == known.created
            && session.counter < said.counter
        {
            *session = Session { bound: session.bound, ..said.clone() };
        }
    }
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
    pub fn apply(&mut self, mut change: Change) -> bool {
        let known = self.keys.get(&change.key);
        if change.revision <= known.map_or(0, |(mark, _)| *mark) {
            return false;
        }
        if let (Some((_, Some(known))), Some(entry)) = (known, &mut change.entry) {
            entry.keep_what_was_said_last(known);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Handoffs;

    fn session(created: Revision, modified: Revision, counter: u64, bound: u64) -> Change {
        let value = Value::Session(Session {
            machine: "m".to_owned(),
            bound: Duration::from_millis(bound),
            renew: Duration::from_millis(200),
            links: BTreeMap::new(),
            addresses: Vec::new(),
            ready: BTreeSet::new(),
            priority: 100,
            handoffs: Handoffs { able: counter > 7, ..Handoffs::default() },
            counter,
        });
        let entry = Some(Entry { created, modified, value });
        Change { key: Key::Node("a".parse().unwrap()), revision: modified, entry }
    }

    fn said(view: &View) -> (u64, bool, Duration) {
        let (_, entry) = view.iter().next().unwrap();
        let Value::Session(session) = &entry.value else { unreachable!("only sessions are written") };
        (session.counter, session.handoffs.able, session.bound)
    }

    #[test]
    fn of_an_overtaken_renewal_the_revision_and_the_bound_count() {
        let mut view = View::default();
        view.apply(session(5, 9, 8, 1000));
        assert!(view.apply(session(5, 10, 7, 2000)));
        assert_eq!(said(&view), (8, true, Duration::from_secs(2)));
        assert_eq!(view.modified(&Key::Node("a".parse().unwrap())), 10);
    }

    #[test]
    fn another_session_counts_anew() {
        let mut view = View::default();
        view.apply(session(5, 9, 8, 1000));
        view.apply(session(10, 10, 1, 1000));
        assert_eq!(said(&view), (1, false, Duration::from_secs(1)));
    }
}
