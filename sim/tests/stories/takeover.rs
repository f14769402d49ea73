//! Taking over: who goes first, how many VIPs at once, and not in the wake of an etcd that stood still.

use super::*;
use mantle_protocol::{Answer, Timing, Txn, retry_for};

/// How long after its last renewal an owner that has fallen silent is replaced, by whom.
fn replaced(world: &mut World, owner: usize) -> (std::time::Duration, usize) {
    let last = world.now;
    world.hosts[owner].runs = false;
    while world.owner(ip(1)).is_none_or(|at| at == owner) {
        world.pass(ms(1));
        assert!(world.now.since(last) < ms(2_000), "nobody took over");
    }
    (world.now.since(last), world.owner(ip(1)).unwrap())
}

/// An owner and two standbys, of which the second has this priority.
fn three(priority: u32) -> World {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        let mut settings = settings(name, &[ip(1)]);
        settings.priority = if name == "c" { priority } else { settings.priority };
        world.start(settings, &[]);
    }
    assert_eq!(world.owner(ip(1)), Some(0));
    world.pass(ms(1_000));
    world
}

#[test]
fn standbys_step_forward_by_priority_and_then_by_name() {
    assert_eq!(replaced(&mut three(100), 0).1, 1);
    assert_eq!(replaced(&mut three(101), 0).1, 2);
}

#[test]
fn a_standby_that_died_with_the_owner_costs_a_step_and_no_more() {
    let mut world = three(100);
    let (first, _) = replaced(&mut world.clone(), 0);
    world.hosts[1].runs = false;
    let (second, by) = replaced(&mut world, 0);
    assert_eq!(by, 2);
    let step = Timing::DEFAULT.renew / 4;
    assert!(second + ms(1) >= first + step && second <= first + step + ms(1), "{second:?} after {first:?}");
}

/// What a node commits next.
fn commits(effects: Vec<Effect>) -> Vec<Request> {
    let commit = |effect| match effect {
        Effect::Commit(request) => Some(request),
        _ => None,
    };
    effects.into_iter().filter_map(commit).collect()
}

#[test]
fn what_does_not_fit_into_one_transaction_follows_all_at_once() {
    let mut world = World::new();
    let vips: Vec<IpAddr> =
        (0..1_024_u16).map(|n| IpAddr::from([10, 1, n.to_be_bytes()[0], n.to_be_bytes()[1]])).collect();
    let a = world.start(settings("a", &vips), &[]);
    let b = world.start(settings("b", &vips), &[]);
    world.hosts[a].runs = false;
    // Short of the silence: what b decides then is for this test to answer.
    world.pass(ms(1_290));
    let mut taking = Vec::new();
    while taking.is_empty() {
        world.now = world.now + ms(1);
        let mut decided = commits(world.hosts[b].node.handle(world.now, Event::Tick));
        decided.retain(|request| request.purpose == Purpose::TakeOver);
        taking = decided;
    }
    let [first] = &taking[..] else { panic!("{} of them delete the session", taking.len()) };
    let (answer, _) = world.store.commit(&first.txn);
    assert!(matches!(answer, Answer::Done(_)));
    let event = Event::Answered { request: first.clone(), sent: world.now, answer };
    let following = commits(world.hosts[b].node.handle(world.now, event));
    let claimed =
        |txn: &Txn| txn.writes().iter().filter(|write| matches!(write, Write::Put(Key::Vip(_), _))).count();
    assert!(following.iter().all(|request| request.purpose == Purpose::Claim));
    assert_eq!(
        following.iter().chain(&taking).map(|request| claimed(&request.txn)).sum::<usize>(),
        vips.len()
    );
    for request in following.iter().chain(&taking) {
        assert!(request.txn.compares().len() <= 128 && request.txn.writes().len() <= 128, "etcd takes 128");
        let (answer, _) = world.store.commit(&request.txn);
        assert!(request == first || matches!(answer, Answer::Done(_)), "{answer:?}");
    }
}

