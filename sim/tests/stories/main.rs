//! What a node does, told as stories against a store that behaves as etcd promises to.

#![expect(clippy::unwrap_used, reason = "a story that lacks what it asks for has failed")]

mod handoff;
mod health;
mod outage;
mod takeover;
mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;

use mantle_protocol::{
    Answer, Change, Effect, Entry, Event, How, Instant, Key, Node, Notice, Purpose, Record, Request, Role,
    Settings, Standing, Value, Write,
};
use mantle_sim::Mutant;
use world::{World, ip, ms, settings};

/// Two nodes, one VIP; the first is owner.
fn two() -> (World, usize, usize) {
    let mut world = World::new();
    let a = world.start(settings("a", &[ip(1)]), &[]);
    let b = world.start(settings("b", &[ip(1)]), &[]);
    assert_eq!(world.owner(ip(1)), Some(a));
    (world, a, b)
}

fn vip(last: u8) -> Key {
    Key::Vip(ip(last))
}

fn node(name: &str) -> Key {
    Key::Node(name.parse().unwrap())
}

#[test]
fn the_first_node_claims_and_the_second_stands_by() {
    let (mut world, a, b) = two();
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(!world.hosts[b].committed.contains(&Purpose::Claim));
    assert!(!world.hosts[b].committed.contains(&Purpose::TakeOver));
}

#[test]
fn an_owner_renews_five_times_as_often_as_a_standby() {
    let (mut world, a, b) = two();
    world.hosts[a].committed.clear();
    world.hosts[b].committed.clear();
    world.pass(ms(10_000));
    assert_eq!(world.hosts[a].committed, vec![Purpose::Renew; 50]);
    assert_eq!(world.hosts[b].committed, vec![Purpose::Renew; 10]);
}

#[test]
fn a_nodes_own_addresses_are_published_with_the_next_renewal_and_none_is_sent_for_them() {
    let (mut world, a, b) = two();
    let published = |world: &World| match world.store.value(&node("b")) {
        Some(Value::Session(session)) => session.addresses.clone(),
        other => panic!("no session of b but {other:?}"),
    };
    world.pass(ms(5_000));
    world.hosts[b].committed.clear();
    world.give(b, Event::Addresses(vec![ip(7)]));
    assert_eq!((published(&world), world.hosts[b].committed.len()), (vec![], 0), "nobody waits for it");
    world.pass(ms(1_000));
    assert_eq!((published(&world), &*world.hosts[b].committed), (vec![ip(7)], &[Purpose::Renew][..]));
    let look = world.hosts[a].node.peers().next().map(|peer| peer.session.addresses.clone());
    assert_eq!(look, Some(vec![ip(7)]), "the other node knows");
    world.give(b, Event::Addresses(Vec::new()));
    world.pass(ms(1_000));
    assert_eq!(published(&world), Vec::<IpAddr>::new());
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn a_stopping_owner_gives_up_only_what_the_kernel_has_confirmed() {
    let (mut world, a, b) = two();
    world.hosts[a].confirms = false;
    world.give(a, Event::Stop);
    assert!(!world.hosts[a].committed.contains(&Purpose::Release), "released while it may still answer");
    world.hosts[a].roles.insert(ip(1), Role::Off);
    world.give(a, Event::RoleConfirmed(ip(1), Role::Off));
    assert_eq!(world.owner(ip(1)), Some(b), "the standby claims at once");
    assert!(world.hosts[a].ended);
    assert_eq!(world.store.value(&node("a")), None);
}

#[test]
fn a_silent_owner_is_replaced_after_its_silence_and_not_before() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    world.hosts[a].runs = false;
    let last = world.now;
    world.pass(ms(1_000));
    assert_eq!(world.owner(ip(1)), None);
    while world.owner(ip(1)).is_none() {
        world.pass(ms(1));
        assert!(world.now.since(last) < ms(1_500), "nobody took over");
    }
    assert!(world.now.since(last) >= ms(1_100), "{:?} is too early", world.now.since(last));
    assert_eq!(world.owner(ip(1)), Some(b));
    assert_eq!(world.store.value(&node("a")), None, "the silent session is deleted in the same transaction");
    assert!(matches!(
        world.hosts[b].told.last(),
        Some(Notice::BecameOwner { how: How::TookOver { silence, .. }, .. }) if *silence >= ms(1_300)
    ));
}

