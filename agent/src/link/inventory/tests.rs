use super::*;

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        altnames: Vec::new(),
        alias: None,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        up: true,
        mtu: 1500,
        kind: None,
        parent: None,
    }
}

fn address(ip: &str, prefix: u8, ours: bool) -> Address {
    Address { ip: ip.parse().unwrap(), prefix, peer: None, ours, fitness: Fitness::Good }
}

/// The events that a run of facts makes.
fn take_in(inventory: &mut Inventory, facts: impl IntoIterator<Item = Fact>) -> Vec<LinkEvent> {
    let mut events = VecDeque::new();
    for fact in facts {
        inventory.apply(fact, &mut events);
    }
    events.into()
}

#[test]
fn only_differences_are_told() {
    let mut inventory = Inventory::default();
    let eth0 = link(2, "eth0");
    assert_eq!(take_in(&mut inventory, [Fact::Link(eth0.clone())]), [LinkEvent::Changed(eth0.clone())]);
    assert_eq!(take_in(&mut inventory, [Fact::Link(eth0.clone())]), []);
    let down = Link { up: false, ..eth0 };
    assert_eq!(take_in(&mut inventory, [Fact::Link(down.clone())]), [LinkEvent::Changed(down)]);
}

#[test]
fn a_refreshed_address_is_no_news_but_one_that_changed_hands_is() {
    let mut inventory = Inventory::default();
    let ours = address("10.0.0.9", 32, true);
    let foreign = Address { ours: false, ..ours };
    let told = |address, present| LinkEvent::Address { index: 2, address, present };
    assert_eq!(take_in(&mut inventory, [Fact::Address(2, ours)]), [told(ours, true)]);
    assert_eq!(take_in(&mut inventory, [Fact::Address(2, ours)]), []);
    assert_eq!(take_in(&mut inventory, [Fact::Address(2, foreign)]), [told(foreign, true)]);
    assert_eq!(inventory.holding(2, ours.ip), Holding::Somebody { prefix: 32 });
    assert_eq!(inventory.ours().count(), 0);
}

#[test]
fn an_address_that_went_is_told_as_whose_it_was() {
    let mut inventory = Inventory::default();
    let ours = address("fd00::9", 128, true);
    take_in(&mut inventory, [Fact::Address(2, ours)]);
    let gone = Fact::AddressGone(2, Address { ours: false, ..ours });
    assert_eq!(
        take_in(&mut inventory, [gone.clone()]),
        [LinkEvent::Address { index: 2, address: ours, present: false }]
    );
    assert_eq!(take_in(&mut inventory, [gone]), [], "gone once");
}

#[test]
fn one_ip_with_two_prefixes_or_peers_is_several_addresses() {
    let mut inventory = Inventory::default();
    let ours = address("10.0.0.9", 32, true);
    let wide = address("10.0.0.9", 24, false);
    let tunnel = Address { peer: Some("10.0.0.8".parse().unwrap()), ours: false, ..ours };
    take_in(&mut inventory, [wide, tunnel, ours].map(|address| Fact::Address(2, address)));
    assert_eq!(inventory.holding(2, ours.ip), Holding::Us);
    assert_eq!(inventory.ours().collect::<Vec<_>>(), [(2, ours.ip)]);
    take_in(&mut inventory, [Fact::AddressGone(2, ours)]);
    assert_eq!(inventory.addresses(2).count(), 2);
    assert_eq!(inventory.ours().count(), 0);
    assert!(matches!(inventory.holding(2, ours.ip), Holding::Somebody { .. }));
    assert_eq!(inventory.holding(3, ours.ip), Holding::Nobody, "another link");
}

