use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::addresses::Subnets;

fn subnets(text: &str) -> Subnets {
    let entries = text.split(' ').map(|entry| entry.parse().unwrap()).collect();
    Subnets::new(entries).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(ip).collect()
}

/// An address as `ip/prefix`, or `ip`, on a link that is up.
fn candidate(text: &str) -> Candidate {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "24"));
    Candidate {
        ip: ip(address),
        prefix: prefix.parse().unwrap(),
        link: "eth0".to_owned(),
        up: true,
        fitness: Fitness::Good,
        ours: false,
    }
}

fn machine(text: &str) -> Vec<Candidate> {
    text.split_whitespace().map(candidate).collect()
}

fn fresh(rule: &Rule, there: &str, vips: &str) -> Choice {
    choose(rule, &machine(there), &ips(vips).into_iter().collect(), &[], false)
}

fn all(list: &str) -> Rule {
    Rule::All(subnets(list))
}

/// `ip: reason` of each address that was left out.
fn left_out(choice: &Choice) -> Vec<String> {
    choice.left_out.iter().map(|left| format!("{}: {}", left.ip, left.reason)).collect()
}

#[test]
fn lists_of_subnets_let_in_in_their_order() {
    for (list, there, chosen) in [
        ("10.0.0.0/8 !10.3.4.1", "10.3.4.6 10.3.4.1 172.20.0.1", "10.3.4.6"),
        ("10.0.0.0/8 0.0.0.0/0", "10.3.4.6 172.20.0.1", "10.3.4.6 172.20.0.1"),
        ("0.0.0.0/0 10.0.0.0/8", "172.20.0.1 10.3.4.6", "10.3.4.6 172.20.0.1"),
        ("172.16.0.0/12 10.0.0.0/8", "10.3.4.6 10.3.4.1 172.20.0.1", "172.20.0.1 10.3.4.1 10.3.4.6"),
        // An address alone is /32 or /128.
        ("10.3.4.6 fd00::1", "10.3.4.6 10.3.4.60 fd00::1 fd00::11", "10.3.4.6 fd00::1"),
        ("10.0.0.0/8 !10.3.4.1", "10.3.4.1", ""),
        // From left to right: what comes later decides.
        ("!10.3.4.1 10.0.0.0/8", "10.3.4.1", "10.3.4.1"),
        ("10.0.0.0/8 !10.3.0.0/16 10.3.4.1", "10.3.4.1 10.3.4.6 10.9.0.1", "10.9.0.1 10.3.4.1"),
        (
            "::/0 !fd01:cafe::f14c:9fa1:8496:557f/128",
            "fd01:cafe::5054:ff:fe1f:c7bd fd01:cafe::f14c:9fa1:8496:557f 10.0.0.1",
            "fd01:cafe::5054:ff:fe1f:c7bd",
        ),
        // Bits beyond the prefix say nothing.
        ("10.3.4.1/8", "10.9.9.9", "10.9.9.9"),
    ] {
        let choice = fresh(&all(list), there, "");
        assert_eq!((&choice.addresses, choice.stale), (&ips(chosen), false), "{list} on {there}");
    }
}

#[test]
fn a_vip_is_chosen_for_nothing() {
    let there = "10.0.0.5/24 192.168.1.1/24 192.168.1.50/32 2001:db8:85a3::8a2e:370:7334/64 \
                 2002:db8:85a3::8a2e:370:7335/64";
    let advertised = fresh(&all("192.168.0.0/16 2001::/16"), there, "192.168.1.50");
    assert_eq!(advertised.addresses, ips("192.168.1.1 2001:db8:85a3::8a2e:370:7334"));
    assert_eq!(
        left_out(&advertised),
        [
            "10.0.0.5: in none of the subnets",
            "192.168.1.50: a VIP is no node's own",
            "2002:db8:85a3::8a2e:370:7335: in none of the subnets"
        ]
    );
    let listen = fresh(&all("192.168.0.0/16"), there, "192.168.1.50");
    assert_eq!(listen.addresses, ips("192.168.1.1"));
    // One that the agent put there, though the config no longer knows it.
    let mut marked = machine(there);
    marked[2].ours = true;
    let listen = choose(&all("192.168.0.0/16"), &marked, &BTreeSet::new(), &ips("192.168.1.50"), false);
    assert_eq!(listen.addresses, ips("192.168.1.1"));
}

