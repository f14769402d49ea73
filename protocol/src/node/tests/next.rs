//! What is next for a VIP, row by row of the table in docs/protocol.md.

use super::super::next::Next;
use super::super::vip::Inflight;
use super::*;

const YIELDS: Role = Role::Yielding { to: OTHER_MAC, number: 7 };

fn next(node: &Node, millis: u64) -> Next {
    node.next(at(millis), VIP)
}

/// A standby that hears of the owner `a` at [`LIVE`].
fn standing_by() -> Node {
    let mut node = node();
    let owner = record(Some(holder("a", OWNERS, 1_000)), 30);
    hear(&mut node, LIVE, vec![renewed("a", OWNERS, 29, session_of(true, 1_000)), owner]);
    node
}

/// Something that keeps a node from taking a VIP.
type Spoil<'a> = &'a dyn Fn(&mut Node);

/// The VIP is released by its owner at [`LIVE`].
fn released(node: &mut Node) {
    hear(node, LIVE, vec![record(Some(holder("c", 9, 1_000)), 29)]);
    hear(node, LIVE, vec![record(None, 30)]);
}

/// When a standby takes over that last heard of the owner at this time: after S, as nobody goes before it.
const fn silent_after(millis: u64) -> u64 {
    millis + 1_300
}

/// Has etcd acknowledge the node's renewals from one time to another, so that silence counts.
fn acknowledged(node: &mut Node, from: u64, to: u64) {
    node.own.goes_live(at(from), OWN);
    node.own.acknowledged(at(to), at(to));
}

#[test]
fn a_vip_is_released_only_when_its_kernel_is_off() {
    let mut node = owning(Ownership::Releasing);
    assert_eq!(next(&node, LIVE), Next::Release);
    for role in [YIELDS, Role::Owner { epoch: 30, bound: ms(1_000), drain: None }] {
        vip(&mut node).kernel = kernel(role);
        assert_eq!(next(&node, LIVE), Next::Nothing, "{role:?}");
    }
    vip(&mut node).kernel = Kernel::left(false);
    assert_eq!(next(&node, LIVE), Next::Nothing, "what an earlier agent left may stand");
}

#[test]
fn a_vip_is_handed_over_only_when_its_kernel_yields_to_that_very_offer() {
    let mut node = owning(yielding(false));
    assert_eq!(next(&node, LIVE), Next::Nothing);
    for (role, expected) in [
        (YIELDS, Next::HandOver((name("a"), OWNERS))),
        (Role::Yielding { to: OTHER_MAC, number: 6 }, Next::Nothing),
        (Role::Yielding { to: OWN_MAC, number: 7 }, Next::Nothing),
        (Role::Owner { epoch: 30, bound: ms(1_000), drain: None }, Next::Nothing),
    ] {
        vip(&mut node).kernel = kernel(role);
        assert_eq!(next(&node, LIVE), expected, "{role:?}");
    }
    // Confirmed, but something else is ordered by now.
    let mut ordered_back = kernel(YIELDS);
    ordered_back.order(Role::Owner { epoch: 30, bound: ms(1_000), drain: None });
    vip(&mut node).kernel = ordered_back;
    assert_eq!(next(&node, LIVE), Next::Nothing);
}

#[test]
fn a_record_that_may_be_given_away_or_is_unsound_is_rewritten() {
    for ownership in [Ownership::MustRewrite, yielding(true)] {
        let mut node = owning(ownership.clone());
        vip(&mut node).kernel = kernel(YIELDS);
        assert_eq!(next(&node, LIVE), Next::Rewrite, "{ownership:?}");
    }
    let rewritten = |change: &dyn Fn(&mut Node)| {
        let mut node = owning(Ownership::Serving);
        assert_eq!(next(&node, LIVE), Next::Nothing);
        change(&mut node);
        next(&node, LIVE)
    };
    let deleted = Change { key: Key::Vip(VIP), revision: 31, entry: None };
    let garbage = wrote(Key::Vip(VIP), 1, 31, Value::Garbage);
    assert_eq!(rewritten(&|node| hear(node, LIVE, vec![deleted.clone()])), Next::Rewrite);
    assert_eq!(rewritten(&|node| hear(node, LIVE, vec![garbage.clone()])), Next::Rewrite);
    assert_eq!(
        rewritten(&|node| node.machine.bound = ms(1_001)),
        Next::Rewrite,
        "the bound outgrew the record"
    );
    assert_eq!(rewritten(&|node| node.machine.bound = ms(999)), Next::Nothing);
}

