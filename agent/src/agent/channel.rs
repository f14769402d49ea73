//! What the agent's threads say to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::dataplane::{Counters, LinkMode};
use crate::protocol::{Change, Event, Instant, Key, Revision, Stance};

/// What the core wants of the hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Stand so to a VIP.
    Stand(IpAddr, Stance),
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
    /// By what the kernel program fences each link that is there, if it does.
    Modes(BTreeMap<Arc<str>, Option<LinkMode>>),
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