#[test]
fn a_thawed_owner_finds_its_session_gone_and_stands_by() {
    let (mut world, a, b) = two();
    world.hosts[a].runs = false;
    world.hosts[a].watch = false;
    world.pass(ms(3_000));
    assert_eq!(world.owner(ip(1)), Some(b));
    world.hosts[a].runs = true;
    world.give(a, Event::Tick);
    assert!(matches!(world.hosts[a].roles[&ip(1)], Role::Off), "over by its own clock, before any answer");
    world.pass(ms(3_000));
    assert_eq!(world.owner(ip(1)), Some(b));
    assert!(world.hosts[a].told.iter().any(|told| matches!(told, Notice::SessionLost(_))));
}

#[test]
fn what_is_given_up_together_is_released_together() {
    let mut world = World::new();
    let ips: Vec<IpAddr> = (1..=5).map(ip).collect();
    let a = world.start(settings("a", &ips), &[]);
    world.hosts[a].confirms = false;
    world.give(a, Event::Stop);
    let off: Vec<_> = ips.iter().map(|ip| Event::RoleConfirmed(*ip, Role::Off)).collect();
    let effects = world.hosts[a].node.handle_all(world.now, off);
    let released = |effect: &Effect| match effect {
        Effect::Commit(request) if request.purpose == Purpose::Release => Some(request.txn.writes().len()),
        _ => None,
    };
    assert_eq!(effects.iter().filter_map(released).collect::<Vec<_>>(), [ips.len()]);
}

#[test]
fn a_right_that_is_not_renewed_ends_and_comes_back_with_etcd() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    world.hosts[a].etcd = false;
    world.hosts[b].etcd = false;
    world.pass(ms(1_001));
    assert_eq!(world.hosts[a].roles[&ip(1)], Role::Off);
    assert!(world.hosts[a].told.contains(&Notice::LeaseExpired { vips: 1 }));
    world.pass(ms(2_000));
    world.hosts[a].etcd = true;
    world.hosts[b].etcd = true;
    world.pass(ms(300));
    assert_eq!(world.owner(ip(1)), Some(a), "a stall of etcd ends with the owner it began with");
    assert!(world.hosts[a].told.contains(&Notice::LeaseRegained { vips: 1 }));
    assert!(!world.hosts[b].committed.contains(&Purpose::TakeOver));
}

/// A node whose lease ended and came back, with the kernel's word on both orders held back.
fn lease_back_unconfirmed() -> (World, usize) {
    let (mut world, a, _) = two();
    world.pass(ms(1_000));
    world.hosts[a].confirms = false;
    world.hosts[a].ordered.clear();
    world.hosts[a].etcd = false;
    world.pass(ms(1_001));
    world.hosts[a].etcd = true;
    world.pass(ms(300));
    assert!(world.hosts[a].node.lease() > world.now);
    (world, a)
}

#[test]
fn nothing_is_put_on_before_its_taking_off_was_confirmed() {
    let (mut world, a) = lease_back_unconfirmed();
    assert_eq!(world.hosts[a].ordered, [Role::Off]);
    world.give(a, Event::RoleConfirmed(ip(1), Role::Off));
    assert!(matches!(world.hosts[a].ordered[..], [Role::Off, Role::Owner { .. }]));
}

#[test]
fn an_earlier_off_is_no_confirmation_of_a_later_one() {
    let (mut world, a) = lease_back_unconfirmed();
    world.give(a, Event::RoleConfirmed(ip(1), Role::Off));
    world.give(a, Event::Stop);
    assert!(matches!(world.hosts[a].ordered[..], [Role::Off, Role::Owner { .. }, Role::Off]));
    assert!(!world.hosts[a].committed.contains(&Purpose::Release), "released while it is being put on");
    world.give(a, Event::RoleConfirmed(ip(1), world.hosts[a].ordered[1]));
    assert!(!world.hosts[a].committed.contains(&Purpose::Release), "released while it is served");
    world.give(a, Event::RoleConfirmed(ip(1), Role::Off));
    assert!(world.hosts[a].committed.contains(&Purpose::Release));
}

