//! What the agent's threads say to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::dataplane::{Counters, LinkMode};
use crate::health::Report;
use crate::observe::command::Asked;
use mantle_protocol::{Change, Event, Instant, Key, Revision, Role};

/// How the kernel program fences a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkFence {
    /// Where it meets what arrives, if it is there.
    pub(super) mode: Option<LinkMode>,
    /// Whether it fences all that arrives and leaves.
    pub(super) whole: bool,
}

/// What the core wants of the hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Stand so to a VIP.
    Stand(IpAddr, Role),
    /// The right of this session lasts until then.
    Right(Revision, Instant),
}

/// What reaches the core from the other threads.
#[derive(Debug)]
pub(super) enum News {
    /// An event for the protocol.
    Event(Event),
    /// What each VIP waits for that cannot be worn now.
    Waits(Vec<(IpAddr, Arc<str>)>),
    /// How the kernel program fences each link that is there.
    Fences(BTreeMap<Arc<str>, LinkFence>),
    /// What the checks say.
    Health(Report),
    /// How many connections are left of the VIPs that were handed over.
    Connections(BTreeMap<IpAddr, usize>),
    /// Somebody asks for a handoff.
    HandOff(Asked),
    /// What the kernel program counted of the VIPs that it knows.
    Counts(BTreeMap<IpAddr, Counters>),
}

/// Which VIPs have a record in etcd; nothing until they were listed.
#[derive(Debug)]
pub(super) struct KnownVips(watch::Sender<Option<BTreeSet<IpAddr>>>);

impl KnownVips {
    pub(super) fn new() -> (Self, watch::Receiver<Option<BTreeSet<IpAddr>>>) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), receiver)
    }

    /// All keys there are.
    pub(super) fn listed(&self, changes: &[Change]) {
        let vips: BTreeSet<IpAddr> =
            changes.iter().filter_map(record).filter(|(_, there)| *there).map(|(ip, _)| ip).collect();
        self.0.send_if_modified(|known| known.replace(vips.clone()).as_ref() != Some(&vips));
    }

    /// Some keys changed. Most often it is a session that was renewed, which says nothing here.
    pub(super) fn changed(&self, changes: &[Change]) {
        for (ip, there) in changes.iter().filter_map(record) {
            self.0.send_if_modified(|known| {
                let known = known.get_or_insert_default();
                if there { known.insert(ip) } else { known.remove(&ip) }
            });
        }
    }
}

/// The VIP whose record changed, and whether it has one now.
fn record(change: &Change) -> Option<(IpAddr, bool)> {
    match change.key {
        Key::Vip(ip) => Some((ip, change.entry.is_some())),
        Key::Node(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mantle_protocol::{Entry, Record, Value};

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn change(key: Key, there: bool) -> Change {
        let entry = Entry { created: 1, modified: 1, value: Value::Record(Record { owner: None }) };
        Change { key, revision: 1, entry: there.then_some(entry) }
    }

    #[test]
    fn the_clusters_vips_are_those_with_a_record() {
        let (known, mut told) = KnownVips::new();
        let vip = |last, there| change(Key::Vip(ip(last)), there);
        assert_eq!(*told.borrow_and_update(), None, "nobody knows before they are listed");
        known.changed(&[change(Key::Node("a".parse().unwrap()), true)]);
        assert!(!told.has_changed().unwrap(), "a renewal says nothing");
        known.listed(&[vip(1, true), vip(2, true), vip(3, false)]);
        assert_eq!(*told.borrow_and_update(), Some(BTreeSet::from([ip(1), ip(2)])));
        known.changed(&[vip(1, true)]);
        known.listed(&[vip(2, true), vip(1, true)]);
        assert!(!told.has_changed().unwrap(), "nothing new");
        known.changed(&[vip(1, false), vip(4, true)]);
        assert_eq!(*told.borrow_and_update(), Some(BTreeSet::from([ip(2), ip(4)])));
        known.listed(&[]);
        assert_eq!(*told.borrow_and_update(), Some(BTreeSet::new()), "what is not listed is not there");
    }
}