#[test]
fn an_owner_that_serves_or_offers_has_nothing_to_write() {
    for ownership in [Ownership::Serving, offered()] {
        assert_eq!(next(&owning(ownership.clone()), LIVE), Next::Nothing, "{ownership:?}");
    }
}

#[test]
fn what_is_under_way_or_was_refused_just_now_is_waited_for() {
    let mut node = owning(Ownership::Releasing);
    vip(&mut node).inflight = Inflight::UnderWay;
    assert_eq!(next(&node, LIVE), Next::Nothing);
    vip(&mut node).inflight = Inflight::None { retry_at: at(LIVE + 50) };
    assert_eq!(next(&node, LIVE + 49), Next::WakeAt(at(LIVE + 50)));
    assert_eq!(next(&node, LIVE + 50), Next::Release);
}

#[test]
fn a_vip_that_nobody_owns_is_claimed_in_turn() {
    let mut node = node();
    assert_eq!(next(&node, LIVE), Next::Claim { absent: None }, "it was never owned");
    released(&mut node);
    assert_eq!(next(&node, LIVE), Next::Claim { absent: None });
    // `a` goes before `b`: a quarter of R. One that is not ready, or goes after, does not.
    hear(&mut node, LIVE, vec![renewed("a", OWNERS, 31, session_of(true, 1_000))]);
    hear(&mut node, LIVE, vec![renewed("c", 11, 32, session_of(true, 1_000))]);
    hear(&mut node, LIVE, vec![renewed("aa", 12, 33, session_of(false, 1_000))]);
    assert_eq!(next(&node, LIVE + 49), Next::WakeAt(at(LIVE + 50)));
    assert_eq!(next(&node, LIVE + 50), Next::Claim { absent: None });
    // Of higher priority it goes first.
    node.settings.priority = 101;
    assert_eq!(next(&node, LIVE), Next::Claim { absent: None });
    // A session that has long been silent goes before nobody.
    node.settings.priority = 100;
    assert_eq!(next(&node, LIVE + 2_200), Next::Claim { absent: None });
}

