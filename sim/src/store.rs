//! etcd as the protocol relies on it: one linearizable store of typed keys.

use std::collections::BTreeMap;

use mantle_protocol::{Answer, Change, Compare, Entry, Key, Revision, Txn, Value, Write};

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    /// The revision of the last write.
    pub revision: Revision,
    /// The keys that are there.
    pub keys: BTreeMap<Key, Entry>,
}

impl Store {
    /// Carries out a transaction; what changed is what a watch will show. With a deletion it shows what was deleted.
    pub fn commit(&mut self, txn: &Txn) -> (Answer, Vec<Change>) {
        self.commit_if(txn.compares(), txn.writes())
    }

    /// Carries out writes if the compares hold, whether or not these compare what is written.
    pub fn commit_if(&mut self, compares: &[Compare], writes: &[Write]) -> (Answer, Vec<Change>) {
        let holds = |compare: &Compare| match compare {
            Compare::Created(key, revision) => {
                self.keys.get(key).map_or(0, |entry| entry.created) == *revision
            }
            Compare::Modified(key, revision) => {
                self.keys.get(key).map_or(0, |entry| entry.modified) == *revision
            }
        };
        if !compares.iter().all(holds) {
            let found = compares.iter().map(|compare| self.read(compare.key())).collect();
            return (Answer::Refused { revision: self.revision, found }, Vec::new());
        }
        self.revision += 1;
        let changes = writes.iter().flat_map(|write| self.write(write)).collect();
        (Answer::Done(self.revision), changes)
    }

    /// Writes by a hand that compares nothing.
    pub fn force(&mut self, write: &Write) -> Vec<Change> {
        self.revision += 1;
        self.write(write)
    }

    /// All keys, as a list at the store's revision.
    pub fn list(&self) -> Vec<Change> {
        self.keys.keys().map(|key| self.read(key)).collect()
    }

    /// What a key holds.
    pub fn value(&self, key: &Key) -> Option<&Value> {
        self.keys.get(key).map(|entry| &entry.value)
    }

    fn read(&self, key: &Key) -> Change {
        let entry = self.keys.get(key).cloned();
        let revision = entry.as_ref().map_or(self.revision, |entry| entry.modified);
        Change { key: key.clone(), revision, entry }
    }

    fn write(&mut self, write: &Write) -> Vec<Change> {
        let revision = self.revision;
        match write {
            Write::Put(key, value) => {
                let created = self.keys.get(key).map_or(revision, |entry| entry.created);
                let entry = Entry { created, modified: revision, value: value.clone() };
                self.keys.insert(key.clone(), entry.clone());
                vec![Change { key: key.clone(), revision, entry: Some(entry) }]
            }
            Write::Delete(key) => {
                let deleted = self.keys.contains_key(key).then(|| self.read(key));
                self.keys.remove(key);
                let change = Change { key: key.clone(), revision, entry: None };
                deleted.into_iter().chain([change]).collect()
            }
        }
    }
}
