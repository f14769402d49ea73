//! The former owner serves what comes until its successor answers: what it sent on before would be lost.

use super::{fenced, hand_off, node, role};
use crate::world::{World, ip, mac, ms, settings};
use mantle_protocol::{Event, Purpose, Request, Role, Session, Value, Write};

/// Whether a node sends on what comes to another that does not serve it.
fn sends_on_too_early(world: &World) -> bool {
    let serves = |at: usize| matches!(role(world, at), Role::Owner { .. } | Role::Yielding { .. });
    let sends_on_to = |at: usize, to: usize| role(world, at) == Role::Forwarding { to: mac(to) };
    (sends_on_to(0, 1) && !serves(1)) || (sends_on_to(1, 0) && !serves(0))
}

/// Takes step after step, with what happens at each, until nothing is on its way and the last that was to happen has.
fn sends_on_nothing_too_early(
    world: &mut World,
    last: usize,
    when: &str,
    mut happens: impl FnMut(&mut World, usize),
) {
    for step in 0.. {
        happens(world, step);
        let goes_on = world.step();
        assert!(!sends_on_too_early(world), "step {step}: {when}");
        if !goes_on && step > last {
            return;
        }
    }
}

/// The VIP is handed back to a while it still drains; the drain ends after so many steps, and for so many more the kernel does not
/// come round to a's orders.
fn handed_back(ends_at: usize, takes: usize) {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    assert_eq!(role(&world, 0), Role::Forwarding { to: mac(1) });
    world.put(1, Event::HandOff { vip: ip(1), to: None });
    let when = format!("the drain ends at {ends_at}, the kernel takes {takes}");
    let mut done = 0;
    sends_on_nothing_too_early(&mut world, ends_at + takes, &when, |world, step| {
        if step == ends_at {
            world.put(0, Event::Drained(ip(1)));
            world.hosts[0].confirms = false;
            done = world.hosts[0].ordered.len();
        }
        if step == ends_at + takes {
            world.hosts[0].confirms = true;
            for order in world.hosts[0].ordered.split_off(done) {
                world.order(0, ip(1), order);
            }
        }
    });
    assert_eq!(world.owner(ip(1)), Some(0), "{when}");
}

#[test]
fn nothing_is_sent_on_too_early_whenever_the_successors_own_drain_ends() {
    for takes in 1..20 {
        for ends_at in 0..40 {
            handed_back(ends_at, takes);
        }
    }
}

/// The VIP is handed over while a copy of b's last renewal is on its way, which knows nothing of it; etcd carries that out after so
/// many steps, later than what b says meanwhile.
fn overtaken(lands_at: usize) {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    let renews = |request: &&Request| request.purpose == Purpose::Renew;
    let copy = world.hosts[1].asked.iter().rfind(renews).unwrap().clone();
    world.put(0, Event::HandOff { vip: ip(1), to: None });
    let when = format!("the copy is carried out at {lands_at}");
    sends_on_nothing_too_early(&mut world, lands_at, &when, |world, step| {
        if step == lands_at {
            world.carry_out_copy(&copy);
        }
    });
    assert_eq!(world.owner(ip(1)), Some(1), "{when}");
}

#[test]
fn nothing_is_sent_on_too_early_whenever_etcd_carries_out_a_renewal_that_was_overtaken() {
    for lands_at in 0..40 {
        overtaken(lands_at);
    }
}

#[test]
fn what_a_node_says_that_resumed_its_session_is_news() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.pass(ms(10_000));
    world.restart(1, settings("b", &[ip(1)]), &[]);
    hand_off(&mut world, 0, Some("b"));
    assert_eq!(world.owner(ip(1)), Some(1));
}

/// A foreign hand counts for b.
fn counted(world: &mut World, counter: u64) {
    let Value::Session(session) = world.store.keys[&node("b")].value.clone() else { unreachable!() };
    world.force(&Write::Put(node("b"), Value::Session(Session { counter, ..session })));
}

#[test]
fn a_node_is_heard_whatever_a_foreign_hand_counts_for_it() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    counted(&mut world, 1_000_000);
    hand_off(&mut world, 0, Some("b"));
    assert_eq!(world.owner(ip(1)), Some(1));
}

#[test]
fn a_counter_at_its_end_keeps_nobody_from_being_heard() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    counted(&mut world, u64::MAX);
    world.restart(1, settings("b", &[ip(1)]), &[]);
    hand_off(&mut world, 0, Some("b"));
    assert_eq!(world.owner(ip(1)), Some(1));
}