#[test]
fn a_right_counts_from_before_the_request_was_sent() {
    let (mut world, a, _) = two();
    world.hosts[a].etcd = false;
    world.pass(ms(150));
    let sent = world.now + ms(50);
    let effects = world.hosts[a].node.handle(sent, Event::Tick);
    let request = effects.into_iter().find_map(|effect| match effect {
        Effect::Commit(request) => Some(request),
        _ => None,
    });
    let request = request.unwrap();
    let (answer, _) = world.store.commit(&request.txn);
    world.now = sent + ms(700);
    world.give(a, Event::Answered { request, sent, answer });
    assert_eq!(world.hosts[a].node.lease(), sent + ms(1_000));
}

#[test]
fn a_session_deleted_by_hand_is_started_anew_and_nobody_else_steps_in() {
    let (mut world, a, _) = two();
    world.pass(ms(500));
    world.force(&Write::Delete(node("a")));
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(world.hosts[a].told.iter().any(|told| matches!(told, Notice::SessionLost(_))));
    world.pass(ms(3_000));
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn a_restarted_agent_resumes_what_still_stands() {
    let (mut world, a, _) = two();
    world.pass(ms(500));
    world.hosts[a].runs = false;
    world.pass(ms(300));
    world.restart(a, settings("a", &[ip(1)]), &[ip(1)]);
    assert_eq!(world.owner(ip(1)), Some(a));
    assert_eq!(world.hosts[a].committed[..], [Purpose::Resume], "nothing is released or claimed");
}

#[test]
fn what_no_longer_stands_is_rearmed_only_under_a_new_epoch() {
    let (mut world, a, _) = two();
    world.pass(ms(500));
    world.hosts[a].runs = false;
    let before = world.store.keys[&vip(1)].modified;
    world.restart(a, settings("a", &[ip(1)]), &[]);
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(world.store.keys[&vip(1)].modified > before, "a release of the predecessor could still commit");
}

/// Both held by a, which comes back knowing only the first, with `found` still standing.
fn back_without_the_second(found: &[IpAddr]) -> (World, usize, usize) {
    let mut world = World::new();
    let a = world.start(settings("a", &[ip(1), ip(2)]), &[]);
    let b = world.start(settings("b", &[ip(1), ip(2)]), &[]);
    world.pass(ms(500));
    world.hosts[a].runs = false;
    world.hosts[a].confirms = false;
    world.restart(a, settings("a", &[ip(1)]), found);
    (world, a, b)
}

#[test]
fn what_a_predecessor_held_and_the_config_no_longer_knows_is_given_up() {
    let (mut world, a, b) = back_without_the_second(&[ip(1)]);
    assert_eq!(world.owner(ip(2)), Some(b), "nobody could take it from a live session");
    assert_eq!(world.hosts[a].committed, [Purpose::Resume, Purpose::Release]);
    assert_eq!(world.hosts[a].node.vips().count(), 1, "given up and forgotten");
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(2)), Some(b));
}

#[test]
fn what_the_config_no_longer_knows_is_not_given_up_while_it_stands() {
    let (mut world, a, b) = back_without_the_second(&[ip(1), ip(2)]);
    world.pass(ms(500));
    assert!(!world.hosts[a].committed.contains(&Purpose::Release));
    world.hosts[a].roles.insert(ip(2), Role::Off);
    world.give(a, Event::RoleConfirmed(ip(2), Role::Off));
    assert_eq!(world.owner(ip(2)), Some(b));
}

#[test]
fn a_late_claim_of_a_predecessor_is_given_up_too() {
    let mut world = World::new();
    let a = world.start(settings("a", &[ip(1)]), &[]);
    let b = world.start(settings("b", &[ip(1), ip(2)]), &[]);
    let Some(Value::Record(record)) = world.store.value(&vip(1)).cloned() else { panic!("a is owner") };
    world.force(&Write::Put(vip(2), Value::Record(record)));
    world.pass(ms(500));
    assert_eq!(world.owner(ip(2)), Some(b));
    assert_eq!(world.hosts[a].node.vips().count(), 1);
}

