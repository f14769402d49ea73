//! What a failing check means for a VIP, told as stories.

use std::collections::BTreeMap;

use super::world::{World, ip, ms, settings};
use super::{node, two};
use mantle_protocol::{
    Event, Health, Instant, Notice, Purpose, Role, Session, Value, WhenNobodyIsReady, Write,
};

/// A node's checks now judge the one VIP so.
fn judged(world: &mut World, at: usize, health: Health) {
    world.give(at, Event::Health(BTreeMap::from([(ip(1), health)])));
}

/// Two nodes with the policy `release`; the first is owner.
fn two_that_release() -> (World, usize, usize) {
    let mut world = World::new();
    let [a, b] = ["a", "b"].map(|name| {
        let mut settings = settings(name, &[ip(1)]);
        settings.when_nobody_is_ready = WhenNobodyIsReady::Release;
        world.start(settings, &[])
    });
    assert_eq!(world.owner(ip(1)), Some(a));
    (world, a, b)
}

fn says_ready(world: &World, name: &str) -> bool {
    match world.store.value(&node(name)) {
        Some(Value::Session(session)) => session.ready.contains(&ip(1)),
        other => panic!("no session of {name} but {other:?}"),
    }
}

/// When the owner of the VIP changes next.
fn changes_after(world: &mut World, limit: u64) -> Option<(Instant, Option<usize>)> {
    let before = world.owner(ip(1));
    for _ in 0..limit {
        world.pass(ms(1));
        if world.owner(ip(1)) != before {
            return Some((world.now, world.owner(ip(1))));
        }
    }
    None
}

#[test]
fn a_failing_owner_gives_up_to_one_that_is_ready() {
    for (mut world, a, b) in [two(), two_that_release()] {
        world.pass(ms(1_000));
        judged(&mut world, a, Health::Failing);
        assert_eq!(world.owner(ip(1)), Some(b), "at once: nobody waits for a silence");
        assert!(!says_ready(&world, "a"));
        world.pass(ms(10_000));
        assert_eq!(world.owner(ip(1)), Some(b));
        judged(&mut world, a, Health::Good);
        world.pass(ms(10_000));
        assert_eq!(world.owner(ip(1)), Some(b), "back in good health is no reason to move");
        assert!(says_ready(&world, "a"));
    }
}

#[test]
fn a_failing_owner_holds_while_nobody_else_is_ready() {
    let (mut world, a, b) = two();
    judged(&mut world, b, Health::Failing);
    world.pass(ms(1_000));
    world.hosts[a].ordered.clear();
    judged(&mut world, a, Health::Failing);
    world.pass(ms(60_000));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert_eq!(world.hosts[a].ordered, [], "it is served all the while");
    assert!(!says_ready(&world, "a"), "others are told the truth");

    judged(&mut world, b, Health::Good);
    assert_eq!(world.owner(ip(1)), Some(b), "until somebody is ready");
}

#[test]
fn a_failing_owner_told_to_release_does_so_though_nobody_is_ready() {
    let (mut world, a, b) = two_that_release();
    judged(&mut world, b, Health::Failing);
    judged(&mut world, a, Health::Failing);
    world.pass(ms(60_000));
    assert_eq!(world.owner(ip(1)), None);
    assert!(matches!(world.hosts[a].roles[&ip(1)], Role::Off));
    judged(&mut world, a, Health::Good);
    assert_eq!(world.owner(ip(1)), Some(a), "the first to be ready takes it");
}

#[test]
fn a_node_that_is_gone_is_nobody_to_give_up_to() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    world.hosts[b].runs = false;
    world.pass(ms(3_000));
    judged(&mut world, a, Health::Failing);
    world.pass(ms(60_000));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(!world.hosts[a].committed.contains(&Purpose::Release));
}

#[test]
fn what_a_node_that_just_died_does_not_take_is_taken_back() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    // Its last renewal is too young to tell.
    world.hosts[b].runs = false;
    judged(&mut world, a, Health::Failing);
    assert_eq!(world.owner(ip(1)), None);
    let gone = world.now;
    let (back, owner) = changes_after(&mut world, 5_000).expect("the VIP is stranded");
    assert_eq!(owner, Some(a));
    assert!(back.since(gone) <= ms(2_300), "{:?}", back.since(gone));
    world.pass(ms(60_000));
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn what_a_node_fails_over_before_it_takes_it_is_taken_back_at_once() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    // The successor neither hears of the release nor takes it.
    world.hosts[b].watch = false;
    judged(&mut world, a, Health::Failing);
    assert_eq!(world.owner(ip(1)), None);
    judged(&mut world, b, Health::Failing);
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn what_a_node_that_only_says_to_be_ready_does_not_take_is_taken_back_and_kept_for_a_while() {
    let (mut world, a, b) = two();
    judged(&mut world, b, Health::Failing);
    world.pass(ms(1_000));
    let Some(Value::Session(like)) = world.store.value(&node("b")).cloned() else { panic!("no session") };
    judged(&mut world, a, Health::Failing);
    // Its user may write sessions but no records, say.
    let mut dark = 0;
    for at in 0..60_000 {
        if at % 500 == 0 {
            let session = Session { ready: [ip(1)].into(), counter: at, ..like.clone() };
            world.force(&Write::Put(node("c"), Value::Session(session)));
        }
        world.pass(ms(1));
        dark += u32::from(world.owner(ip(1)).is_none());
    }
    let releases = world.hosts[a].committed.iter().filter(|purpose| **purpose == Purpose::Release).count();
    assert!((2..=5).contains(&releases), "{releases} times");
    assert!(dark <= 7_500, "nobody answered for {dark} ms of a minute");

    judged(&mut world, b, Health::Good);
    world.pass(ms(15_000));
    assert_eq!(world.owner(ip(1)), Some(b), "one that takes it is given it in the end");
}

