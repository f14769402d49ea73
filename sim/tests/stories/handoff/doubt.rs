//! What follows when nobody knows whether a VIP was handed over.

use super::{epoch, fenced, hand_off, name, node, refusals, role};
use crate::world::{World, ip, mac, ms, settings};
use mantle_protocol::{Answer, Effect, Event, NoHandoff, Purpose, Role, Write};
use mantle_sim::Mutant;

/// A handover of unknown outcome: sent, and held up on its way to etcd.
fn held_up() -> World {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.put(0, Event::HandOff { vip: ip(1), to: None });
    while !world.hosts[0].committed.contains(&Purpose::HandOver) {
        assert!(world.step());
    }
    world.hosts[0].etcd = false;
    world.give(0, Event::Tick);
    assert!(matches!(role(&world, 0), Role::Yielding { .. }), "it must not be owner: the other one may be");
    world
}

#[test]
fn after_an_unknown_outcome_the_owner_comes_back_only_under_a_new_epoch() {
    let mut world = held_up();
    let before = epoch(&world);
    // A read shows that the record still is its own. That is not enough.
    world.relist(0);
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), None);
    world.hosts[0].etcd = true;
    world.pass(ms(300));
    assert_eq!(world.owner(ip(1)), Some(0));
    assert!(epoch(&world) > before);
    world.let_late_requests_go_on();
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(0), "what was held up found another record");
    assert_eq!(refusals(&world, 0), [NoHandoff::Unprepared(name("b"))]);
}

#[test]
fn a_handover_that_is_carried_out_late_is_one() {
    let mut world = held_up();
    world.let_late_requests_go_on();
    assert_eq!(world.owner(ip(1)), Some(1));
    assert_eq!(role(&world, 0), Role::Forwarding { to: mac(1) });
}

#[test]
fn in_doubt_nothing_is_served_past_the_right() {
    let mut world = held_up();
    world.pass(ms(1_100));
    assert_eq!(role(&world, 0), Role::Off);
    world.let_late_requests_go_on();
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), Some(1));
}

#[test]
fn a_refused_handover_is_definite() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.put(0, Event::HandOff { vip: ip(1), to: None });
    while !world.hosts[0].committed.contains(&Purpose::HandOver) {
        assert!(world.step());
    }
    let before = epoch(&world);
    world.force(&Write::Delete(node("b")));
    assert_eq!((world.owner(ip(1)), epoch(&world)), (Some(0), before), "b is gone: a goes on as it was");
}

#[test]
fn an_agent_that_comes_back_halfway_goes_on_only_under_a_new_epoch() {
    let mut world = held_up();
    let before = epoch(&world);
    world.hosts[0].etcd = true;
    world.restart(0, settings("a", &[ip(1)]), &[ip(1)]);
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), Some(0));
    assert!(epoch(&world) > before, "its predecessor's handover could still be carried out");
    world.let_late_requests_go_on();
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(0));
}

/// What a node orders that has handed a VIP over, and hears then once more that it took the VIP up.
fn ordered_on_a_late_answer(mutant: Option<Mutant>) -> Vec<Effect> {
    let mut world = World::new();
    world.fenced = true;
    world.start(settings("a", &[ip(1)]), &[]);
    let request =
        world.hosts[0].asked.iter().find(|request| request.purpose == Purpose::Claim).unwrap().clone();
    world.start(settings("b", &[ip(1)]), &[]);
    let answer = Answer::Done(epoch(&world));
    hand_off(&mut world, 0, None);
    assert_eq!(world.owner(ip(1)), Some(1));
    let late = Event::Answered { sent: world.now, request, answer };
    let standing = world.hosts[0].node.standing();
    let late = mutant.map_or(late.clone(), |mutant| mutant.tells(late, world.now, standing));
    let effects = world.hosts[0].node.handle(world.now, late);
    effects.into_iter().filter(|effect| matches!(effect, Effect::AssumeRole(_, Role::Owner { .. }))).collect()
}

#[test]
fn a_late_answer_to_what_took_a_vip_up_does_not_bring_it_back() {
    assert_eq!(ordered_on_a_late_answer(None), []);
    let broken = ordered_on_a_late_answer(Some(Mutant::LateTakingHonoured));
    assert_eq!(broken.len(), 1, "the rule is not put to the test");
}
