//! Planned moves, told as stories.

use std::net::IpAddr;

use super::node;
use super::world::{World, ip, mac, ms, settings};
use mantle_sim::Mutant;
use mantle_sim::protocol::node::{Effect, Event, Happening, How, NoHandoff, Purpose, Settings};
use mantle_sim::protocol::{Answer, Health, NodeName, Stance, Timing, Value, Write};

/// So many nodes for these VIPs, all fenced by the kernel program; the first is owner.
fn fenced(names: &[&str], vips: &[IpAddr]) -> World {
    let mut world = World::new();
    world.fenced = true;
    for name in names {
        world.start(settings(name, vips), &[]);
    }
    assert!(vips.iter().all(|vip| world.owner(*vip) == Some(0)));
    world.pass(ms(1_000));
    for host in &mut world.hosts {
        host.ordered.clear();
        host.committed.clear();
        host.told.clear();
    }
    world
}

fn name(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn hand_off(world: &mut World, at: usize, to: Option<&str>) {
    world.give(at, Event::HandOff { vip: ip(1), to: to.map(name) });
}

/// Why a node says that it does not hand a VIP over.
fn refusals(world: &World, at: usize) -> Vec<NoHandoff> {
    let refusal = |told: &Happening| match told {
        Happening::NotHandedOver { why, .. } => Some(why.clone()),
        _ => None,
    };
    world.hosts[at].told.iter().filter_map(refusal).collect()
}

fn stance(world: &World, at: usize) -> Stance {
    world.hosts[at].stances.get(&ip(1)).copied().unwrap_or(Stance::Off)
}

fn epoch(world: &World) -> i64 {
    world.store.keys[&super::vip(1)].modified
}

#[test]
fn a_vip_is_prepared_for_then_yielded_then_handed_over_then_drained() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    assert_eq!(world.owner(ip(1)), Some(1));
    assert_eq!(stance(&world, 0), Stance::Forwarding { to: mac(1) });
    assert!(
        matches!(world.hosts[0].ordered[..], [Stance::Yielding { to, .. }, Stance::Forwarding { .. }] if to == mac(1))
    );
    let drained =
        |stance: &Stance| matches!(stance, Stance::Owner { drain: Some(from), .. } if *from == mac(0));
    assert_eq!(world.hosts[1].ordered[0], Stance::Prepared { from: mac(0) });
    assert!(
        drained(&world.hosts[1].ordered[1]) && world.hosts[1].ordered.len() == 2,
        "{:?}",
        world.hosts[1].ordered
    );
    assert!(matches!(
        &world.hosts[1].told[..],
        [Happening::BecameOwner { how: How::HandedOver { from }, .. }] if *from == name("a")
    ));
    assert!(
        world.hosts[0].committed.iter().all(|purpose| matches!(purpose, Purpose::Renew | Purpose::HandOver))
    );

    world.pass(ms(9_900));
    assert_eq!(stance(&world, 0), Stance::Forwarding { to: mac(1) }, "its connections are served");
    world.pass(ms(200));
    assert_eq!(stance(&world, 0), Stance::Off);
    assert!(matches!(stance(&world, 1), Stance::Owner { drain: None, .. }));
    assert_eq!(world.owner(ip(1)), Some(1));
    assert!(world.hosts[0].told.contains(&Happening::DrainEnded { vip: ip(1) }));
}

#[test]
fn nothing_is_handed_over_before_the_kernel_yields() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.hosts[0].confirms = false;
    hand_off(&mut world, 0, None);
    let [yielding @ Stance::Yielding { to, number }] = world.hosts[0].ordered[..] else {
        panic!("{:?}", world.hosts[0].ordered)
    };
    assert!(!world.hosts[0].committed.contains(&Purpose::HandOver));
    world.give(0, Event::Stood(ip(1), Stance::Yielding { to, number: number - 1 }));
    assert!(!world.hosts[0].committed.contains(&Purpose::HandOver), "that was an earlier order's");
    world.hosts[0].stances.insert(ip(1), yielding);
    world.give(0, Event::Stood(ip(1), yielding));
    assert_eq!(world.owner(ip(1)), Some(1));
}

#[test]
fn a_drain_ends_as_soon_as_no_connection_is_left() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    world.give(0, Event::Drained(ip(1)));
    assert_eq!(stance(&world, 0), Stance::Off);
    assert!(matches!(stance(&world, 1), Stance::Owner { drain: None, .. }), "b is told at once");
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
    world.give(1, Event::Stood(ip(1), prepared));
    assert!(matches!(stance(&world, 0), Stance::Yielding { .. }), "what comes meanwhile is served here");
    let owner = world.hosts[1].ordered[1];
    world.hosts[1].stances.insert(ip(1), owner);
    world.give(1, Event::Stood(ip(1), owner));
    assert_eq!((stance(&world, 0), world.owner(ip(1))), (Stance::Off, Some(1)));
}