#[test]
fn nothing_is_taken_by_a_node_that_is_not_ready_is_ending_or_may_answer() {
    let spoil: [(&str, Spoil<'_>); 5] = [
        ("not servable", &|node| vip(node).local.servable = false),
        ("its check fails", &|node| vip(node).local.health = crate::Health::Failing),
        ("it is ending", &|node| node.stopping = true),
        ("an address was left", &|node| vip(node).kernel = Kernel::left(false)),
        ("it is still in another role", &|node| vip(node).kernel = kernel(YIELDS)),
    ];
    for (why, spoil) in spoil {
        let mut node = node();
        assert_eq!(next(&node, LIVE), Next::Claim { absent: None });
        spoil(&mut node);
        assert_eq!(next(&node, LIVE), Next::Nothing, "{why}");
    }
    for role in [Role::Prepared { from: OTHER_MAC }, Role::Forwarding { to: OTHER_MAC }] {
        let mut node = node();
        vip(&mut node).kernel = kernel(role);
        assert_eq!(next(&node, LIVE), Next::Claim { absent: None }, "{role:?} answers nobody");
    }
}

#[test]
fn where_nobody_knows_who_owns_the_vip_the_longest_bound_is_waited_for() {
    let mut node = node();
    hear(&mut node, LIVE, vec![wrote(Key::Vip(VIP), 1, 30, Value::Garbage)]);
    assert_eq!(vip(&mut node).record.owner, Owner::Unknown);
    let wait = Timing::DEFAULT.silence_for(Timing::LONGEST_BOUND);
    assert_eq!(next(&node, LIVE), Next::WakeAt(at(LIVE) + wait));
    assert_eq!(node.next(at(LIVE) + wait, VIP), Next::Claim { absent: None });
}

#[test]
fn a_vip_whose_owner_has_no_session_is_claimed_after_the_owners_bound() {
    let mut node = node();
    hear(&mut node, LIVE, vec![record(Some(holder("a", OWNERS, 2_000)), 30)]);
    let wait = Timing::DEFAULT.silence_for(ms(2_000));
    assert_eq!(next(&node, LIVE), Next::WakeAt(at(LIVE) + wait));
    assert_eq!(node.next(at(LIVE) + wait, VIP), Next::Claim { absent: Some(name("a")) });
    // A session that came and went says how long it may go on at most.
    hear(&mut node, LIVE + 100, vec![renewed("a", OWNERS, 31, session_of(true, 3_000))]);
    hear(&mut node, LIVE + 200, vec![Change { key: Key::Node(name("a")), revision: 32, entry: None }]);
    let wait = Timing::DEFAULT.silence_for(ms(3_000));
    assert_eq!(next(&node, LIVE + 200), Next::WakeAt(at(LIVE + 100) + wait));
    // Another session of the same node is none of the record's owner.
    hear(&mut node, LIVE + 300, vec![renewed("a", 40, 40, session_of(true, 1_000))]);
    assert_eq!(next(&node, LIVE + 300), Next::WakeAt(at(LIVE + 100) + wait));
}

#[test]
fn a_record_that_was_learnt_before_the_watch_came_so_far_is_not_acted_on() {
    let mut node = node();
    let refused = record(Some(holder("a", OWNERS, 1_000)), 30);
    node.changes(at(LIVE), [refused]);
    let long_after = LIVE + 60_000;
    assert_eq!(next(&node, long_after), Next::Nothing, "whether the owner has a session is not known");
    hear(&mut node, long_after, vec![renewed("c", 31, 31, session_of(true, 1_000))]);
    assert_eq!(next(&node, long_after), Next::WakeAt(at(silent_after(long_after))), "known from now on");
}

#[test]
fn a_session_of_its_own_that_is_over_is_not_waited_for() {
    let mut node = node();
    hear(&mut node, LIVE, vec![record(Some(holder("b", 15, 1_000)), 30)]);
    assert_eq!(next(&node, LIVE), Next::WakeAt(at(silent_after(LIVE))), "another agent's, perhaps");
    node.own.is_lost(15);
    node.own.goes_live(at(LIVE), OWN);
    assert_eq!(next(&node, LIVE), Next::Claim { absent: None });
}

#[test]
fn a_silent_owner_is_taken_over_from_after_the_silence_and_etcds_word() {
    let mut node = standing_by();
    let silent = silent_after(LIVE);
    acknowledged(&mut node, LIVE, silent);
    assert_eq!(next(&node, silent - 1), Next::WakeAt(at(silent)));
    assert_eq!(next(&node, silent), Next::TakeOver(name("a")));
    // The owner's renewal begins the silence anew.
    hear(&mut node, silent, vec![renewed("a", OWNERS, 40, session_of(true, 1_000))]);
    assert_eq!(
        next(&node, silent),
        Next::WakeAt(at(silent_after(silent) - 100)),
        "until etcd is to be asked"
    );
}

#[test]
fn the_silence_goes_by_the_larger_bound_of_the_renewal_and_the_record() {
    for (in_session, in_record) in [(2_000, 1_000), (1_000, 2_000)] {
        let mut node = node();
        let owner = record(Some(holder("a", OWNERS, in_record)), 30);
        hear(&mut node, LIVE, vec![renewed("a", OWNERS, 29, session_of(true, in_session)), owner]);
        let silent = at(LIVE) + Timing::DEFAULT.silence_for(ms(2_000));
        acknowledged(&mut node, LIVE, LIVE + 10_000);
        assert_eq!(node.next(silent - ms(1), VIP), Next::WakeAt(silent));
        assert_eq!(node.next(silent, VIP), Next::TakeOver(name("a")));
    }
}

#[test]
fn the_silence_counts_from_the_last_renewal_or_from_the_owners_naming_whichever_is_later() {
    let mut node = node();
    hear(&mut node, LIVE, vec![renewed("a", OWNERS, 29, session_of(true, 1_000))]);
    hear(&mut node, LIVE + 900, vec![record(Some(holder("a", OWNERS, 1_000)), 30)]);
    acknowledged(&mut node, LIVE, LIVE + 10_000);
    assert_eq!(next(&node, silent_after(LIVE + 900) - 1), Next::WakeAt(at(silent_after(LIVE + 900))));
    assert_eq!(next(&node, silent_after(LIVE + 900)), Next::TakeOver(name("a")));
}

#[test]
fn a_new_list_begins_no_wait_anew_while_the_owners_session_is_as_it_was_last_heard() {
    let mut node = standing_by();
    acknowledged(&mut node, LIVE, LIVE + 10_000);
    node.peers.wait_anew(at(LIVE + 1_000));
    assert_eq!(next(&node, silent_after(LIVE)), Next::TakeOver(name("a")));
    // A session that is gone may have been renewed unheard before.
    hear(&mut node, LIVE + 1_100, vec![Change { key: Key::Node(name("a")), revision: 41, entry: None }]);
    assert_eq!(next(&node, silent_after(LIVE)), Next::WakeAt(at(silent_after(LIVE + 1_000))));
}

#[test]
fn etcd_has_to_answer_for_a_while_before_a_silence_is_believed() {
    let silent = silent_after(LIVE);
    // The owner tries every 50 ms once its lease is over: twice that.
    let mut node = standing_by();
    acknowledged(&mut node, LIVE, silent - 101);
    let since = at(silent - 100);
    assert_eq!(next(&node, silent - 100), Next::Confirm { since, until: at(silent) });
    assert_eq!(next(&node, silent), Next::Confirm { since, until: at(silent) });
    acknowledged(&mut node, LIVE, silent - 100);
    assert_eq!(next(&node, silent), Next::TakeOver(name("a")));
    // Answered again only since just before the silence ended.
    acknowledged(&mut node, silent - 10, silent - 10);
    assert_eq!(next(&node, silent), Next::WakeAt(at(silent + 90)));
    assert_eq!(next(&node, silent + 90), Next::Confirm { since: at(silent + 90), until: at(silent) });
    // Without an answer since the last miss.
    node.own.sends(at(silent));
    node.own.missed(at(silent));
    assert_eq!(next(&node, silent - 1), Next::WakeAt(at(silent)));
    assert_eq!(next(&node, silent), Next::Nothing);
}

#[test]
fn a_node_whose_check_fails_takes_back_what_nobody_else_takes() {
    let mut node = node();
    released(&mut node);
    vip(&mut node).local.health = crate::Health::Failing;
    assert_eq!(next(&node, LIVE), Next::Nothing, "it did not own it last");
    vip(&mut node).hold.owned_last = true;
    assert_eq!(next(&node, LIVE), Next::Claim { absent: None }, "nobody else is ready");
    hear(&mut node, LIVE, vec![renewed("c", 11, 31, session_of(true, 1_000))]);
    assert_eq!(next(&node, LIVE + 1_299), Next::Nothing, "c may yet take it");
    assert_eq!(next(&node, LIVE + 1_300), Next::Claim { absent: None }, "c has not taken it");
    node.settings.when_nobody_is_ready = WhenNobodyIsReady::Release;
    assert_eq!(next(&node, LIVE + 1_300), Next::Nothing);
}
