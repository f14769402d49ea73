//! What the core thread publishes: its state with the instants as they are, so that what is left of a right can be
//! told at the moment somebody asks.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dataplane::{Counters, LinkMode};
use crate::health::CheckLook;
use mantle_protocol::{Epoch, Instant, NodeName, Revision, Role, Timing};

use super::status::{self, Fence, SessionState, Status};

/// The agent's state at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// This node.
    pub node: Node,
    /// The addresses that it publishes as its own.
    pub addresses: Vec<IpAddr>,
    /// How late the core thread was at worst in the last half minute or more.
    pub lateness: Duration,
    /// Its view of etcd.
    pub etcd: Etcd,
    /// Its session.
    pub session: Session,
    /// The VIPs' links that are there.
    pub links: Vec<Link>,
    /// The checks, in the order of the configuration.
    pub checks: Vec<CheckLook>,
    /// The configured VIPs, in the order to show them in.
    pub vips: Vec<Vip>,
    /// The other nodes' sessions.
    pub peers: Vec<Peer>,
}

/// This node: what does not change while the agent runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// The cluster it belongs to.
    pub cluster: Arc<str>,
    /// The machine, this boot of it, as its session carries it.
    pub machine: Arc<str>,
    /// The agent's version.
    pub agent_version: &'static str,
    /// When the agent started.
    pub started_at: Instant,
}

/// The node's view of etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct Etcd {
    /// Whether any endpoint answers.
    pub connected: bool,
    /// The endpoints, in the order of the configuration.
    pub endpoints: Vec<Endpoint>,
    /// The highest revision seen.
    pub revision: Revision,
}

/// One etcd endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its URL.
    pub url: Arc<str>,
    /// Whether the last call to it succeeded.
    pub ok: bool,
    /// Why the last call that failed did; kept until one succeeds.
    pub last_error: Option<Arc<str>>,
    /// How long the last call that succeeded took.
    pub latency: Option<Duration>,
    /// The address that the connection is bound to; none where the kernel chose.
    pub source: Option<IpAddr>,
}

/// The node's session.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Where it stands.
    pub state: SessionState,
    /// E: the create revision of its key, once there is one.
    pub id: Option<Revision>,
    /// Until when the node may act as owner; nothing before the first acknowledged renewal.
    pub right_until: Option<Instant>,
    /// How long the node may at worst go on answering after it sent a renewal.
    pub bound: Duration,
    /// R, D and S.
    pub timing: Timing,
    /// Why it is not live: what a person would want to know or do.
    pub reason: Option<Arc<str>>,
}

/// A link that carries VIPs.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The link, as the configuration names it.
    pub link: Arc<str>,
    /// By what the kernel program fences it, if it does.
    pub mode: Option<LinkMode>,
}

/// One VIP as this node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Vip {
    /// The address.
    pub vip: IpAddr,
    /// The link, as the configuration names it.
    pub link: Arc<str>,
    /// How this node stands to it.
    pub stance: Role,
    /// The node its record names.
    pub owner: Option<NodeName>,
    /// The mod revision of its record; 0 if there is none.
    pub epoch: Epoch,
    /// Whether this node is ready for it.
    pub ready: bool,
    /// What it waits for, if it is not ready.
    pub waits_for: Option<Arc<str>>,
    /// What makes it unanswered on this node when the right is over.
    pub fence: Fence,
    /// What the kernel program counted of it, if there is one.
    pub counters: Option<Counters>,
    /// How many connections are left of it, while it is drained.
    pub connections: Option<usize>,
    /// When its stance or its owner last changed.
    pub since: Instant,
}

/// Another node's session as this node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The node.
    pub node: NodeName,
    /// E of its session.
    pub session: Revision,
    /// The addresses that it publishes as its own.
    pub addresses: Vec<IpAddr>,
    /// Who goes first: higher before lower.
    pub priority: u32,
    /// The VIPs it could wear now.
    pub ready: BTreeSet<IpAddr>,
    /// When this node processed its last renewal.
    pub heard_at: Instant,
    /// The silence after which this node takes it for gone.
    pub silence: Duration,
}

impl Snapshot {
    /// What is left of the node's right at `now`; nothing if it is over or never began.
    pub fn right_left(&self, now: Instant) -> Duration {
        self.session.right_until.map_or(Duration::ZERO, |until| until.since(now))
    }

    /// Whether this node is owner of `vip` at `now`: a right that is over makes none, whatever the stance.
    pub fn owns(&self, vip: &Vip, now: Instant) -> bool {
        matches!(vip.stance, Role::Owner { .. }) && !self.right_left(now).is_zero()
    }

    /// The strongest fence the node can use.
    pub fn mode(&self) -> Fence {
        let fenced = self.links.iter().any(|link| link.mode.is_some());
        if fenced { Fence::Kernel } else { Fence::Lifetime }
    }

