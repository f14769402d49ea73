//! What the core lets the rest of the agent see: a snapshot, at most every so often.
//!
//! The core never wakes for one: what must be seen makes one due at once, the rest is shown when the core turns next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::channel::LinkFence;
use crate::clock;
use crate::dataplane::Counters;
use crate::etcd::{EndpointStatus, Etcd};
use crate::health::Report;
use crate::observe::status::{Fence, SessionState};
use crate::observe::{Publisher, Snapshot, snapshot};
use mantle_protocol::{Instant, Node, PeerStatus, Revision, Standing, Timing, VipStatus};

/// Publishes snapshots of the core.
pub(super) struct Showing {
    publisher: Publisher,
    facts: Facts,
    seen: Seen,
    /// When the next snapshot is due.
    due: Instant,
}

/// What the core saw beside the protocol.
#[derive(Default)]
struct Seen {
    /// What the VIPs that cannot be worn wait for.
    waits: BTreeMap<IpAddr, Arc<str>>,
    /// How the kernel program fences each link that is there.
    fences: BTreeMap<Arc<str>, LinkFence>,
    /// What the checks say, if there are any.
    health: Option<Report>,
    /// What the kernel program counted.
    counts: BTreeMap<IpAddr, Counters>,
    /// How many connections are left of what was handed over.
    connections: BTreeMap<IpAddr, usize>,
    /// The newest revision of etcd's store.
    revision: Revision,
    /// How late the core thread was at worst.
    lateness: Duration,
}

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// This node.
    pub(super) node: snapshot::Node,
    /// Its timing.
    pub(super) timing: Timing,
    /// The links of the VIPs, as the configuration names them.
    pub(super) links: BTreeMap<IpAddr, Arc<str>>,
}

/// How old a snapshot may be: enough for eyes and scrapes, and little work with a thousand VIPs.
const EVERY: Duration = Duration::from_millis(100);

impl Showing {
    /// Shows through `publisher`.
    pub(super) fn new(publisher: Publisher, facts: Facts) -> Self {
        Self { publisher, facts, seen: Seen::default(), due: Instant::ZERO }
    }

    /// What there is to show before the core runs.
    pub(super) fn first(facts: &Facts, node: &Node, etcd: &Etcd) -> Snapshot {
        snapshot_of(clock::now(), facts, &Seen::default(), node, etcd)
    }

    /// The next snapshot is due at once.
    pub(super) fn soon(&mut self) {
        self.due = Instant::ZERO;
    }

    /// What the VIPs that cannot be worn wait for.
    pub(super) fn waits(&mut self, waits: Vec<(IpAddr, Arc<str>)>) {
        self.seen.waits = waits.into_iter().collect();
        self.soon();
    }

    /// How the kernel program fences each link that is there.
    pub(super) fn fences(&mut self, fences: BTreeMap<Arc<str>, LinkFence>) {
        self.seen.fences = fences;
        self.soon();
    }

    /// What the checks say.
    pub(super) fn health(&mut self, report: Report) {
        self.seen.health = Some(report);
        self.soon();
    }

    /// What the kernel program counted.
    pub(super) fn counts(&mut self, counts: BTreeMap<IpAddr, Counters>) {
        self.seen.counts = counts;
    }

    /// How many connections are left of what was handed over.
    pub(super) fn connections(&mut self, counts: BTreeMap<IpAddr, usize>) {
        self.seen.connections = counts;
    }

    /// A revision of etcd's store was seen.
    pub(super) fn seen(&mut self, revision: Revision) {
        self.seen.revision = self.seen.revision.max(revision);
    }

    /// Shows the node and how late the core thread was at worst, if that is due.
    pub(super) fn show(&mut self, now: Instant, lateness: Duration, node: &Node, etcd: &Etcd) {
        self.publisher.beat(now);
        if now < self.due {
            return;
        }
        self.due = now + EVERY;
        self.seen.lateness = lateness;
        self.publisher.publish(snapshot_of(now, &self.facts, &self.seen, node, etcd));
    }
}