#[test]
fn a_link_takes_its_addresses_with_it() {
    let mut inventory = Inventory::default();
    let (v4, v6) = (address("10.0.0.1", 24, false), address("fd00::9", 128, true));
    let elsewhere = address("10.0.0.1", 24, false);
    take_in(&mut inventory, [Fact::Link(link(2, "eth0")), Fact::Link(link(3, "eth1"))]);
    take_in(&mut inventory, [Fact::Address(2, v4), Fact::Address(2, v6), Fact::Address(3, elsewhere)]);
    assert_eq!(
        take_in(&mut inventory, [Fact::LinkGone(2)]),
        [
            LinkEvent::Address { index: 2, address: v4, present: false },
            LinkEvent::Address { index: 2, address: v6, present: false },
            LinkEvent::Gone(2),
        ]
    );
    assert_eq!(inventory.addresses(3).count(), 1);
    assert_eq!(take_in(&mut inventory, [Fact::LinkGone(2)]), []);
}

#[test]
fn a_link_is_found_by_name_then_altname_then_alias() {
    let mut inventory = Inventory::default();
    let one = Link { altnames: vec!["enp1".into(), "uplink".into()], ..link(2, "eth0") };
    let other = Link { alias: Some("uplink".into()), ..link(3, "enp1") };
    take_in(&mut inventory, [Fact::Link(one), Fact::Link(other)]);
    assert_eq!(inventory.find("eth0").unwrap().index, 2);
    assert_eq!(inventory.find("enp1").unwrap().index, 3, "a name before an altname");
    assert_eq!(inventory.find("uplink").unwrap().index, 2, "an altname before an alias");
    assert_eq!(inventory.find("eth9"), Err(FindError::Missing { name: "eth9".into() }));
}

#[test]
fn an_alias_that_two_links_share_names_neither() {
    let mut inventory = Inventory::default();
    let aliased = |index, name| Fact::Link(Link { alias: Some("lan".into()), ..link(index, name) });
    take_in(&mut inventory, [aliased(2, "eth0")]);
    assert_eq!(inventory.find("lan").unwrap().index, 2);
    take_in(&mut inventory, [aliased(3, "eth1")]);
    let error = inventory.find("lan").unwrap_err().to_string();
    assert!(error.contains("eth0") && error.contains("eth1"), "{error}");
}

#[test]
fn a_resync_tells_exactly_what_was_missed() {
    let mut inventory = Inventory::default();
    let (kept, lost, new) =
        (address("10.0.0.1", 24, false), address("10.0.0.9", 32, true), address("fd00::9", 128, true));
    take_in(&mut inventory, [Fact::Link(link(2, "eth0")), Fact::Link(link(3, "eth1"))]);
    take_in(&mut inventory, [Fact::Address(2, kept), Fact::Address(2, lost), Fact::Address(3, kept)]);

    inventory.begin_resync();
    let mut events =
        take_in(&mut inventory, [Fact::Link(link(2, "eth0")), Fact::Address(2, kept), Fact::Address(2, new)]);
    let mut swept = VecDeque::new();
    inventory.finish_resync(&mut swept);
    events.extend(swept);
    assert_eq!(
        events,
        [
            LinkEvent::Address { index: 2, address: new, present: true },
            LinkEvent::Address { index: 2, address: lost, present: false },
            LinkEvent::Address { index: 3, address: kept, present: false },
            LinkEvent::Gone(3),
        ]
    );
}

#[test]
fn a_change_during_a_dump_is_kept_and_a_torn_dump_is_begun_again() {
    let mut inventory = Inventory::default();
    let (ours, foreign) = (address("10.0.0.9", 32, true), address("10.0.0.9", 32, false));
    take_in(&mut inventory, [Fact::Link(link(2, "eth0")), Fact::Address(2, ours)]);

    inventory.begin_resync();
    take_in(&mut inventory, [Fact::Link(link(2, "eth0"))]);
    inventory.begin_resync();
    take_in(&mut inventory, [Fact::Link(link(2, "eth0")), Fact::Link(link(4, "eth2"))]);
    // The address changes hands while the dump is under way: not gone, though the dump shows it no more.
    take_in(&mut inventory, [Fact::Address(2, foreign)]);
    let mut swept = VecDeque::new();
    inventory.finish_resync(&mut swept);
    assert_eq!(Vec::from(swept), []);
    assert_eq!(inventory.links().map(|link| link.index).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(inventory.addresses(2).collect::<Vec<_>>(), [&foreign]);
}