#[test]
fn a_negative_alone_lets_nothing_in() {
    let choice = fresh(&all("!10.3.4.1"), "10.3.4.1 10.3.4.6", "");
    assert_eq!((choice.addresses.len(), choice.stale), (0, false));
    assert_eq!(left_out(&choice), ["10.3.4.1: in none of the subnets", "10.3.4.6: in none of the subnets"]);
}

#[test]
fn what_cannot_be_relied_on_is_never_chosen() {
    let everything = all("0.0.0.0/0 ::/0");
    for (there, reason) in [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
    ] {
        assert_eq!(left_out(&fresh(&everything, there, "")), [format!("{there}: {reason}")]);
    }
    for (fitness, up, reason) in [
        (Fitness::Good, false, "its link is down"),
        (Fitness::Deprecated, true, "deprecated"),
        (Fitness::Temporary, true, "temporary"),
        (Fitness::Tentative, true, "still being checked for duplicates (tentative)"),
        (Fitness::DadFailed, true, "another machine has it too (dadfailed)"),
    ] {
        let unfit = Candidate { up, fitness, ..candidate("fd00::1/64") };
        for rule in [everything.clone(), Rule::First, Rule::OneOfEachFamily(None)] {
            let choice = choose(&rule, std::slice::from_ref(&unfit), &BTreeSet::new(), &[], false);
            assert_eq!((choice.addresses.len(), left_out(&choice)), (0, vec![format!("fd00::1: {reason}")]));
        }
    }
}

#[test]
fn without_a_list_the_address_least_likely_to_change_is_taken() {
    for (there, first, of_each_family) in [
        ("10.0.0.9/24 10.0.0.5/24", "10.0.0.5", "10.0.0.5"),
        ("10.0.0.5/24 172.16.0.9/32", "172.16.0.9", "172.16.0.9"),
        ("fd00::1/128 10.0.0.5/8", "10.0.0.5", "10.0.0.5 fd00::1"),
        ("fd00::1/64 fd00::2/128", "fd00::2", "fd00::2"),
        ("127.0.0.1/8 fe80::1/64", "", ""),
    ] {
        assert_eq!(fresh(&Rule::First, there, "").addresses, ips(first), "{there}");
        assert_eq!(fresh(&Rule::OneOfEachFamily(None), there, "").addresses, ips(of_each_family), "{there}");
    }
    let by_list = Rule::OneOfEachFamily(Some(subnets("fd00::/8 10.0.0.0/8 172.16.0.0/12")));
    let choice = fresh(&by_list, "172.16.0.1 10.0.0.5 fd00::2/64 fd00::1/64", "");
    assert_eq!(choice.addresses, ips("fd00::1 10.0.0.5"), "the list's order decides");
}

fn again(rule: &Rule, there: &str, previous: &str) -> Choice {
    choose(rule, &machine(there), &BTreeSet::new(), &ips(previous), false)
}

#[test]
fn what_is_chosen_stays_chosen_whatever_comes() {
    let kept = again(&all("10.0.0.0/8"), "10.0.0.1 10.0.0.5 10.244.0.1", "10.0.0.5");
    assert_eq!(kept.addresses, ips("10.0.0.5"));
    assert_eq!(left_out(&kept)[0], "10.0.0.1: there is a choice, which is kept");
    // An entry that nothing was chosen by is another matter: its address was asked for.
    let filled = again(&all("10.0.0.0/8 192.168.0.0/16"), "10.0.0.1 10.0.0.5 192.168.0.5", "10.0.0.5");
    assert_eq!(filled.addresses, ips("10.0.0.5 192.168.0.5"));
    assert_eq!(again(&Rule::First, "10.0.0.1/32 10.0.0.5/24", "10.0.0.5").addresses, ips("10.0.0.5"));
    let by_default = Rule::OneOfEachFamily(None);
    assert_eq!(again(&by_default, "10.0.0.5 fd7a::1", "10.0.0.5").addresses, ips("10.0.0.5"), "a VPN's");
    assert_eq!(again(&by_default, "10.0.0.1 fd00::1", "10.0.0.5 fd00::1").addresses, ips("10.0.0.1 fd00::1"));
    let by_list = Rule::OneOfEachFamily(Some(subnets("10.0.0.0/8 fd00::/8")));
    assert_eq!(again(&by_list, "10.0.0.5 fd00::1", "10.0.0.5").addresses, ips("10.0.0.5 fd00::1"));
}