fn snapshot_of(now: Instant, facts: &Facts, seen: &Seen, node: &Node, etcd: &Etcd) -> Snapshot {
    let endpoints = etcd.status();
    Snapshot {
        node: facts.node.clone(),
        addresses: node.addresses().to_vec(),
        lateness: seen.lateness,
        session: session(now, facts, node, &endpoints),
        etcd: snapshot::Etcd {
            connected: endpoints.iter().any(|endpoint| endpoint.connected),
            endpoints: endpoints.into_iter().map(endpoint).collect(),
            revision: seen.revision,
        },
        links: seen
            .fences
            .iter()
            .map(|(link, fence)| snapshot::Link { link: Arc::clone(link), mode: fence.mode })
            .collect(),
        checks: seen.health.as_ref().map(|report| report.checks.clone()).unwrap_or_default(),
        vips: node.vips().map(|look| vip(facts, seen, look)).collect(),
        peers: node.peers().map(peer).collect(),
    }
}

fn session(now: Instant, facts: &Facts, node: &Node, endpoints: &[EndpointStatus]) -> snapshot::Session {
    let (state, id) = match node.standing() {
        Standing::None => (SessionState::None, None),
        Standing::Starting => (SessionState::Starting, None),
        Standing::Resuming(session) => (SessionState::Starting, Some(session)),
        Standing::Live(session) => (SessionState::Live, Some(session)),
        Standing::InUse => (SessionState::Refused, None),
        Standing::Ending(session) => (SessionState::Ended, Some(session)),
        Standing::Ended => (SessionState::Ended, None),
    };
    let reason = match node.name_held_by() {
        Some(machine) => Some(format!("the name {} is held by machine {machine}", facts.node.name).into()),
        None if is_acknowledged(now, facts, node) => None,
        None => {
            let failure = endpoints.iter().find_map(|endpoint| endpoint.failure.as_ref());
            failure.map(|failure| failure.to_string().into()).or(Some("etcd does not acknowledge it".into()))
        }
    };
    snapshot::Session {
        state,
        id,
        right_until: Some(node.lease()).filter(|right| *right > Instant::ZERO),
        bound: node.bound(),
        timing: facts.timing,
        reason,
    }
}

/// Whether the session lives and its renewals come through. A standby renews so seldom that between two of them its right
/// may end for a moment, which is nothing to report.
fn is_acknowledged(now: Instant, facts: &Facts, node: &Node) -> bool {
    let overdue = now.since(node.lease()) > facts.timing.standby_renew();
    matches!(node.standing(), Standing::Live(_)) && !overdue
}

fn vip(facts: &Facts, seen: &Seen, look: VipStatus<'_>) -> snapshot::Vip {
    let link = facts.links.get(&look.ip).cloned().unwrap_or_default();
    let objection = || Some(seen.health.as_ref()?.objection(look.ip)?.into());
    let fence = seen.fences.get(&link).copied().unwrap_or_default();
    snapshot::Vip {
        vip: look.ip,
        link,
        stance: look.role,
        owner: look.holder.map(|holder| holder.node.clone()),
        epoch: look.epoch,
        ready: look.ready,
        waits_for: seen.waits.get(&look.ip).cloned().or_else(objection),
        fence: if fence.whole { Fence::Kernel } else { Fence::Lifetime },
        // Where nothing was counted yet the counts are there, and zero.
        counters: seen.counts.get(&look.ip).copied().or(fence.mode.map(|_| Counters::default())),
        connections: seen.connections.get(&look.ip).copied(),
        since: look.since,
    }
}

fn endpoint(status: EndpointStatus) -> snapshot::Endpoint {
    snapshot::Endpoint {
        url: status.endpoint.as_str().into(),
        ok: status.connected,
        last_error: status.failure.map(|failure| failure.to_string().into()),
        latency: status.latency,
        source: status.source,
    }
}

fn peer(peer: PeerStatus<'_>) -> snapshot::Peer {
    snapshot::Peer {
        node: peer.name.clone(),
        session: peer.created,
        addresses: peer.session.addresses.clone(),
        priority: peer.session.priority,
        ready: peer.session.ready.clone(),
        heard_at: peer.heard,
        silence: peer.silence,
    }
}
