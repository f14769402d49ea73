//! What a VIP is handed over for: an agent's end, failing health, a preferred node.

use std::net::IpAddr;

use super::{fenced, node, role};
use crate::world::{World, ip, mac, ms, settings};
use mantle_protocol::{Effect, Event, Health, Purpose, Role, Settings};

#[test]
fn an_agent_that_ends_hands_over_and_lives_on_for_the_drain() {
    let vips: Vec<IpAddr> = (1..=250).map(ip).collect();
    let mut world = fenced(&["a", "b"], &vips);
    world.give(0, Event::Stop);
    assert!(vips.iter().all(|vip| world.owner(*vip) == Some(1)));
    let handovers = world.hosts[0].committed.iter().filter(|purpose| **purpose == Purpose::HandOver).count();
    assert!(!world.hosts[0].committed.contains(&Purpose::Release));
    assert!(handovers <= vips.len(), "{handovers}");
    world.pass(ms(9_900));
    assert!(!world.hosts[0].ended);
    assert!(world.store.value(&node("a")).is_some(), "its lease keeps the fence open for what it drains");
    world.pass(ms(200));
    assert!(world.hosts[0].ended);
    assert_eq!(world.store.value(&node("a")), None);
}

#[test]
fn what_yields_together_is_handed_over_together() {
    let vips: Vec<IpAddr> = (1..=250).map(ip).collect();
    let mut world = fenced(&["a", "b"], &vips);
    world.hosts[0].confirms = false;
    world.give(0, Event::Stop);
    let yielding: Vec<Event> = world.hosts[0]
        .node
        .vips()
        .zip(&world.hosts[0].ordered)
        .map(|(look, role)| Event::RoleConfirmed(look.ip, *role))
        .collect();
    assert_eq!(yielding.len(), 250);
    let effects = world.hosts[0].node.handle_all(world.now, yielding);
    let handed = |effect: &Effect| match effect {
        Effect::Commit(request) if request.purpose == Purpose::HandOver => {
            assert!(
                request.txn.compares().len() <= 128 && request.txn.writes().len() <= 128,
                "etcd takes 128"
            );
            Some(request.txn.writes().len() - 1)
        }
        _ => None,
    };
    assert_eq!(effects.iter().filter_map(handed).collect::<Vec<_>>(), [100, 100, 50]);
}

#[test]
fn an_agent_that_ends_releases_what_nobody_prepares_for() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.hosts[1].confirms = false;
    world.give(0, Event::Stop);
    world.pass(ms(600));
    assert!(world.hosts[0].ended);
    assert!(world.hosts[0].committed.contains(&Purpose::Release));
}

#[test]
fn a_link_that_fails_is_no_time_for_a_handoff() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.ready(0, [].into());
    assert_eq!(world.owner(ip(1)), Some(1));
    assert!(world.hosts[0].committed.contains(&Purpose::Release));
    assert!(!world.hosts[0].committed.contains(&Purpose::HandOver));
}

#[test]
fn a_failing_owner_hands_over() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.give(0, Event::Health([(ip(1), Health::Failing)].into()));
    assert_eq!(world.owner(ip(1)), Some(1));
    assert!(!world.hosts[0].committed.contains(&Purpose::Release));
    assert_eq!(role(&world, 0), Role::Forwarding { to: mac(1) });
}

#[test]
fn a_preferred_node_is_handed_the_vip_back_after_the_delay_and_not_without_being_told() {
    for preempt in [None, Some(ms(5_000))] {
        let mut world = World::new();
        world.fenced = true;
        world.start(Settings { preempt, ..settings("a", &[ip(1)]) }, &[]);
        world.start(Settings { priority: 200, ..settings("b", &[ip(1)]) }, &[]);
        world.pass(ms(4_000));
        // It must have been there without a break.
        world.ready(1, [].into());
        world.ready(1, [ip(1)].into());
        world.pass(ms(4_900));
        assert_eq!(world.owner(ip(1)), Some(0));
        world.pass(ms(200));
        assert_eq!(world.owner(ip(1)), Some(usize::from(preempt.is_some())));
        assert!(!world.hosts[0].committed.contains(&Purpose::Release));
    }
}

#[test]
fn two_nodes_that_end_at_the_same_time_do_not_hand_a_vip_to_and_fro() {
    let mut world = fenced(&["a", "b", "c"], &[ip(1)]);
    // The second is told while the first drains: it has the VIP by then, and hands it on to the third.
    world.give(0, Event::Stop);
    assert_eq!(world.owner(ip(1)), Some(1));
    world.give(1, Event::Stop);
    assert_eq!(world.owner(ip(1)), Some(2));
    world.give(2, Event::Stop);
    world.pass(ms(1_000));
    assert_eq!(world.owner(ip(1)), None, "nobody is left who does not end");
    let handovers: Vec<usize> = world
        .hosts
        .iter()
        .map(|host| host.committed.iter().filter(|purpose| **purpose == Purpose::HandOver).count())
        .collect();
    assert_eq!(handovers, [1, 1, 0], "nothing is handed to a node that ends");
}