#[test]
fn what_is_lost_or_no_longer_allowed_gives_way_to_the_next() {
    assert_eq!(again(&Rule::First, "10.0.0.9 10.0.0.7", "10.0.0.5").addresses, ips("10.0.0.7"));
    assert_eq!(
        again(&all("10.0.0.0/8 !10.0.0.5"), "10.0.0.5 10.0.0.9", "10.0.0.5").addresses,
        ips("10.0.0.9")
    );
}

#[test]
fn while_something_missing_is_awaited_the_choice_stands() {
    let awaited = |rule: &Rule, there: &str, previous: &str| {
        choose(rule, &machine(there), &BTreeSet::new(), &ips(previous), true)
    };
    let choice = awaited(&Rule::First, "10.0.0.9", "10.0.0.5");
    assert_eq!((choice.addresses, choice.stale), (ips("10.0.0.5"), true));
    let choice = awaited(&all("10.0.0.0/8"), "10.0.0.9 10.0.0.7", "10.0.0.5 10.0.0.9");
    assert_eq!((choice.addresses, choice.stale), (ips("10.0.0.5 10.0.0.9"), true));
    // Nobody waits for what would not be allowed if it came.
    let choice = awaited(&all("192.168.0.0/16"), "192.168.0.9", "10.0.0.5");
    assert_eq!((choice.addresses, choice.stale), (ips("192.168.0.9"), false));
}

#[test]
fn when_nothing_fits_the_previous_choice_stays_and_is_stale_but_a_vip_does_not() {
    let choice = again(&all("10.0.0.0/8"), "192.168.0.1", "10.0.0.5 10.0.0.6");
    assert_eq!((&choice.addresses, choice.stale), (&ips("10.0.0.5 10.0.0.6"), true));
    assert_eq!(
        left_out(&choice),
        [
            "10.0.0.5: chosen before, and not there",
            "10.0.0.6: chosen before, and not there",
            "192.168.0.1: in none of the subnets"
        ]
    );
    let vips = ips("10.0.0.5").into_iter().collect();
    for (there, awaited) in [("10.0.0.5", false), ("10.0.0.5", true), ("", true), ("", false)] {
        let choice = choose(&all("10.0.0.0/8"), &machine(there), &vips, &ips("10.0.0.5"), awaited);
        assert_eq!((choice.addresses.len(), choice.stale), (0, false), "{there:?}");
    }
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u8..3, 0_u8..4).prop_map(|(net, host)| IpAddr::from([10, net, 0, host])),
        (0_u16..3, 0_u16..4).prop_map(|(net, host)| IpAddr::from([0xfd00, net, 0, 0, 0, 0, 0, host])),
    ]
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let fitness = prop_oneof![
        5 => Just(Fitness::Good),
        1 => Just(Fitness::Tentative),
        1 => Just(Fitness::Deprecated),
    ];
    (any_ip(), any::<bool>(), 0_u8..8, fitness).prop_map(|(ip, long, up, fitness)| Candidate {
        ip,
        prefix: if long { 32 } else { 24 },
        link: "eth0".to_owned(),
        up: up > 0,
        fitness,
        ours: false,
    })
}

fn any_machine() -> impl Strategy<Value = Vec<Candidate>> {
    vec(any_candidate(), 0..8)
}

/// A choice made before: in any order, and each address once.
fn any_choice() -> impl Strategy<Value = Vec<IpAddr>> {
    btree_set(any_ip(), 0..3).prop_map(|ips| ips.into_iter().collect::<Vec<_>>()).prop_shuffle()
}

fn any_subnets() -> impl Strategy<Value = Subnets> {
    let net = prop_oneof![
        Just("0.0.0.0/0".to_owned()),
        Just("::/0".to_owned()),
        (0_u8..3).prop_map(|net| format!("10.{net}.0.0/16")),
        (0_u16..3).prop_map(|net| format!("fd00:{net:x}::/32")),
        any_ip().prop_map(|ip| ip.to_string()),
    ];
    let entry = (any::<bool>(), net).prop_map(|(away, net)| format!("{}{net}", if away { "!" } else { "" }));
    vec(entry, 1..5).prop_map(|entries| subnets(&entries.join(" ")))
}

