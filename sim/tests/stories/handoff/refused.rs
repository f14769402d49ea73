//! What is not handed over, and who is passed over.

use super::{epoch, fenced, hand_off, name, refusals, role};
use crate::world::{ip, ms};
use mantle_protocol::{Event, Health, NoHandoff, Role, Timing};

#[test]
fn what_cannot_be_handed_over_stays_and_it_is_said_why() {
    let mut world = fenced(&["a", "b", "c", "d", "e"], &[ip(1)]);
    world.give(1, Event::Health([(ip(1), Health::Failing)].into()));
    world.hosts[2].fenced = false;
    world.ready(2, [ip(1)].into());
    world.hosts[3].runs = false;
    world.hosts[4].runs = false;
    world.pass(ms(3_000));
    for to in [Some("b"), Some("c"), Some("d"), Some("nobody"), Some("a"), None] {
        hand_off(&mut world, 0, to);
    }
    hand_off(&mut world, 1, None);
    world.give(0, Event::HandOff { vip: ip(9), to: None });
    assert_eq!(
        refusals(&world, 0),
        [
            NoHandoff::NotReady(name("b")),
            NoHandoff::NotAble(name("c")),
            NoHandoff::NotAlive(name("d")),
            NoHandoff::NotAlive(name("nobody")),
            NoHandoff::OwnerAlready,
            NoHandoff::NobodyReady,
            NoHandoff::UnknownVip,
        ]
    );
    assert_eq!(refusals(&world, 1), [NoHandoff::OwnedBy(name("a"))]);
    assert_eq!(world.hosts[0].ordered, [], "it is served all the while");
}

#[test]
fn who_is_not_fenced_by_the_kernel_program_hands_nothing_over() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.hosts[0].fenced = false;
    world.ready(0, [ip(1)].into());
    hand_off(&mut world, 0, None);
    assert_eq!(refusals(&world, 0), [NoHandoff::NotFenced]);
    world.give(0, Event::Stop);
    assert_eq!(world.owner(ip(1)), Some(1), "the plain release goes on working");
    assert!(world.hosts[0].ended);
}

#[test]
fn who_does_not_prepare_in_time_is_passed_over() {
    let mut world = fenced(&["a", "b", "c"], &[ip(1)]);
    world.hosts[1].confirms = false;
    hand_off(&mut world, 0, None);
    let limit = Timing::DEFAULT.lease / 2;
    world.pass(limit.saturating_sub(ms(1)));
    assert_eq!(world.owner(ip(1)), Some(0));
    world.pass(ms(2));
    assert_eq!(world.owner(ip(1)), Some(2));
    world.hosts[1].roles.insert(ip(1), Role::Off);
    world.give(1, Event::RoleConfirmed(ip(1), Role::Off));
    world.pass(ms(3_000));
    assert_eq!(role(&world, 1), Role::Off, "b is prepared for nothing any more");
}

#[test]
fn what_nobody_prepares_for_stays_if_it_can() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.hosts[1].confirms = false;
    let before = epoch(&world);
    hand_off(&mut world, 0, None);
    world.pass(ms(5_000));
    assert_eq!(refusals(&world, 0), [NoHandoff::Unprepared(name("b"))]);
    assert_eq!((world.owner(ip(1)), epoch(&world)), (Some(0), before));
    assert_eq!(world.hosts[0].ordered, []);
}