#[test]
fn the_one_that_was_asked_for_is_handed_the_vip() {
    let mut world = fenced(&["a", "b", "c"], &[ip(1)]);
    hand_off(&mut world, 0, Some("c"));
    assert_eq!(world.owner(ip(1)), Some(2));
    hand_off(&mut world, 2, Some("a"));
    assert_eq!(world.owner(ip(1)), Some(0), "also back, while it still drains");
    assert!(matches!(stance(&world, 0), Stance::Owner { drain: Some(from), .. } if from == mac(2)));
    assert_eq!(stance(&world, 2), Stance::Forwarding { to: mac(0) });
}

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
    assert_eq!(world.hosts[0].ordered, [], "it is worn all the while");
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
    let limit = Timing::DEFAULT.right / 2;
    world.pass(limit.saturating_sub(ms(1)));
    assert_eq!(world.owner(ip(1)), Some(0));
    world.pass(ms(2));
    assert_eq!(world.owner(ip(1)), Some(2));
    world.hosts[1].stances.insert(ip(1), Stance::Off);
    world.give(1, Event::Stood(ip(1), Stance::Off));
    world.pass(ms(3_000));
    assert_eq!(stance(&world, 1), Stance::Off, "b is prepared for nothing any more");
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
    assert!(world.store.value(&node("a")).is_some(), "its right keeps the fence open for what it drains");
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
        .map(|(look, stance)| Event::Stood(look.ip, *stance))
        .collect();
    assert_eq!(yielding.len(), 250);
    let effects = world.hosts[0].node.handle_all(world.now, yielding);
    let handed = |effect: &Effect| match effect {
        Effect::Commit(request) if request.purpose == Purpose::HandOver => {
            assert!(request.txn.compares.len() <= 128 && request.txn.writes.len() <= 128, "etcd takes 128");
            Some(request.txn.writes.len() - 1)
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
    assert_eq!(stance(&world, 0), Stance::Forwarding { to: mac(1) });
}

/// A handover of unknown outcome: sent, and held up on its way to etcd.
fn held_up() -> World {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.put(0, Event::HandOff { vip: ip(1), to: None });
    while !world.hosts[0].committed.contains(&Purpose::HandOver) {
        assert!(world.step());
    }
    world.hosts[0].etcd = false;
    world.give(0, Event::Tick);
    assert!(
        matches!(stance(&world, 0), Stance::Yielding { .. }),
        "it must not be owner: the other one may be"
    );
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
    assert_eq!(stance(&world, 0), Stance::Forwarding { to: mac(1) });
}

#[test]
fn in_doubt_nothing_is_served_past_the_right() {
    let mut world = held_up();
    world.pass(ms(1_100));
    assert_eq!(stance(&world, 0), Stance::Off);
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
    effects.into_iter().filter(|effect| matches!(effect, Effect::Stand(_, Stance::Owner { .. }))).collect()
}

#[test]
fn a_late_answer_to_what_took_a_vip_up_does_not_bring_it_back() {
    assert_eq!(ordered_on_a_late_answer(None), []);
    let broken = ordered_on_a_late_answer(Some(Mutant::LateTakingHonoured));
    assert_eq!(broken.len(), 1, "the rule is not put to the test");
}

#[test]
fn a_successor_that_dies_during_the_drain_is_replaced_by_whoever_drains() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    hand_off(&mut world, 0, None);
    world.hosts[1].runs = false;
    world.pass(ms(1_600));
    assert_eq!(world.owner(ip(1)), Some(0));
    assert!(
        !world.hosts[0].ordered.contains(&Stance::Off),
        "its connections live on: {:?}",
        world.hosts[0].ordered
    );
}

#[test]
fn who_is_prepared_replaces_an_owner_that_dies() {
    let mut world = fenced(&["a", "b"], &[ip(1)]);
    world.put(0, Event::HandOff { vip: ip(1), to: None });
    while stance(&world, 1) == Stance::Off {
        assert!(world.step());
    }
    world.hosts[0].runs = false;
    let died = world.now;
    while world.owner(ip(1)) != Some(1) {
        world.pass(ms(1));
        assert!(world.now.since(died) < ms(1_500));
    }
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

/// What goes wrong with a node in the middle of a handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Its agent is killed, and another comes soon.
    Kill,
    /// Its machine dies, and never comes back.
    Die,
    /// Its agent stops where it is, for longer than its right.
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
            let standing = stance(world, at) != Stance::Off;
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
                        let Some(Value::Record(record)) = world.store.value(&super::vip(1)) else {
                            panic!("{context}")
                        };
                        let named = record.owner.as_ref().map(|holder| holder.node.as_str());
                        assert_eq!(named, owner.map(|owner| names[owner]), "{context}");
                        for at in (0..names.len()).filter(|at| Some(*at) != owner && world.hosts[*at].runs) {
                            assert_eq!(
                                stance(&world, at),
                                Stance::Off,
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
