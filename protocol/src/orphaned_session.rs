//! The session of an agent that died, and how another process gives up what it owns.
//!
//! The agent's guardian uses it. The guardian has no session of its own and renews nothing. It only ends the session of an
//! agent that is gone, once the kernel has confirmed that no VIP of it is answered any more (I4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::key::{Key, NodeName, Revision};
use super::session::{Record, Value};
use super::txn::{Compare, Txn};
use super::view::Change;

/// A session without an agent, and the records that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedSession {
    node: Key,
    /// The mod revision of the session's last renewal.
    renewed: Revision,
    /// The VIPs whose records name the session, with the records' mod revisions.
    vips: Vec<(IpAddr, Revision)>,
}

impl OrphanedSession {
    /// What the listed keys say of the session that agents of this machine string left under this name; nothing if there
    /// is none.
    pub fn of(listed: &[Change], name: &NodeName, machine: &str) -> Option<Self> {
        let node = Key::Node(name.clone());
        let entries = || listed.iter().filter_map(|change| Some((&change.key, change.entry.as_ref()?)));
        let (_, own) = entries().find(|(key, _)| **key == node)?;
        let Value::Session(session) = &own.value else { return None };
        if session.machine != machine {
            return None;
        }
        let named = |(key, entry): (&Key, &super::Entry)| {
            let (Key::Vip(ip), Value::Record(Record { owner: Some(owner) })) = (key, &entry.value) else {
                return None;
            };
            let is_named = owner.node == *name && owner.session == own.created;
            is_named.then_some((*ip, entry.modified))
        };
        Some(Self { renewed: own.modified, vips: entries().filter_map(named).collect(), node })
    }

