//! One node's decisions, each by itself: what is next for a VIP, and what its kernel is to do.

mod next;
mod roles;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;

use super::vip::{DrainLimits, Draining, Handoff, Kernel, Owner, Ownership, Phase, Vip};
use super::*;
use crate::{Change, Entry, Handoffs, Holder, Offer, Record, Role, Session, Value};

/// The sessions of the node under test, `b`, of the owner, `a`, and of one that goes before it, `aa`.
const OWN: Revision = 20;
const OWNERS: Revision = 10;

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const OWN_MAC: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0xa]);

/// When the node under test went live; every test begins a while later.
const LIVE: u64 = 60_000;

fn at(millis: u64) -> Instant {
    Instant::from_boot(ms(millis))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn name(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn holder(node: &str, session: Revision, bound: u64) -> Holder {
    Holder { node: name(node), session, bound: ms(bound) }
}

fn session_of(ready: bool, bound: u64) -> Session {
    Session {
        machine: "m".to_owned(),
        bound: ms(bound),
        renew: ms(200),
        links: BTreeMap::new(),
        addresses: Vec::new(),
        ready: if ready { BTreeSet::from([VIP]) } else { BTreeSet::new() },
        priority: 100,
        handoffs: Handoffs { able: true, ..Handoffs::default() },
        counter: 1,
    }
}

fn wrote(key: Key, created: Revision, modified: Revision, value: Value) -> Change {
    Change { key, revision: modified, entry: Some(Entry { created, modified, value }) }
}

fn renewed(of: &str, created: Revision, modified: Revision, session: Session) -> Change {
    wrote(Key::Node(name(of)), created, modified, Value::Session(session))
}

fn record(owner: Option<Holder>, modified: Revision) -> Change {
    wrote(Key::Vip(VIP), 1, modified, Value::Record(Record { owner }))
}

/// A node `b` whose session went live at [`LIVE`] and that is ready for the VIP, of which nothing stands.
fn node() -> Node {
    let mut node = Node::new(Settings {
        name: name("b"),
        machine: "m/b".to_owned(),
        timing: Timing::DEFAULT,
        priority: 100,
        when_nobody_is_ready: WhenNobodyIsReady::Hold,
        drain: ms(10_000),
        preempt: None,
        vips: BTreeSet::from([VIP]),
    });
    let now = at(LIVE);
    node.take_in(now, Event::Found { standing: BTreeSet::new(), halfway: BTreeSet::new() });
    node.take_in(
        now,
        Event::Facts {
            links: BTreeMap::new(),
            ready: BTreeSet::from([VIP]),
            bound: ms(1_000),
            macs: BTreeMap::from([(VIP, OWN_MAC)]),
        },
    );
    node.take_in(now, Event::Listed(5, Vec::new()));
    node.own.goes_live(now, OWN);
    node.lease = now + ms(1_000);
    node
}

fn hear(node: &mut Node, millis: u64, changes: Vec<Change>) {
    node.take_in(at(millis), Event::Changed(changes));
}

fn vip(node: &mut Node) -> &mut Vip {
    node.vips.get_mut(&VIP).unwrap()
}

/// The node as owner, in a phase of one.
fn owning(ownership: Ownership) -> Node {
    let mut node = node();
    hear(&mut node, LIVE, vec![record(Some(holder("b", OWN, 1_000)), 30)]);
    assert_eq!(vip(&mut node).phase, Phase::Ours(Ownership::Serving));
    vip(&mut node).phase = Phase::Ours(ownership);
    node
}

fn handoff() -> Handoff {
    let offer = Offer { to: name("a"), session: OWNERS, number: 7, mac: OWN_MAC };
    Handoff { offer, began: at(LIVE) }
}

fn offered() -> Ownership {
    Ownership::Offered { handoff: handoff(), until: at(LIVE + 500) }
}

fn yielding(in_doubt: bool) -> Ownership {
    Ownership::Yielding { handoff: handoff(), to: OTHER_MAC, until: at(LIVE + 500), in_doubt }
}

fn draining(opened: bool) -> Phase {
    let limits = DrainLimits { until: at(LIVE + 10_000), opens_by: at(LIVE + 500) };
    Phase::Draining(Draining { handoff: handoff(), to: OTHER_MAC, limits, opened })
}

/// A kernel that was ordered a role and confirmed it.
fn kernel(role: Role) -> Kernel {
    let mut kernel = Kernel::off();
    kernel.order(role);
    kernel.confirms(role);
    kernel
}
