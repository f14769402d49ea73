//! What the agent shows while it is asked.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mantle::observe::snapshot::{Endpoint, Etcd, Node, Session, Snapshot, Vip};
use mantle::observe::status::{Fence, SessionState};
use mantle_protocol::{Instant, Role, Timing};

const NOW: Instant = Instant::from_boot(Duration::from_secs(1000));

pub(super) fn clock() -> Instant {
    NOW
}

pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        node: Node {
            name: "a".parse().expect("a name"),
            cluster: "default".into(),
            machine: "m".into(),
            agent_version: "0",
            started_at: NOW,
        },
        addresses: Vec::new(),
        etcd: Etcd {
            connected: true,
            endpoints: vec![Endpoint {
                url: "http://10.0.0.1:2379".into(),
                ok: true,
                last_error: None,
                latency: Some(Duration::from_millis(1)),
                source: None,
            }],
            revision: 1,
        },
        session: Session {
            state: SessionState::Live,
            id: Some(1),
            right_until: Some(NOW + Duration::from_secs(1)),
            bound: Duration::from_secs(1),
            timing: Timing::DEFAULT,
            reason: None,
        },
        links: Vec::new(),
        vips: vec![Vip {
            vip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            link: "eth0".into(),
            stance: Role::Owner { epoch: 2, bound: Duration::from_secs(1), drain: None },
            owner: Some("a".parse().expect("a name")),
            epoch: 2,
            ready: true,
            waits_for: None,
            fence: Fence::Lifetime,
            counters: None,
            connections: None,
            since: NOW,
        }],
        peers: Vec::new(),
        lateness: Duration::ZERO,
        checks: Vec::new(),
    }
}