#[test]
fn a_name_in_live_use_is_refused_and_its_bearer_not_disturbed() {
    let (mut world, a, b) = two();
    let mut twin = settings("a", &[ip(1)]);
    twin.machine = "another machine".to_owned();
    let twin = world.start(twin, &[]);
    world.pass(ms(30_000));
    assert_eq!(world.hosts[twin].node.standing(), Standing::InUse);
    assert_eq!(world.hosts[twin].node.name_held_by(), Some("machine-of-a"));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(world.hosts[twin].committed.is_empty());
    world.hosts[a].runs = false;
    world.pass(ms(10_000));
    assert_eq!(world.owner(ip(1)), Some(b));
    assert!(matches!(world.hosts[twin].node.standing(), Standing::Live(_)), "free once its bearer is silent");
}

#[test]
fn garbage_in_a_record_is_mended_by_the_owner() {
    let (mut world, a, b) = two();
    for write in [Write::Put(vip(1), Value::Garbage), Write::Delete(vip(1))] {
        world.force(&write);
        world.pass(ms(100));
        assert_eq!(world.owner(ip(1)), Some(a));
        assert!(matches!(world.store.value(&vip(1)), Some(Value::Record(_))), "{write:?}");
    }
    assert!(world.hosts[b].told.contains(&Notice::Garbage(vip(1))));
    assert!(!world.hosts[b].committed.contains(&Purpose::Claim));
}

#[test]
fn garbage_that_nobody_mends_ends_after_the_longest_right() {
    let mut world = World::new();
    world.force(&Write::Put(vip(1), Value::Garbage));
    let a = world.start(settings("a", &[ip(1)]), &[]);
    world.pass(ms(15_000));
    assert_eq!(world.owner(ip(1)), None);
    world.pass(ms(400));
    assert_eq!(world.owner(ip(1)), Some(a));
}

#[test]
fn stale_news_is_never_applied() {
    let (mut world, a, _) = two();
    let nobody = Entry { created: 1, modified: 1, value: Value::Record(Record { owner: None }) };
    world.give(a, Event::Changed(vec![Change { key: vip(1), revision: 1, entry: Some(nobody) }]));
    world.give(a, Event::Listed(1, Vec::new()));
    assert_eq!(world.owner(ip(1)), Some(a));
    let epoch = world.store.keys[&vip(1)].modified;
    assert!(matches!(world.hosts[a].roles[&ip(1)], Role::Owner { epoch: served, .. } if served == epoch));
}

#[test]
fn a_fence_that_has_become_slower_is_in_the_record_before_anything_is_worn_behind_it() {
    let (mut world, a, _) = two();
    world.facts(a, [ip(1)].into(), ms(2_150));
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(matches!(world.hosts[a].roles[&ip(1)], Role::Owner { bound, .. } if bound == ms(2_150)));
    let Some(Value::Record(Record { owner: Some(holder) })) = world.store.value(&vip(1)) else {
        panic!("a's record is gone")
    };
    assert_eq!(holder.bound, ms(2_150));
    assert!(!world.hosts[a].ordered.contains(&Role::Off), "nothing was given up for it");
}

#[test]
fn a_deaf_standby_that_suspects_is_refused_and_listens_anew() {
    let (mut world, a, b) = two();
    world.hosts[b].watch = false;
    world.pass(ms(4_000));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(world.hosts[b].committed.contains(&Purpose::TakeOver), "it took its own deafness for silence");
}

#[test]
fn a_standby_takes_nothing_from_a_session_whose_start_it_missed() {
    let (mut world, a, b) = two();
    world.hosts[b].watch = false;
    world.force(&Write::Delete(node("a")));
    world.pass(ms(100));
    assert_eq!(world.owner(ip(1)), Some(a), "under a new session");
    let entry = world.store.keys[&vip(1)].clone();
    let change = Change { key: vip(1), revision: entry.modified, entry: Some(entry) };
    world.give(b, Event::Changed(vec![change]));
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(a));
    assert!(
        world.hosts[b].committed.contains(&Purpose::Claim),
        "it took what it missed for what is not there"
    );
}

