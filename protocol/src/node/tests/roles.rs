//! Who may answer now: the role of each phase, with a lease and without.

use super::*;

/// What the kernel is ordered at that time, of a VIP whose kernel stands in a role that no row asks for.
fn ordered(mut node: Node, millis: u64) -> Option<Role> {
    vip(&mut node).kernel = kernel(Role::Yielding { to: OWN_MAC, number: 1 });
    node.assign_roles(at(millis));
    node.effects.iter().find_map(|effect| match effect {
        Effect::AssumeRole(_, role) => Some(*role),
        _ => None,
    })
}

fn handed_over(opened: bool) -> Node {
    let mut node = node();
    hear(&mut node, LIVE, vec![record(Some(holder("a", OWNERS, 1_000)), 30)]);
    vip(&mut node).phase = draining(opened);
    node
}

fn offered_to_us() -> Node {
    let mut node = node();
    let mut session = session_of(true, 1_000);
    session.handoffs.offers.insert(VIP, Offer { to: name("b"), session: OWN, number: 3, mac: OTHER_MAC });
    let owner = record(Some(holder("a", OWNERS, 1_000)), 30);
    hear(&mut node, LIVE, vec![renewed("a", OWNERS, 29, session), owner]);
    node
}

#[test]
fn each_phase_has_its_role_while_the_lease_lasts_and_none_without() {
    let owner = Role::Owner { epoch: 30, bound: ms(1_000), drain: None };
    let yields = Role::Yielding { to: OTHER_MAC, number: 7 };
    for (what, node, role) in [
        ("not ours", node(), Role::Off),
        ("not ours, offered", offered_to_us(), Role::Prepared { from: OTHER_MAC }),
        ("serving", owning(Ownership::Serving), owner),
        ("offered", owning(offered()), owner),
        ("must rewrite", owning(Ownership::MustRewrite), Role::Off),
        ("yielding", owning(yielding(false)), yields),
        ("in doubt", owning(yielding(true)), yields),
        ("releasing", owning(Ownership::Releasing), Role::Off),
        ("draining", handed_over(false), yields),
        ("forwarding", handed_over(true), Role::Forwarding { to: OTHER_MAC }),
    ] {
        assert_eq!(ordered(node.clone(), LIVE + 999), Some(role), "{what}");
        assert_eq!(ordered(node, LIVE + 1_000), Some(Role::Off), "{what}, the lease is over");
    }
}

#[test]
fn a_node_is_woken_when_the_lease_of_what_stands_ends() {
    let mut node = owning(Ownership::Serving);
    node.wake = at(LIVE + 100_000);
    node.assign_roles(at(LIVE));
    assert_eq!(node.wake, at(LIVE + 1_000));
}

#[test]
fn a_node_that_is_not_ready_or_is_ending_prepares_for_nothing() {
    let spoil: [&dyn Fn(&mut Node); 4] = [
        &|node| vip(node).local.servable = false,
        &|node| node.stopping = true,
        &|node| node.machine.macs.clear(),
        // An offer to an earlier session of this node.
        &|node| node.own.goes_live(at(LIVE), OWN + 1),
    ];
    for spoil in spoil {
        let mut node = offered_to_us();
        spoil(&mut node);
        assert_eq!(ordered(node, LIVE), Some(Role::Off));
    }
}

#[test]
fn an_offer_is_not_prepared_for_longer_than_a_silence() {
    let mut node = offered_to_us();
    node.lease = at(LIVE + 60_000);
    assert_eq!(ordered(node.clone(), LIVE + 1_299), Some(Role::Prepared { from: OTHER_MAC }));
    assert_eq!(ordered(node, LIVE + 1_300), Some(Role::Off));
}

#[test]
fn an_owner_knows_who_drains_until_that_node_is_silent() {
    let mut node = offered_to_us();
    hear(&mut node, LIVE, vec![record(Some(holder("b", OWN, 1_000)), 31)]);
    node.lease = at(LIVE + 60_000);
    let owner = |drain| Some(Role::Owner { epoch: 31, bound: ms(1_000), drain });
    assert_eq!(ordered(node.clone(), LIVE + 1_299), owner(Some(OTHER_MAC)));
    assert_eq!(ordered(node, LIVE + 1_300), owner(None));
}

#[test]
fn what_an_earlier_agent_left_stands_until_it_is_decided_whose_it_is() {
    let mut undecided = Node { own: Own::default(), lease: Instant::ZERO, ..node() };
    assert_eq!(ordered(undecided.clone(), LIVE), None);
    undecided.own.decides();
    assert_eq!(ordered(undecided, LIVE), Some(Role::Off));
}