#[test]
fn after_a_stall_of_etcd_a_standby_waits_until_the_owner_could_have_been_heard() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    for host in [a, b] {
        world.hosts[host].etcd = false;
    }
    world.pass(ms(5_000));
    assert_eq!(world.owner(ip(1)), None);
    // The owner died meanwhile; nobody can know that yet.
    world.hosts[a].runs = false;
    world.hosts[b].etcd = true;
    let back = world.now;
    while world.owner(ip(1)).is_none() {
        world.pass(ms(1));
        assert!(world.now.since(back) < ms(1_000), "nobody took over");
    }
    let waited = world.now.since(back);
    let chance = 2 * retry_for(Timing::DEFAULT.lease);
    assert!(waited >= chance, "{waited:?}: the owner had no chance to be heard");
}

#[test]
fn a_further_try_of_a_renewal_moves_the_right_on_and_never_back() {
    let (mut world, a, _) = two();
    world.hosts[a].etcd = false;
    world.pass(ms(500));
    let lease = world.hosts[a].node.lease();
    let Standing::Live(session) = world.hosts[a].node.standing() else { panic!("a has a session") };
    let sent = lease - Timing::DEFAULT.lease;
    let mut acknowledged = |session, sent| {
        world.give(a, Event::AcknowledgedToo { session, sent });
        world.hosts[a].node.lease()
    };
    assert_eq!(acknowledged(Some(session), sent - ms(30)), lease, "it was sent earlier than another");
    assert_eq!(acknowledged(Some(session - 1), sent + ms(30)), lease, "it was a former session's (I6)");
    assert_eq!(acknowledged(None, sent + ms(30)), lease);
    assert_eq!(acknowledged(Some(session), sent + ms(30)), lease + ms(30), "from when it was sent (I3)");
}

#[test]
fn listening_anew_does_not_make_a_dead_owner_wait_for_anew() {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    let last = world.now;
    world.hosts[a].runs = false;
    world.pass(ms(700));
    // Its watch was at a member that died with the owner.
    world.relist(b);
    while world.owner(ip(1)) != Some(b) {
        world.pass(ms(1));
        assert!(
            world.now.since(last) < ms(1_400),
            "it waits for what its last renewal cannot allow any more"
        );
    }
}

/// A standby that was deaf for a while listens anew, and finds the owner's session as `write` has left it. The owner, which
/// went on renewing unheard, knows nothing of that.
fn deaf_while(write: &Write) {
    let (mut world, a, b) = two();
    world.pass(ms(1_000));
    world.hosts[b].watch = false;
    world.pass(ms(1_200));
    world.hosts[a].etcd = false;
    world.hosts[a].watch = false;
    world.force(write);
    world.hosts[b].watch = true;
    world.relist(b);
    let lease = world.hosts[a].node.lease();
    assert!(lease > world.now + ms(500));
    // The world looks for two owners at every step.
    world.pass(ms(5_000));
}

#[test]
fn a_session_that_vanished_unheard_may_have_been_renewed_before() {
    deaf_while(&Write::Delete(node("a")));
}

#[test]
fn a_session_overwritten_unheard_may_have_been_renewed_before() {
    deaf_while(&Write::Put(node("a"), Value::Garbage));
}

#[test]
fn a_session_that_was_never_heard_of_is_not_known_to_be_gone() {
    let (mut world, a, b) = two();
    for at in [a, b] {
        world.ready(at, [].into());
    }
    world.hosts[a].runs = false;
    world.force(&Write::Delete(node("a")));
    // b is deaf from here on, while a comes back and takes up what nobody holds.
    world.hosts[b].watch = false;
    world.hosts[b].lists = false;
    world.restart(a, settings("a", &[ip(1)]), &[]);
    assert_eq!(world.owner(ip(1)), Some(a));
    // All that b ever learns of it is the record, by being refused.
    world.ready(b, [ip(1)].into());
    world.pass(ms(1_250));
    assert!(world.hosts[b].committed.contains(&Purpose::Claim));
    // a is frozen with its lease going on, and a hand deletes its session before b asks again.
    world.hosts[a].runs = false;
    world.force(&Write::Delete(node("a")));
    world.pass(ms(2_000));
    assert_eq!(world.owner(ip(1)), None, "b cannot know for how long a may go on");
    // With ears it begins to wait.
    world.relist(b);
    world.pass(ms(1_200));
    assert_eq!(world.owner(ip(1)), None);
    world.pass(ms(200));
    assert_eq!(world.owner(ip(1)), Some(b));
}