    /// The status to show at `now`, the core thread having last moved `heartbeat_age` ago.
    pub fn status(&self, now: Instant, heartbeat_age: Duration) -> Status {
        let right_left_ms = whole_ms(self.right_left(now));
        Status {
            version: Status::VERSION,
            node: status::Node {
                name: self.node.name.to_string(),
                cluster: self.node.cluster.to_string(),
                machine: self.node.machine.to_string(),
                addresses: self.addresses.clone(),
                agent_version: self.node.agent_version.to_owned(),
                mode: self.mode(),
                uptime_ms: whole_ms(now.since(self.node.started_at)),
                heartbeat_age_ms: whole_ms(heartbeat_age),
                lateness_ms: whole_ms(self.lateness),
            },
            etcd: status::Etcd {
                connected: self.etcd.connected,
                endpoints: self.etcd.endpoints.iter().map(Endpoint::status).collect(),
                revision: self.etcd.revision,
            },
            session: status::Session {
                state: self.session.state,
                id: self.session.id,
                right_left_ms,
                bound_ms: whole_ms(self.session.bound),
                timing: status::Timing {
                    renew_ms: whole_ms(self.session.timing.renew),
                    right_ms: whole_ms(self.session.timing.lease),
                    silence_ms: whole_ms(self.session.timing.silence),
                },
                reason: self.session.reason.as_deref().map(str::to_owned),
            },
            links: self.links.iter().map(Link::status).collect(),
            checks: self.checks.iter().map(|check| check_status(check, now)).collect(),
            vips: self.vips.iter().map(|vip| vip.status(now, right_left_ms)).collect(),
            peers: self.peers.iter().map(|peer| peer.status(now)).collect(),
        }
    }
}

impl Endpoint {
    fn status(&self) -> status::Endpoint {
        status::Endpoint {
            url: self.url.to_string(),
            ok: self.ok,
            last_error: self.last_error.as_deref().map(str::to_owned),
            // Microseconds are all that a network round trip is worth telling.
            latency_ms: self.latency.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
            source: self.source,
        }
    }
}

impl Link {
    fn status(&self) -> status::Link {
        status::Link { link: self.link.to_string(), mode: self.mode.into() }
    }
}

fn check_status(check: &CheckLook, now: Instant) -> status::Check {
    status::Check {
        name: check.name.to_string(),
        kind: check.kind.to_owned(),
        target: check.target.to_string(),
        vips: check.vips.as_deref().cloned(),
        health: check.health.into(),
        since_ms: whole_ms(now.since(check.since)),
        last: check.last.as_ref().map(|last| status::Try {
            failure: last.failure.as_deref().map(str::to_owned),
            took_ms: (last.took.as_secs_f64() * 1e6).round() / 1e3,
            ago_ms: whole_ms(now.since(last.at)),
        }),
        tries: check.tries,
        failures: check.failures,
    }
}

impl Vip {
    fn status(&self, now: Instant, right_left_ms: u64) -> status::Vip {
        let stance = status::Role::from(self.stance);
        status::Vip {
            vip: self.vip,
            link: self.link.to_string(),
            stance,
            owner: self.owner.as_ref().map(ToString::to_string),
            epoch: self.epoch,
            right_left_ms: (stance == status::Role::Owner).then_some(right_left_ms),
            ready: self.ready,
            waits_for: self.waits_for.as_deref().map(str::to_owned),
            fence: self.fence,
            kernel: self.counters.map(Into::into),
            connections: self.connections,
            since_ms: whole_ms(now.since(self.since)),
        }
    }
}

impl Peer {
    fn status(&self, now: Instant) -> status::Peer {
        let silent = now.since(self.heard_at);
        status::Peer {
            node: self.node.to_string(),
            session: self.session,
            addresses: self.addresses.clone(),
            priority: self.priority,
            ready: self.ready.clone(),
            silent_ms: whole_ms(silent),
            live: silent < self.silence,
        }
    }
}

/// Whole milliseconds, rounded down: a right must not look longer than it is.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_left_of_a_right_is_told_at_the_moment_of_asking() {
        let snapshot = sample::snapshot();
        let left = |after| {
            let status = snapshot.status(sample::NOW + Duration::from_millis(after), Duration::ZERO);
            (status.session.right_left_ms, status.vips[0].right_left_ms)
        };
        assert_eq!(left(0), (812, Some(812)));
        assert_eq!(left(800), (12, Some(12)));
        assert_eq!(left(900), (0, Some(0)));
    }

    #[test]
    fn a_node_whose_right_is_over_is_no_owner() {
        let snapshot = sample::snapshot();
        assert!(snapshot.owns(&snapshot.vips[0], sample::NOW));
        assert!(!snapshot.owns(&snapshot.vips[0], sample::NOW + Duration::from_millis(812)));
        assert!(!snapshot.owns(&snapshot.vips[1], sample::NOW));
    }

    #[test]
    fn a_peer_is_live_until_its_silence_is_over() {
        let snapshot = sample::snapshot();
        let live =
            |after| snapshot.status(sample::NOW + Duration::from_millis(after), Duration::ZERO).peers[0].live;
        assert!(live(1179));
        assert!(!live(1180));
    }
}
