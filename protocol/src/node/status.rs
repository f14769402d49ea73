//! What a node shows of itself.

use std::net::IpAddr;
use std::time::Duration;

use super::Node;
use crate::{Epoch, Holder, Instant, Key, NodeName, Revision, Role, Session, Value, View};

/// One VIP, as a node shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipStatus<'a> {
    /// The address.
    pub ip: IpAddr,
    /// Whom the record names.
    pub holder: Option<&'a Holder>,
    /// The record's epoch.
    pub epoch: Epoch,
    /// The role the kernel last confirmed.
    pub role: Role,
    /// Whether this node is ready for it.
    pub ready: bool,
    /// Since when the record has named whom it names.
    pub since: Instant,
}

/// Another node's session, as a node shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus<'a> {
    /// The node.
    pub name: &'a NodeName,
    /// Its session's create revision.
    pub created: Revision,
    /// Its session.
    pub session: &'a Session,
    /// When it was last heard of.
    pub heard: Instant,
    /// The silence after which this node takes it for gone.
    pub silence: Duration,
}

impl Node {
    /// Until when this node may act as owner.
    pub fn lease(&self) -> Instant {
        self.lease
    }

    /// How long this node may at worst go on answering after it sent a renewal.
    pub fn bound(&self) -> Duration {
        self.machine.bound
    }

    /// The addresses that this node publishes as its own.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.machine.addresses
    }

    /// What this node knows of etcd's keys.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The VIPs, in order.
    pub fn vips(&self) -> impl Iterator<Item = VipStatus<'_>> {
        self.vips.iter().map(|(ip, vip)| VipStatus {
            ip: *ip,
            holder: vip.record.holder(),
            epoch: vip.record.epoch,
            role: vip.kernel.role().unwrap_or(Role::Off),
            ready: vip.local.is_ready(),
            since: vip.record.since,
        })
    }

    /// The other nodes' sessions, in order.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus<'_>> {
        self.view.iter().filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Node(name), Value::Session(session)) if *name != self.settings.name => {
                let (heard, alive_until) = self.peers.last_renewal(name, entry.created)?;
                let silence = alive_until.since(heard).max(self.settings.timing.silence_for(session.bound));
                Some(PeerStatus { name, created: entry.created, session, heard, silence })
            }
            _ => None,
        })
    }
}
