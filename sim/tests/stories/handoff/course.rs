//! How a handoff goes when nothing goes wrong.

use super::{fenced, hand_off, name, role};
use crate::world::{World, ip, mac, ms, settings};
use mantle_protocol::{Event, How, Notice, Purpose, Role, Settings};

#[test]
fn a_vip_is_prepared_for_then_yielded_then_handed_over_then_drained() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    assert_eq!(world.owner(ip(1)), Some(1));
    assert_eq!(role(&world, 0), Role::Forwarding { to: mac(1) });
    assert!(
        matches!(world.hosts[0].ordered[..], [Role::Yielding { to, .. }, Role::Forwarding { .. }] if to == mac(1))
    );
    let drained = |role: &Role| matches!(role, Role::Owner { drain: Some(from), .. } if *from == mac(0));
    assert_eq!(world.hosts[1].ordered[0], Role::Prepared { from: mac(0) });
    assert!(
        drained(&world.hosts[1].ordered[1]) && world.hosts[1].ordered.len() == 2,
        "{:?}",
        world.hosts[1].ordered
    );
    assert!(matches!(
        &world.hosts[1].told[..],
        [Notice::BecameOwner { how: How::HandedOver { from }, .. }] if *from == name("a")
    ));
    assert!(
        world.hosts[0].committed.iter().all(|purpose| matches!(purpose, Purpose::Renew | Purpose::HandOver))
    );

    world.pass(ms(9_900));
    assert_eq!(role(&world, 0), Role::Forwarding { to: mac(1) }, "its connections are served");
    world.pass(ms(200));
    assert_eq!(role(&world, 0), Role::Off);
    assert!(matches!(role(&world, 1), Role::Owner { drain: None, .. }));
    assert_eq!(world.owner(ip(1)), Some(1));
    assert!(world.hosts[0].told.contains(&Notice::DrainEnded { vip: ip(1) }));
}

#[test]
fn nothing_is_handed_over_before_the_kernel_yields() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.hosts[0].confirms = false;
    hand_off(&mut world, 0, None);
    let [yielding @ Role::Yielding { to, number }] = world.hosts[0].ordered[..] else {
        panic!("{:?}", world.hosts[0].ordered)
    };
    assert!(!world.hosts[0].committed.contains(&Purpose::HandOver));
    world.give(0, Event::RoleConfirmed(ip(1), Role::Yielding { to, number: number - 1 }));
    assert!(!world.hosts[0].committed.contains(&Purpose::HandOver), "that was an earlier order's");
    world.hosts[0].roles.insert(ip(1), yielding);
    world.give(0, Event::RoleConfirmed(ip(1), yielding));
    assert_eq!(world.owner(ip(1)), Some(1));
}

#[test]
fn a_drain_ends_as_soon_as_no_connection_is_left() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    world.give(0, Event::Drained(ip(1)));
    assert_eq!(role(&world, 0), Role::Off);
    assert!(matches!(role(&world, 1), Role::Owner { drain: None, .. }), "b is told at once");
}

#[test]
fn without_a_drain_the_address_goes_when_the_successor_answers() {
    let mut world = World::new();
    world.fenced = true;
    let brief = |name| Settings { drain: ms(0), ..settings(name, &[ip(1)]) };
    world.start(brief("a"), &[]);
    world.start(brief("b"), &[]);
    world.hosts[1].confirms = false;
    hand_off(&mut world, 0, None);
    let prepared = world.hosts[1].ordered[0];
    world.give(1, Event::RoleConfirmed(ip(1), prepared));
    assert!(matches!(role(&world, 0), Role::Yielding { .. }), "what comes meanwhile is served here");
    let owner = world.hosts[1].ordered[1];
    world.hosts[1].roles.insert(ip(1), owner);
    world.give(1, Event::RoleConfirmed(ip(1), owner));
    assert_eq!((role(&world, 0), world.owner(ip(1))), (Role::Off, Some(1)));
}

#[test]
fn the_one_that_was_asked_for_is_handed_the_vip() {
    let mut world = fenced(&["a", "b", "c"], &[ip(1)]);
    hand_off(&mut world, 0, Some("c"));
    assert_eq!(world.owner(ip(1)), Some(2));
    hand_off(&mut world, 2, Some("a"));
    assert_eq!(world.owner(ip(1)), Some(0), "also back, while it still drains");
    assert!(matches!(role(&world, 0), Role::Owner { drain: Some(from), .. } if from == mac(2)));
    assert_eq!(role(&world, 2), Role::Forwarding { to: mac(0) });
}