    /// The VIPs whose records name the session.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        self.vips.iter().map(|(ip, _)| *ip)
    }

    /// The transactions that give it up, but for what still stands; to be carried out in this order.
    ///
    /// The first compares the session's last renewal, and so fails if anything of the session's was committed since. With
    /// none of its VIPs left standing it deletes the session too: whatever the dead agent had under way compares that it is there.
    /// Each record is compared as it was seen (I5).
    pub fn release(&self, standing: &BTreeSet<IpAddr>) -> Vec<Txn> {
        let off: Vec<_> = self.vips.iter().filter(|(ip, _)| !standing.contains(ip)).collect();
        let mut batches: Vec<Txn> = off
            .chunks(Txn::MOST_VIPS)
            .map(|batch| {
                let mut txn = Txn::new();
                for (ip, seen) in batch {
                    txn.put(Compare::Modified(Key::Vip(*ip), *seen), Value::Record(Record { owner: None }));
                }
                txn
            })
            .collect();
        let ends = off.len() == self.vips.len();
        if batches.is_empty() && ends {
            batches.push(Txn::new());
        }
        if let Some(first) = batches.first_mut() {
            let renewed = Compare::Modified(self.node.clone(), self.renewed);
            if ends { first.delete(renewed) } else { first.require(renewed) }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::Write;
    use crate::{Entry, Handoffs, Holder, Session};

    fn name(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn vip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn is(key: Key, created: Revision, modified: Revision, value: Value) -> Change {
        Change { key, revision: modified, entry: Some(Entry { created, modified, value }) }
    }

    fn session(of: &str, machine: &str, created: Revision, modified: Revision) -> Change {
        let value = Value::Session(Session {
            machine: machine.to_owned(),
            bound: Duration::from_secs(1),
            renew: Duration::from_millis(200),
            links: BTreeMap::new(),
            addresses: Vec::new(),
            ready: BTreeSet::new(),
            priority: 100,
            handoffs: Handoffs::default(),
            counter: 1,
        });
        is(Key::Node(name(of)), created, modified, value)
    }

    fn record(ip: IpAddr, owner: Option<(&str, Revision)>, modified: Revision) -> Change {
        let bound = Duration::from_secs(1);
        let owner = owner.map(|(node, session)| Holder { node: name(node), session, bound });
        is(Key::Vip(ip), 1, modified, Value::Record(Record { owner }))
    }

    fn compares(txn: &Txn) -> Vec<(String, Revision)> {
        let compared = |compare: &Compare| match compare {
            Compare::Created(key, _) => panic!("{key} is compared by its creation"),
            Compare::Modified(key, revision) => (key.to_string(), *revision),
        };
        txn.compares().iter().map(compared).collect()
    }

    #[test]
    fn what_names_the_session_is_released_with_it_and_nothing_else_is_touched() {
        let listed = [
            session("a", "m/1", 10, 40),
            session("b", "m/2", 11, 41),
            record(vip(1), Some(("a", 10)), 20),
            record(vip(2), Some(("b", 11)), 21),
            // Of a session that a had before.
            record(vip(3), Some(("a", 9)), 22),
            record(vip(4), None, 23),
            is(Key::Vip(vip(5)), 1, 24, Value::Garbage),
        ];
        let orphaned = OrphanedSession::of(&listed, &name("a"), "m/1").unwrap();
        assert_eq!(orphaned.vips().collect::<Vec<_>>(), [vip(1)]);
        let txns = orphaned.release(&BTreeSet::new());
        let [txn] = txns.as_slice() else { panic!("{txns:?}") };
        assert_eq!(compares(txn), [("vip/10.0.0.1".to_owned(), 20), ("node/a".to_owned(), 40)]);
        let nobody = Value::Record(Record { owner: None });
        assert_eq!(txn.writes(), [Write::Put(Key::Vip(vip(1)), nobody), Write::Delete(Key::Node(name("a")))]);
    }

    #[test]
    fn another_machines_session_of_the_same_name_is_none_of_ours() {
        let listed = [session("a", "m/2", 10, 40), record(vip(1), Some(("a", 10)), 20)];
        assert_eq!(OrphanedSession::of(&listed, &name("a"), "m/1"), None);
        assert_eq!(OrphanedSession::of(&listed[1..], &name("a"), "m/1"), None);
    }

    #[test]
    fn what_still_stands_is_not_released_and_keeps_the_session() {
        let listed = [
            session("a", "m/1", 10, 40),
            record(vip(1), Some(("a", 10)), 20),
            record(vip(2), Some(("a", 10)), 21),
        ];
        let orphaned = OrphanedSession::of(&listed, &name("a"), "m/1").unwrap();
        let txns = orphaned.release(&BTreeSet::from([vip(1)]));
        let [txn] = txns.as_slice() else { panic!("{txns:?}") };
        assert_eq!(compares(txn), [("vip/10.0.0.2".to_owned(), 21), ("node/a".to_owned(), 40)]);
        assert!(!txn.writes().iter().any(|write| matches!(write, Write::Delete(_))));
        assert_eq!(orphaned.release(&BTreeSet::from([vip(1), vip(2)])), []);
    }

    #[test]
    fn a_session_that_holds_nothing_is_ended_too() {
        let orphaned = OrphanedSession::of(&[session("a", "m/1", 10, 40)], &name("a"), "m/1").unwrap();
        let txns = orphaned.release(&BTreeSet::new());
        let [txn] = txns.as_slice() else { panic!("{txns:?}") };
        assert_eq!(compares(txn), [("node/a".to_owned(), 40)]);
        assert_eq!(txn.writes(), [Write::Delete(Key::Node(name("a")))]);
    }

    #[test]
    fn no_transaction_is_larger_than_etcd_takes_and_the_first_ends_the_session() {
        let mut listed = vec![session("a", "m/1", 10, 4000)];
        listed.extend((1..=250).map(|n| record(vip(n), Some(("a", 10)), Revision::from(n))));
        let orphaned = OrphanedSession::of(&listed, &name("a"), "m/1").unwrap();
        let txns = orphaned.release(&BTreeSet::new());
        assert!(txns.iter().all(|txn| txn.writes().len() <= 128 && txn.compares().len() <= 128));
        let ends = |txn: &Txn| txn.writes().iter().any(|write| matches!(write, Write::Delete(_)));
        assert_eq!(txns.iter().map(ends).collect::<Vec<_>>(), [true, false, false]);
        let released: usize = txns.iter().map(|txn| txn.writes().len()).sum();
        assert_eq!(released, 251);
    }
}