#[test]
fn what_another_took_and_left_is_not_taken_back() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    judged(&mut world, a, Health::Failing);
    assert_eq!(world.owner(ip(1)), Some(b));
    world.give(b, Event::Stop);
    world.pass(ms(30_000));
    assert_eq!(world.owner(ip(1)), None, "a was not the last to hold it");
    judged(&mut world, a, Health::Good);
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn a_node_that_fails_takes_nothing_up() {
    let (mut world, a, b) = two();
    judged(&mut world, b, Health::Failing);
    world.pass(ms(1_000));
    world.hosts[a].runs = false;
    world.pass(ms(60_000));
    assert_eq!(world.owner(ip(1)), None);
    judged(&mut world, b, Health::Good);
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(b));
}

#[test]
fn a_node_without_a_verdict_takes_nothing_up() {
    let mut world = World::new();
    let mut checked = settings("a", &[ip(1)]);
    checked.vips.insert(ip(2));
    let a = world.start(settings("a", &[]), &[]);
    world.hosts[a].node = mantle_protocol::Node::new(checked.clone());
    judged(&mut world, a, Health::Unknown);
    world.ready(a, checked.vips);
    world.relist(a);
    world.pass(ms(10_000));
    assert_eq!(world.owner(ip(1)), None);
    assert_eq!(world.owner(ip(2)), Some(a), "a VIP without a check does not wait for another's");
    judged(&mut world, a, Health::Good);
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn a_resumed_owner_keeps_its_vip_while_its_checks_have_not_run() {
    for (mut world, a, b) in [two(), two_that_release()] {
        world.pass(ms(1_000));
        world.hosts[a].node = mantle_protocol::Node::new(settings("a", &[ip(1)]));
        world.hosts[a].committed.clear();
        judged(&mut world, a, Health::Unknown);
        world.give(a, Event::Found { standing: [ip(1)].into(), halfway: [].into() });
        world.ready(a, [ip(1)].into());
        world.relist(a);
        world.pass(ms(30_000));
        assert_eq!(world.owner(ip(1)), Some(a));
        assert!(!world.hosts[a].committed.contains(&Purpose::Release));
        judged(&mut world, a, Health::Failing);
        assert_eq!(world.owner(ip(1)), Some(b));
    }
}

#[test]
fn two_that_fail_by_turns_move_no_more_often_than_one_is_ready() {
    let (mut world, a, b) = two();
    judged(&mut world, b, Health::Failing);
    for _ in 0..20 {
        // The owner fails and recovers while the other one goes on failing.
        judged(&mut world, a, Health::Failing);
        world.pass(ms(500));
        judged(&mut world, a, Health::Good);
        world.pass(ms(500));
    }
    assert_eq!(world.owner(ip(1)), Some(a));
    let moves = |at: usize| {
        let owned = |told: &&Notice| matches!(told, Notice::BecameOwner { .. });
        world.hosts[at].told.iter().filter(owned).count()
    };
    assert_eq!((moves(a), moves(b)), (1, 0));
}

#[test]
fn a_failing_node_that_stops_leaves_the_vip_to_nobody() {
    let (mut world, a, b) = two();
    judged(&mut world, b, Health::Failing);
    judged(&mut world, a, Health::Failing);
    world.give(a, Event::Stop);
    assert!(world.hosts[a].ended);
    assert_eq!(world.owner(ip(1)), None);
}

#[test]
fn a_failing_owner_whose_session_is_deleted_by_hand_takes_its_vip_back() {
    let (mut world, a, b) = two();
    judged(&mut world, b, Health::Failing);
    judged(&mut world, a, Health::Failing);
    world.pass(ms(1_000));
    world.force(&Write::Delete(node("a")));
    world.pass(ms(3_000));
    assert_eq!(world.owner(ip(1)), Some(a));
}
