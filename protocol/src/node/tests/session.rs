//! The lease and the session: what each answer means.

use super::super::vip::Inflight;
use super::*;
use crate::{Answer, Txn};

fn request(session: Option<Revision>, purpose: Purpose) -> Request {
    Request { purpose, session, txn: Txn::new(), decided: at(LIVE + 100) }
}

fn answered(node: &mut Node, session: Option<Revision>, purpose: Purpose, sent: u64, answer: Answer) {
    let event = Event::Answered { request: request(session, purpose), sent: at(sent), answer };
    node.take_in(at(LIVE + 300), event);
}

#[test]
fn a_lease_counts_from_the_sending_and_never_moves_back() {
    let mut node = node();
    node.effects.clear();
    answered(&mut node, Some(OWN), Purpose::Renew, LIVE + 200, Answer::Done(31));
    assert_eq!(node.lease(), at(LIVE + 1_200));
    answered(&mut node, Some(OWN), Purpose::Renew, LIVE + 100, Answer::Done(32));
    assert_eq!(node.lease(), at(LIVE + 1_200), "an earlier one was answered later");
    node.take_in(at(LIVE + 300), Event::AcknowledgedToo { session: Some(OWN), sent: at(LIVE + 250) });
    assert_eq!(node.lease(), at(LIVE + 1_250), "a later try of one that was answered");
    assert_eq!(node.effects, [Effect::Grant(OWN, at(LIVE + 1_200)), Effect::Grant(OWN, at(LIVE + 1_250))]);
}

#[test]
fn only_a_renewal_of_this_session_that_was_carried_out_moves_the_lease() {
    let renewals = [Purpose::Renew, Purpose::Claim, Purpose::TakeOver, Purpose::HandOver];
    for purpose in renewals {
        let mut node = node();
        answered(&mut node, Some(OWN), purpose, LIVE + 200, Answer::Done(31));
        assert_eq!(node.lease(), at(LIVE + 1_200), "{purpose:?}");
    }
    for purpose in [Purpose::Release, Purpose::Clear, Purpose::End, Purpose::Start, Purpose::Resume] {
        let mut node = node();
        answered(&mut node, Some(OWN), purpose, LIVE + 200, Answer::Done(31));
        assert_eq!(node.lease(), at(LIVE + 1_000), "{purpose:?} renews nothing");
    }
    let refused = Answer::Refused { revision: 31, found: Vec::new() };
    for answer in [refused, Answer::Failed, Answer::Unknown] {
        let mut node = node();
        answered(&mut node, Some(OWN), Purpose::Renew, LIVE + 200, answer.clone());
        assert_eq!(node.lease(), at(LIVE + 1_000), "{answer:?}");
    }
    for session in [None, Some(OWN - 1)] {
        let mut node = node();
        answered(&mut node, session, Purpose::Renew, LIVE + 200, Answer::Done(31));
        node.take_in(at(LIVE + 300), Event::AcknowledgedToo { session, sent: at(LIVE + 250) });
        assert_eq!(node.lease(), at(LIVE + 1_000), "asked for by another session");
    }
}

#[test]
fn a_lost_session_revokes_the_lease_and_voids_what_is_under_way() {
    let mut node = owning(Ownership::Releasing);
    vip(&mut node).inflight = Inflight::UnderWay;
    node.effects.clear();
    hear(&mut node, LIVE, vec![Change { key: Key::Node(name("b")), revision: 40, entry: None }]);
    assert_eq!(node.lease(), Instant::ZERO);
    assert_eq!(node.own.live(), None);
    assert!(node.effects.contains(&Effect::Revoke(OWN)));
    let vip = vip(&mut node);
    assert_eq!((&vip.phase, vip.inflight.is_under_way()), (&Phase::NotOurs, false));
}

#[test]
fn a_refused_takeover_begins_every_wait_anew_and_asks_for_a_list() {
    for purpose in [Purpose::TakeOver, Purpose::Clear] {
        let mut node = node();
        hear(&mut node, LIVE, vec![renewed("a", OWNERS, 30, session_of(true, 1_000))]);
        let refused = Answer::Refused { revision: 31, found: Vec::new() };
        answered(&mut node, Some(OWN), purpose, LIVE + 200, refused);
        assert!(node.effects.contains(&Effect::Relist), "{purpose:?}");
        let heard = node.peers.heard_of(&name("a"), OWNERS).unwrap().0;
        assert_eq!(heard, at(LIVE + 300), "{purpose:?}");
    }
}

#[test]
fn a_list_begins_every_wait_anew() {
    let mut node = node();
    hear(&mut node, LIVE, vec![renewed("a", OWNERS, 30, session_of(true, 1_000))]);
    node.take_in(at(LIVE + 400), Event::Listed(30, vec![renewed("a", OWNERS, 30, session_of(true, 1_000))]));
    assert_eq!(node.peers.heard_of(&name("a"), OWNERS).unwrap().0, at(LIVE + 400));
}

#[test]
fn an_unknown_handover_is_in_doubt_only_while_its_record_is_the_one_it_compares() {
    let with_record = |modified| {
        let mut txn = Txn::new();
        txn.put(crate::Compare::Modified(Key::Vip(VIP), modified), Value::Record(Record { owner: None }));
        Request { txn, ..request(Some(OWN), Purpose::HandOver) }
    };
    for (modified, in_doubt) in [(30, true), (29, false)] {
        let mut node = owning(yielding(false));
        let event =
            Event::Answered { request: with_record(modified), sent: at(LIVE), answer: Answer::Unknown };
        node.take_in(at(LIVE + 1), event);
        assert_eq!(vip(&mut node).phase.is_in_doubt(), in_doubt, "{modified}");
    }
    for answer in [Answer::Failed, Answer::Refused { revision: 31, found: Vec::new() }] {
        let mut node = owning(yielding(false));
        let event = Event::Answered { request: with_record(30), sent: at(LIVE), answer };
        node.take_in(at(LIVE + 1), event);
        assert!(!vip(&mut node).phase.is_in_doubt());
    }
}

#[test]
fn a_resumed_vip_is_rewritten_first_unless_it_stands_and_was_served() {
    let resumed = |kernel: Kernel| {
        let mut node = Node { own: Own::default(), lease: Instant::ZERO, ..node() };
        vip(&mut node).kernel = kernel;
        hear(&mut node, LIVE, vec![record(Some(holder("b", 15, 1_000)), 30)]);
        node.own.stands(Standing::Resuming(15));
        answered(&mut node, None, Purpose::Resume, LIVE + 200, Answer::Done(31));
        assert_eq!(node.own.live(), Some(15));
        node.vips[&VIP].phase.clone()
    };
    assert_eq!(resumed(Kernel::left(false)), Phase::Ours(Ownership::Serving));
    assert_eq!(resumed(Kernel::left(true)), Phase::Ours(Ownership::MustRewrite));
    assert_eq!(resumed(Kernel::off()), Phase::Ours(Ownership::MustRewrite));
}
