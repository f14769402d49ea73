//! What goes wrong with either node, at whichever step.

use std::net::IpAddr;

use super::{fenced, hand_off, node, role, vip};
use crate::world::{World, ip, ms, settings};
use mantle_protocol::{Event, Role, Value, Write};

#[test]
fn a_successor_that_dies_during_the_drain_is_replaced_by_whoever_drains() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    world.hosts[1].runs = false;
    world.pass(ms(1_600));
    assert_eq!(world.owner(ip(1)), Some(0));
    assert!(
        !world.hosts[0].ordered.contains(&Role::Off),
        "its connections live on: {:?}",
        world.hosts[0].ordered
    );
}

#[test]
fn who_is_prepared_replaces_an_owner_that_dies() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.put(0, Event::HandOff { vip: ip(1), to: None });
    while role(&world, 1) == Role::Off {
        assert!(world.step());
    }
    world.hosts[0].runs = false;
    let died = world.now;
    while world.owner(ip(1)) != Some(1) {
        world.pass(ms(1));
        assert!(world.now.since(died) < ms(1_500));
    }
}

/// What goes wrong with a node in the middle of a handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Its agent is killed, and another comes soon.
    Kill,
    /// Its machine dies, and never comes back.
    Die,
    /// Its agent stops where it is, for longer than its lease.
    Freeze,
    /// What it sends to etcd is held up, and it hears nothing.
    CutFromEtcd,
    /// Its link is down.
    CutFromSwitch,
    /// Somebody deletes its session.
    LoseSession,
    /// It is told to end.
    Stop,
}

const FAULTS: [Fault; 7] = [
    Fault::Kill,
    Fault::Die,
    Fault::Freeze,
    Fault::CutFromEtcd,
    Fault::CutFromSwitch,
    Fault::LoseSession,
    Fault::Stop,
];

fn strike(world: &mut World, fault: Fault, at: usize) {
    match fault {
        Fault::Kill | Fault::Die => world.hosts[at].runs = false,
        Fault::Freeze => world.freeze(at),
        Fault::CutFromEtcd => (world.hosts[at].etcd, world.hosts[at].watch) = (false, false),
        Fault::CutFromSwitch => world.put(at, Event::Tick),
        Fault::LoseSession => {}
        Fault::Stop => world.put(at, Event::Stop),
    }
    match fault {
        Fault::CutFromSwitch => world.ready(at, [].into()),
        Fault::LoseSession => world.force(&Write::Delete(node(["a", "b", "c"][at]))),
        _ => {}
    }
}

fn mend(world: &mut World, fault: Fault, at: usize) {
    match fault {
        Fault::Kill => {
            let standing = role(world, at) != Role::Off;
            let found: &[IpAddr] = if standing { &[ip(1)] } else { &[] };
            world.restart(at, settings(["a", "b", "c"][at], &[ip(1)]), found);
        }
        Fault::Freeze => world.thaw(at),
        Fault::CutFromEtcd => {
            world.let_late_requests_go_on();
            (world.hosts[at].etcd, world.hosts[at].watch) = (true, true);
            world.relist(at);
        }
        Fault::CutFromSwitch => world.ready(at, [ip(1)].into()),
        Fault::Die | Fault::LoseSession | Fault::Stop => {}
    }
}

/// Whatever goes wrong with either node at whichever step of a handoff: the world looks for two owners at every step, and
/// in the end there is one.
#[test]
fn whatever_goes_wrong_at_whichever_step_there_is_one_owner_at_most_and_one_in_the_end() {
    let mut told = 0;
    for names in [&["a", "b"][..], &["a", "b", "c"]] {
        for fault in FAULTS {
            for victim in 0..2 {
                for pause in [ms(150), ms(700), ms(2_500)] {
                    for step in 0.. {
                        let mut world = fenced(names, &[ip(1)]);
                        world.put(0, Event::HandOff { vip: ip(1), to: None });
                        if !(0..step).all(|_| world.step()) {
                            assert!(step > 15, "a handoff takes more steps than {step}");
                            break;
                        }
                        strike(&mut world, fault, victim);
                        world.pass(pause);
                        mend(&mut world, fault, victim);
                        world.pass(ms(15_000));
                        told += 1;
                        let owner = world.owner(ip(1));
                        let context =
                            format!("{fault:?} of {} at step {step} for {pause:?}: {owner:?}", names[victim]);
                        assert!(owner.is_some(), "{context}");
                        let Some(Value::Record(record)) = world.store.value(&vip(1)) else {
                            panic!("{context}")
                        };
                        let named = record.owner.as_ref().map(|holder| holder.node.as_str());
                        assert_eq!(named, owner.map(|owner| names[owner]), "{context}");
                        for at in (0..names.len()).filter(|at| Some(*at) != owner && world.hosts[*at].runs) {
                            assert_eq!(
                                role(&world, at),
                                Role::Off,
                                "{context}: what is left on {}",
                                names[at]
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(told > 1_000, "{told} courses are too few");
}