fn any_rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        any_subnets().prop_map(Rule::All),
        Just(Rule::First),
        proptest::option::of(any_subnets()).prop_map(Rule::OneOfEachFamily),
    ]
}

/// The order in which a list alone lets addresses in: the design of `place` said another way, entry by entry.
fn by_the_list(list: &str, machine: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let mut chosen: Vec<IpAddr> = Vec::new();
    for entry in list.trim_matches(['[', ']']).split(", ") {
        let entry: Subnet = entry.parse().unwrap();
        if entry.taken_away {
            chosen.retain(|ip| !entry.net.contains(ip));
        } else {
            let added: Vec<_> = machine
                .iter()
                .filter(|ip| entry.net.contains(*ip) && !chosen.contains(ip))
                .copied()
                .collect();
            chosen.extend(added);
        }
    }
    chosen
}

proptest! {
    #[test]
    fn a_first_choice_is_what_the_list_says_entry_by_entry(list in any_subnets(), there in btree_set(any_ip(), 0..10)) {
        let machine: Vec<_> = there.iter().map(|ip| candidate(&ip.to_string())).collect();
        let choice = choose(&Rule::All(list.clone()), &machine, &BTreeSet::new(), &[], false);
        prop_assert_eq!(choice.addresses, by_the_list(&list.to_string(), &there));
    }

    #[test]
    fn the_order_of_the_machines_addresses_says_nothing(rule in any_rule(), mut there in any_machine()) {
        let vips = BTreeSet::new();
        let choice = choose(&rule, &there, &vips, &[], false);
        there.reverse();
        prop_assert_eq!(choose(&rule, &there, &vips, &[], false).addresses, choice.addresses);
    }

    #[test]
    fn a_choice_made_again_is_the_same(rule in any_rule(), there in any_machine(), before in any_choice(), awaited: bool) {
        let vips = BTreeSet::new();
        let once = choose(&rule, &there, &vips, &before, awaited);
        let twice = choose(&rule, &there, &vips, &once.addresses, awaited);
        prop_assert_eq!(&twice.addresses, &once.addresses);
        prop_assert_eq!(twice.stale, once.stale);
    }

    #[test]
    fn what_comes_takes_nothing_away_and_adds_only_what_was_asked_for(
        rule in any_rule(), there in any_machine(), more in any_machine(), awaited: bool,
    ) {
        let vips = BTreeSet::new();
        let before = choose(&rule, &there, &vips, &[], false).addresses;
        let both: Vec<_> = there.into_iter().chain(more).collect();
        let after = choose(&rule, &both, &vips, &before, awaited).addresses;
        prop_assert!(before.iter().all(|ip| after.contains(ip)), "{before:?} became {after:?}");
        if !before.is_empty() && rule.subnets().is_none() {
            prop_assert_eq!(&after, &before);
        }
        if let Rule::All(list) = &rule {
            for new in after.iter().filter(|ip| !before.contains(ip)) {
                prop_assert!(before.iter().all(|old| list.place(*old) != list.place(*new)), "{new} came to others");
            }
        }
    }

    #[test]
    fn every_address_is_chosen_or_left_out_with_a_reason_and_nothing_unfit_is_chosen(
        rule in any_rule(), there in any_machine(), vips in btree_set(any_ip(), 0..4), before in any_choice(), awaited: bool,
    ) {
        let choice = choose(&rule, &there, &vips, &before, awaited);
        for candidate in &there {
            let chosen = choice.addresses.contains(&candidate.ip);
            let left_out = choice.left_out.iter().any(|left| left.ip == candidate.ip);
            prop_assert!(chosen || left_out, "{candidate:?}");
        }
        for ip in &choice.addresses {
            prop_assert!(!vips.contains(ip));
            if !choice.stale {
                prop_assert!(there.iter().any(|candidate| candidate.ip == *ip && unfit(candidate, &vips).is_none()));
                prop_assert!(rule.subnets().is_none_or(|list| list.lets_in(*ip)));
            }
        }
        let distinct: BTreeSet<_> = choice.addresses.iter().collect();
        prop_assert_eq!(distinct.len(), choice.addresses.len());
    }
}
