//! One agent's state, made up for the tests of this room: one VIP worn, one worn elsewhere, one that waits.

use std::sync::Arc;
use std::time::Duration;

use crate::dataplane::{Counters, LinkMode};
use crate::etcd::{Cause, Commits, Errand, Failure, Member, Survey};
use crate::health::{CheckLook, Outcome};
use mantle_protocol::{Health, Instant, Role, Timing};

use super::snapshot::{Endpoint, Etcd, Link, Node, Peer, Session, Snapshot, Vip};
use super::status::{Fence, SessionState, Status};

/// When the tests look.
pub(super) const NOW: Instant = Instant::from_boot(Duration::from_secs(100_000));

/// The clock of the tests.
pub(super) fn clock() -> Instant {
    NOW
}

pub(super) fn snapshot() -> Snapshot {
    let ago = |millis| NOW - Duration::from_millis(millis);
    Snapshot {
        node: Node {
            name: "cp-1".parse().unwrap(),
            cluster: "default".into(),
            machine: "4c4c4544-0042".into(),
            agent_version: "0.1.0",
            started_at: ago(11_520_000),
        },
        addresses: vec![[10, 0, 0, 1].into()],
        lateness: Duration::from_millis(3),
        etcd: Etcd {
            connected: true,
            endpoints: vec![
                Endpoint {
                    url: "http://10.0.0.1:2379".into(),
                    ok: true,
                    last_error: None,
                    latency: Some(Duration::from_nanos(812_345)),
                    source: Some([10, 0, 0, 1].into()),
                },
                Endpoint {
                    url: "http://10.0.0.2:2379".into(),
                    ok: false,
                    last_error: Some("connection refused".into()),
                    latency: None,
                    source: None,
                },
            ],
            revision: 5321,
        },
        session: Session {
            state: SessionState::Live,
            id: Some(1234),
            right_until: Some(NOW + Duration::from_millis(812)),
            bound: Duration::from_secs(1),
            timing: Timing::DEFAULT,
            reason: None,
        },
        links: vec![Link { link: "enp0s2".into(), mode: Some(LinkMode::Tc) }],
        checks: checks(),
        vips: vec![
            Vip {
                vip: "192.168.0.15".parse().unwrap(),
                link: "enp0s2".into(),
                stance: Role::Owner { epoch: 5310, bound: Duration::from_secs(1), drain: None },
                owner: Some("cp-1".parse().unwrap()),
                epoch: 5310,
                ready: true,
                waits_for: None,
                fence: Fence::Kernel,
                counters: Some(Counters([4821, 0, 3, 0, 17, 2, 1, 0, 0, 0])),
                connections: None,
                since: ago(182_000),
            },
            Vip {
                vip: "fd00::15".parse().unwrap(),
                link: "enp0s2".into(),
                stance: Role::Off,
                owner: Some("cp-2".parse().unwrap()),
                epoch: 5311,
                ready: true,
                waits_for: None,
                fence: Fence::Kernel,
                counters: Some(Counters::default()),
                connections: None,
                since: ago(90_061_000),
            },
            Vip {
                vip: "192.168.7.1".parse().unwrap(),
                link: "enp0s9".into(),
                stance: Role::Off,
                owner: None,
                epoch: 0,
                ready: false,
                waits_for: Some("link enp0s9 does not exist".into()),
                fence: Fence::Lifetime,
                counters: None,
                connections: None,
                since: ago(4_200),
            },
        ],
        peers: vec![Peer {
            node: "cp-2".parse().unwrap(),
            session: 1240,
            addresses: vec![[10, 0, 0, 2].into(), "fd00::2".parse().unwrap()],
            priority: 100,
            ready: ["192.168.0.15".parse().unwrap(), "fd00::15".parse().unwrap()].into(),
            heard_at: ago(120),
            silence: Duration::from_millis(1300),
        }],
    }
}

/// What a look at etcd found: one of two members answers.
pub(super) fn survey() -> Survey {
    let member = Member {
        version: "3.5.21".to_owned(),
        size: 20 << 20,
        in_use: 10 << 20,
        quota: Some(2 << 30),
        is_full: true,
        is_corrupt: false,
        revision: 5321,
        compacted: 5000,
        shortest_lease: Some(3),
    };
    let gone = Failure {
        endpoint: "http://10.0.0.2:2379".to_owned(),
        errand: Errand::Survey,
        cause: Cause::Refused,
    };
    Survey {
        members: vec![
            ("http://10.0.0.1:2379".to_owned(), Ok(member)),
            ("http://10.0.0.2:2379".to_owned(), Err(gone)),
        ],
        commits: Some(Ok(Commits { median: Duration::from_millis(1), slowest: Duration::from_millis(3) })),
    }
}

fn checks() -> Vec<CheckLook> {
    let ago = |millis| NOW - Duration::from_millis(millis);
    vec![
        CheckLook {
            name: "apiserver".into(),
            kind: "http",
            target: "https://127.0.0.1:6443/readyz".into(),
            vips: None,
            health: Health::Good,
            since: ago(600_000),
            last: Some(Outcome { at: ago(400), took: Duration::from_micros(2100), failure: None }),
            tries: 300,
            failures: 0,
        },
        CheckLook {
            name: "disk".into(),
            kind: "command",
            target: "/usr/local/bin/disk".into(),
            vips: Some(Arc::new(["192.168.7.1".parse().unwrap()].into())),
            health: Health::Failing,
            since: ago(20_000),
            last: Some(Outcome {
                at: ago(1500),
                took: Duration::from_millis(31),
                failure: Some("the command ended with exit status: 1".into()),
            }),
            tries: 90,
            failures: 12,
        },
    ]
}

pub(super) fn status() -> Status {
    snapshot().status(NOW, Duration::from_millis(40))
}