#[test]
fn a_deaf_standby_does_not_count_its_deafness_as_the_silence_of_a_session_deleted_by_hand() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    world.hosts[a].watch = false;
    world.hosts[b].watch = false;
    world.hosts[b].lists = false;
    world.pass(ms(1_290));
    world.force(&Write::Delete(node("a")));
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(a), "under a new session");
    assert!(world.hosts[b].committed.contains(&Purpose::TakeOver), "it took its own deafness for silence");
}

/// What a node orders that lost its session while the answer to its claim was under way, and hears it under the next.
fn ordered_on_an_old_answer(mutant: Option<Mutant>) -> Vec<Effect> {
    let now = Instant::ZERO + ms(60_000);
    let mut a = Node::new(settings("a", &[ip(1)]));
    let mut asked = Vec::new();
    let mut hear = |node: &mut Node, event| {
        let effects = node.handle(now, event);
        let request = |effect: &Effect| match effect {
            Effect::Commit(request) => Some(request.clone()),
            _ => None,
        };
        asked.extend(effects.iter().filter_map(request));
        (effects, asked.clone())
    };
    let done = |request: &Request, revision| Event::Answered {
        request: request.clone(),
        sent: now,
        answer: Answer::Done(revision),
    };
    hear(&mut a, Event::Found { standing: [].into(), halfway: [].into() });
    let facts = Event::Facts {
        links: BTreeMap::new(),
        ready: [ip(1)].into(),
        bound: ms(1_000),
        macs: BTreeMap::new(),
    };
    hear(&mut a, facts);
    let (_, asked) = hear(&mut a, Event::Listed(0, Vec::new()));
    let (_, asked) = hear(&mut a, done(asked.last().unwrap(), 1));
    let claim = asked.iter().find(|request| request.purpose == Purpose::Claim).unwrap().clone();
    // The claim is carried out at revision 2; at 3 another takes over, whose record is not heard of yet.
    let gone = Change { key: node("a"), revision: 3, entry: None };
    let (_, asked) = hear(&mut a, Event::Changed(vec![gone]));
    hear(&mut a, done(asked.last().unwrap(), 4));
    assert_eq!(a.standing(), Standing::Live(4));
    let answer = done(&claim, 2);
    let standing = a.standing();
    let answer = mutant.map_or(answer.clone(), |mutant| mutant.tells(answer, now, standing));
    let (effects, _) = hear(&mut a, answer);
    effects.into_iter().filter(|effect| matches!(effect, Effect::AssumeRole(_, Role::Owner { .. }))).collect()
}

#[test]
fn an_answer_to_an_older_session_puts_nothing_on() {
    assert_eq!(ordered_on_an_old_answer(None), []);
    assert_eq!(
        ordered_on_an_old_answer(Some(Mutant::OldAnswersHonoured)).len(),
        1,
        "the rule is not put to the test"
    );
}

#[test]
fn a_vip_whose_link_fails_is_released_and_taken_up_elsewhere() {
    let (mut world, a, b) = two();
    world.ready(a, [].into());
    assert_eq!(world.owner(ip(1)), Some(b));
    world.ready(a, [ip(1)].into());
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), Some(b), "no fail-back by itself");
}

#[test]
fn a_crash_with_many_vips_is_taken_over_in_batches_without_further_waits() {
    let mut world = World::new();
    let vips: Vec<_> = (0..250).map(ip).collect();
    let a = world.start(settings("a", &vips), &[]);
    let b = world.start(settings("b", &vips), &[]);
    assert_eq!(world.owner(ip(249)), Some(a));
    world.hosts[a].runs = false;
    world.pass(ms(1_400));
    assert!(vips.iter().all(|vip| world.owner(*vip) == Some(b)));
    let moves =
        world.hosts[b].committed.iter().filter(|p| matches!(p, Purpose::Claim | Purpose::TakeOver)).count();
    assert_eq!(moves, 3);
}

#[test]
fn a_dead_standbys_session_is_cleared_away_in_the_end() {
    let (mut world, a, b) = two();
    world.hosts[b].runs = false;
    world.pass(ms(12_000));
    assert!(world.store.value(&node("b")).is_some());
    world.pass(ms(3_000));
    assert!(world.store.value(&node("b")).is_none());
    assert_eq!(world.owner(ip(1)), Some(a));
}
