//! What arrives, at each program that sees it.

use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
use etherparse::{ArpOperation, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use mantle_ebpf::layout::{Counter, Event, Kind, Right, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use crate::frames::*;
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, MARK, OVER, OWN, PEER, vip};
use crate::twin::{Buffer, Twin};

/// A row of the table: how it is brought about.
#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    state: State,
    right: Right,
}

const OWNER: Row = Row { name: "owner", state: State::Owner, right: LASTING };
const FENCED: Row = Row { name: "right over", state: State::Owner, right: OVER };
const FOREIGN: Row =
    Row { name: "another session's", state: State::Owner, right: Right { mark: MARK + 1, until: u64::MAX } };
const PREPARED: Row = Row { name: "prepared", state: State::Prepared, right: LASTING };
const YIELDING: Row = Row { name: "yielding", state: State::Yielding, right: LASTING };
const FORWARDING: Row = Row { name: "forwarding", state: State::Forwarding, right: LASTING };
const ROWS: [Row; 6] = [OWNER, FENCED, FOREIGN, PREPARED, YIELDING, FORWARDING];

impl Row {
    fn is_fence(self) -> bool {
        self.right != LASTING
    }
}

/// Both VIPs stand in that row; the IPv6 one has slot 1 and is a router's.
fn stand(lab: &mut Lab, row: Row) {
    let v6 = Vip { router: 1, ..vip(row.state, 1) };
    lab.set_vips(&[(VIP4.into(), vip(row.state, 0)), (VIP6.into(), v6)]);
    lab.set_right(row.right);
}

/// Runs the frame and checks the verdict and that exactly this was counted.
fn judged(
    lab: &mut Lab,
    hook: Hook,
    what: &str,
    frame: &[u8],
    verdict: Verdict,
    counted: &[Counter],
) -> Vec<u8> {
    let before = [0, 1].map(|slot| lab.counters(slot));
    let (given, bytes) = lab.run(hook, frame);
    assert_eq!(given, verdict, "{hook:?}: {what}");
    if verdict != Verdict::Reply {
        assert_eq!(bytes, frame, "{hook:?}: {what}: must be left as it is");
    }
    let after = [0, 1].map(|slot| lab.counters(slot));
    for counter in Counter::ALL {
        let rise: u64 = (0..2).map(|slot| after[slot].of(counter) - before[slot].of(counter)).sum();
        assert_eq!(rise, u64::from(counted.contains(&counter)), "{hook:?}: {what}: {counter:?}");
    }
    bytes
}

/// The answer says to [`ASKER`] that the VIP is at `mac`, and leaves from this node's port.
fn assert_arp_answer(frame: &[u8], mac: Mac) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let link = sliced.link.unwrap().to_header().unwrap().ethernet2().unwrap();
    assert_eq!((link.destination, link.source), (ASKER.0, OWN.0));
    let Some(NetSlice::Arp(arp)) = sliced.net else { panic!("{frame:x?}") };
    let arp = arp.to_packet().try_eth_ipv4().unwrap();
    assert_eq!(arp.operation, ArpOperation::REPLY);
    assert_eq!((arp.sender_mac, arp.sender_ipv4), (mac.0, VIP4.octets()));
    assert_eq!((arp.target_mac, arp.target_ipv4), (ASKER.0, HOST4.octets()));
}

/// The answer is a valid advertisement of the VIP at `mac`, a router's or not.
fn assert_ns_answer(frame: &[u8], mac: Mac, probed: bool, router: bool) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let link = sliced.link.unwrap().to_header().unwrap().ethernet2().unwrap();
    let to = if probed { [0x33, 0x33, 0, 0, 0, 1] } else { ASKER.0 };
    assert_eq!((link.destination, link.source), (to, OWN.0));
    let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("{frame:x?}") };
    assert_eq!((ip.header().hop_limit(), ip.header().source_addr()), (255, VIP6));
    let to = if probed { "ff02::1".parse().unwrap() } else { HOST6 };
    assert_eq!(ip.header().destination_addr(), to);
    let Some(TransportSlice::Icmpv6(message)) = sliced.transport else { panic!("{frame:x?}") };
    assert!(message.is_checksum_valid(ip.header().source(), ip.header().destination()));
    let Icmpv6Type::NeighborAdvertisement(flags) = message.icmp_type() else { panic!("{message:?}") };
    assert_eq!((flags.router, flags.solicited, flags.r#override), (router, !probed, true));
    let Icmpv6PayloadSlice::NeighborAdvertisement(payload) = message.payload_slice().unwrap() else {
        panic!("{message:?}")
    };
    assert_eq!(payload.target_address(), VIP6);
    let options: Vec<_> = payload.options_iterator().collect::<Result<_, _>>().unwrap();
    let [NdpOptionSlice::TargetLinkLayerAddress(option)] = options.as_slice() else { panic!("{options:?}") };
    assert_eq!(option.link_layer_address(), mac.0);
}

#[test]
fn arp_requests_are_treated_as_the_table_says() {
    let Some(mut lab) = Lab::new() else { return };
    let unicast = arp(OWN, ArpOperation::REQUEST, (ASKER, HOST4), (OWN, VIP4));
    // From behind a load balancer: the answer goes to SHA.
    let masked = with(arp_request(VIP4), 6, &[2, 0, 0, 0, 0, 0x0d]);
    let padded = [arp_request(VIP4).as_slice(), &[0; 18]].concat();
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| ROWS.map(|row| (hook, row))) {
        stand(&mut lab, row);
        for frame in [&arp_request(VIP4), &unicast, &padded, &masked] {
            let (verdict, counted) = match row.name {
                "owner" | "yielding" => (Verdict::Reply, Counter::AnsweredArp),
                _ => (Verdict::Drop, Counter::DroppedArp),
            };
            let bytes = judged(&mut lab, hook, row.name, frame, verdict, &[counted]);
            if verdict == Verdict::Reply {
                assert_eq!(bytes.len(), frame.len());
                assert_arp_answer(&bytes, if row.name == "owner" { OWN } else { PEER });
            }
        }
    }
}

#[test]
fn an_arp_probe_is_answered_to_its_sender() {
    let Some(mut lab) = Lab::new() else { return };
    let nobody = "0.0.0.0".parse().unwrap();
    let probe = arp(Mac::BROADCAST, ArpOperation::REQUEST, (ASKER, nobody), (Mac::ZERO, VIP4));
    for hook in Hook::ARRIVING {
        stand(&mut lab, OWNER);
        let bytes = judged(&mut lab, hook, "probe", &probe, Verdict::Reply, &[Counter::AnsweredArp]);
        assert_arp_answer(&with(bytes, 38, &HOST4.octets()), OWN);
    }
}

#[test]
fn arp_replies_and_announcements_are_not_answered() {
    let Some(mut lab) = Lab::new() else { return };
    let reply = arp(OWN, ArpOperation::REPLY, (ASKER, HOST4), (OWN, VIP4));
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| ROWS.map(|row| (hook, row))) {
        stand(&mut lab, row);
        judged(&mut lab, hook, row.name, &reply, Verdict::Pass, &[]);
        // The successor announces itself: no conflict, and no question. As a reply it may be learned from.
        let announcement = gratuitous(ArpOperation::REPLY, PEER, VIP4);
        let counted = if row.name == "owner" { [Counter::Conflicts].as_slice() } else { &[] };
        judged(&mut lab, hook, row.name, &announcement, Verdict::Pass, counted);
        let announcement = gratuitous(ArpOperation::REQUEST, PEER, VIP4);
        let (verdict, counted) = match row.name {
            "owner" => (Verdict::Pass, [Counter::Conflicts].as_slice()),
            "yielding" => (Verdict::Pass, [].as_slice()),
            _ => (Verdict::Drop, [Counter::DroppedArp].as_slice()),
        };
        judged(&mut lab, hook, row.name, &announcement, verdict, counted);
    }
}

#[test]
fn solicitations_are_treated_as_the_table_says() {
    let Some(mut lab) = Lab::new() else { return };
    let ask = |to, options: &[u8]| ndp(Icmpv6Type::NeighborSolicitation, (ASKER, HOST6), to, VIP6, options);
    // (The frame, whether it is a probe.)
    let questions = [
        (solicitation(VIP6), false),
        // Linux checks by unicast whether a neighbour is still there.
        (ask((OWN, VIP6), &source_option(ASKER)), false),
        (ask((OWN, VIP6), &[]), false),
        (ask((OWN, VIP6), &[14, 1, 1, 2, 3, 4, 5, 6]), false),
        // Where the option names a station the answer goes there, else to the frame's source.
        (with(solicitation(VIP6), 6, &[2, 0, 0, 0, 0, 0x0d]), false),
        (ask((OWN, VIP6), &source_option(Mac::BROADCAST)), false),
        (probe(VIP6), true),
    ];
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| ROWS.map(|row| (hook, row))) {
        stand(&mut lab, row);
        for (frame, probed) in &questions {
            let (verdict, counted) = match row.name {
                "owner" if *probed => (Verdict::Reply, [Counter::AnsweredNs, Counter::Conflicts].as_slice()),
                "owner" | "yielding" => (Verdict::Reply, [Counter::AnsweredNs].as_slice()),
                _ => (Verdict::Drop, [Counter::DroppedNs].as_slice()),
            };
            let bytes = judged(&mut lab, hook, row.name, frame, verdict, counted);
            if verdict == Verdict::Reply {
                assert_ns_answer(&bytes, if row.name == "owner" { OWN } else { PEER }, *probed, true);
            }
        }
    }
}

#[test]
fn only_a_router_s_answer_says_router() {
    let Some(mut lab) = Lab::new() else { return };
    for hook in Hook::ARRIVING {
        for router in [0, 1] {
            lab.set_vips(&[(VIP6.into(), Vip { router, ..vip(State::Owner, 1) })]);
            lab.set_right(LASTING);
            let answered = [Counter::AnsweredNs];
            let bytes = judged(&mut lab, hook, "asked", &solicitation(VIP6), Verdict::Reply, &answered);
            assert_ns_answer(&bytes, OWN, false, router == 1);
        }
    }
}

#[test]
fn a_state_of_another_version_is_a_fence() {
    let Some(mut lab) = Lab::new() else { return };
    let unknown = Vip { state: 5, ..vip(State::Owner, 0) };
    lab.set_vips(&[(VIP4.into(), unknown), (VIP6.into(), unknown)]);
    lab.set_right(LASTING);
    for hook in Hook::ARRIVING {
        for (frame, counter) in [
            (arp_request(VIP4), Counter::DroppedArp),
            (solicitation(VIP6), Counter::DroppedNs),
            (udp_to(VIP4.into()), Counter::DroppedIp),
        ] {
            judged(&mut lab, hook, "unknown state", &frame, Verdict::Drop, &[counter]);
        }
    }
    judged(
        &mut lab,
        Hook::Egress,
        "unknown state",
        &udp_from(VIP4.into()),
        Verdict::Drop,
        &[Counter::DroppedOut],
    );
}

#[test]
fn the_right_is_over_at_its_very_end() {
    // The kernel's clock does not stand still: on the host only.
    for (left, verdict) in [(0, Verdict::Drop), (1, Verdict::Reply)] {
        let right = Right { mark: MARK, until: crate::twin::NOW + left };
        let twin = Twin::new(&[(VIP4.into(), vip(State::Owner, 0))], right);
        assert_eq!(twin.run(Hook::Ingress, &arp_request(VIP4)).0, verdict);
    }
}

#[test]
fn what_ends_within_its_headers_is_passed() {
    // What `BPF_PROG_TEST_RUN` makes no socket buffer of: on the host only.
    let vips = [(VIP4.into(), vip(State::Owner, 0)), (VIP6.into(), vip(State::Owner, 1))];
    let frames = [
        (arp_request(VIP4), 42),
        (udp_to(VIP4.into()), 34),
        (udp_to(VIP6.into()), 54),
        (solicitation(VIP6), 78),
    ];
    let twin = Twin::new(&vips, OVER);
    for (frame, whole) in frames {
        for len in 0..whole {
            let short = frame[..len].to_vec();
            assert_eq!(twin.run(Hook::Ingress, &short), (Verdict::Pass, short));
        }
        assert_eq!(twin.run(Hook::Ingress, &frame[..whole]).0, Verdict::Drop);
    }
}

#[test]
fn ip_is_treated_as_the_table_says() {
    let Some(mut lab) = Lab::new() else { return };
    let v4 = udp_to(VIP4.into());
    let ping = Icmpv6Type::EchoRequest(etherparse::IcmpEchoHeader { id: 1, seq: 1 });
    let echo = ndp(ping, (ASKER, HOST6), (OWN, VIP6), VIP6, &[]);
    let frames = [
        // IP options come after the addresses.
        with_inserted(with(v4.clone(), 14, &[0x46]), 34, &[1, 1, 1, 1]),
        // A later fragment.
        with(v4.clone(), 20, &[0, 100]),
        v4,
        udp_to(VIP6.into()),
        // A destination options header before the datagram.
        with_inserted(with(udp_to(VIP6.into()), 20, &[60]), 54, &[17, 0, 1, 4, 0, 0, 0, 0]),
        // A later fragment.
        with_inserted(with(udp_to(VIP6.into()), 20, &[44]), 54, &[17, 0, 0, 100, 0, 0, 0, 1]),
        // To all stations, by whoever has no better idea.
        with(udp_to(VIP4.into()), 0, &Mac::BROADCAST.0),
        // A ping whose data look like a target, and one that is over before there.
        echo.clone(),
        echo[..70].to_vec(),
        // A question that ends within its target.
        ndp(Icmpv6Type::NeighborSolicitation, (ASKER, HOST6), (OWN, VIP6), VIP6, &[])[..77].to_vec(),
        // Neighbour discovery behind an extension header is not ours to answer.
        with_inserted(
            with(
                ndp(
                    Icmpv6Type::NeighborSolicitation,
                    (ASKER, HOST6),
                    (OWN, VIP6),
                    VIP6,
                    &source_option(ASKER),
                ),
                20,
                &[0],
            ),
            54,
            &[58, 0, 1, 4, 0, 0, 0, 0],
        ),
    ];
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| ROWS.map(|row| (hook, row))) {
        stand(&mut lab, row);
        for frame in &frames {
            let (verdict, counted) = match row.name {
                "owner" | "yielding" | "forwarding" => (Verdict::Pass, [].as_slice()),
                _ => (Verdict::Drop, [Counter::DroppedIp].as_slice()),
            };
            judged(&mut lab, hook, row.name, frame, verdict, counted);
            // What the present owner sends on.
            let (verdict, counted) =
                if row.name == "prepared" { (Verdict::Pass, [].as_slice()) } else { (verdict, counted) };
            judged(&mut lab, hook, row.name, &with(frame.clone(), 6, &PEER.0), verdict, counted);
        }
    }
}

#[test]
fn what_is_not_surely_ours_is_passed_in_every_row() {
    let Some(mut lab) = Lab::new() else { return };
    let mapped = VIP4.to_ipv6_mapped();
    let mut frames = vec![
        ("a tag in the frame", tagged(arp_request(VIP4))),
        ("a tag in the frame", tagged(solicitation(VIP6))),
        ("a tag in the frame", tagged(udp_to(VIP4.into()))),
        ("a provider's tag", with(tagged(udp_to(VIP6.into())), 12, &[0x88, 0xa8])),
        ("another ethertype", with(arp_request(VIP4), 12, &[0x88, 0xcc])),
        // The addresses stand where they would without the tag: it is the tag that counts.
        ("a tag over what looks like ARP", with(arp_request(VIP4), 12, &[0x81, 0])),
        ("a tag over what looks like IPv6", with(solicitation(VIP6), 12, &[0x88, 0xa8])),
        ("another station's", with(arp_request(VIP4), 0, &PEER.0)),
        ("another station's", with(solicitation(VIP6), 0, &PEER.0)),
        ("another station's", with(udp_to(VIP4.into()), 0, &PEER.0)),
        ("another station's", with(udp_to(VIP6.into()), 0, &PEER.0)),
        ("another station's", with(advertisement(PEER, VIP6), 0, &PEER.0)),
        ("the IPv4 VIP in IPv6", solicitation(mapped)),
        ("the IPv4 VIP in IPv6", udp_to(mapped.into())),
        ("from the VIP", udp((ASKER, VIP4.into()), (OWN, HOST4.into()))),
    ];
    for other in OTHER4 {
        frames.push(("another address", arp_request(other)));
        frames.push(("another address", udp_to(other.into())));
        frames.push(("another address", gratuitous(ArpOperation::REPLY, ASKER, other)));
    }
    for other in OTHER6 {
        frames.push(("another address", solicitation(other)));
        frames.push(("another address", probe(other)));
        frames.push(("another address", udp_to(other.into())));
        frames.push(("another address", advertisement(ASKER, other)));
    }
    let whole = [(arp_request(VIP4), 42), (udp_to(VIP4.into()), 34), (udp_to(VIP6.into()), 54)];
    for (frame, least) in &whole {
        frames.extend((15..*least).map(|len| ("short", frame[..len].to_vec())));
    }
    // Too short for a target, and not to the VIP itself.
    frames.extend((54..78).map(|len| ("short", solicitation(VIP6)[..len].to_vec())));
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| ROWS.map(|row| (hook, row))) {
        stand(&mut lab, row);
        for (what, frame) in frames.iter().filter(|(_, frame)| hook.takes(frame)) {
            judged(&mut lab, hook, &format!("{}, {what}", row.name), frame, Verdict::Pass, &[]);
        }
    }
}

#[test]
fn what_asks_in_a_bad_form_is_never_answered() {
    let Some(mut lab) = Lab::new() else { return };
    let request = arp_request(VIP4);
    let ns = solicitation(VIP6);
    let of_len =
        |options: &[u8]| ndp(Icmpv6Type::NeighborSolicitation, (ASKER, HOST6), (OWN, VIP6), VIP6, options);
    let frames = [
        ("hardware", with(request.clone(), 14, &[0, 6]), Counter::DroppedArp),
        ("protocol", with(request.clone(), 16, &[0x86, 0xdd]), Counter::DroppedArp),
        ("address lengths", with(request.clone(), 18, &[8, 4]), Counter::DroppedArp),
        ("reverse ARP's operation", with(request.clone(), 20, &[0, 3]), Counter::DroppedArp),
        ("a group's MAC as sender", with(request, 22, &[0xff; 6]), Counter::DroppedArp),
        ("hop limit", with(ns.clone(), 21, &[254]), Counter::DroppedNs),
        ("code", sealed(with(ns.clone(), 55, &[1])), Counter::DroppedNs),
        ("checksum", with(ns.clone(), 56, &[0, 0]), Counter::DroppedNs),
        ("version", with(ns.clone(), 14, &[0x40]), Counter::DroppedNs),
        ("payload length", with(ns.clone(), 18, &[0, 24]), Counter::DroppedNs),
        ("bytes behind the payload", [ns.as_slice(), &[0]].concat(), Counter::DroppedNs),
        ("option of no length", sealed(with(ns.clone(), 79, &[0])), Counter::DroppedNs),
        ("option beyond the end", sealed(with(ns.clone(), 79, &[2])), Counter::DroppedNs),
        ("a group as source", sealed(with(ns.clone(), 22, &[0xff, 2])), Counter::DroppedNs),
        ("probe with an option", sealed(with(ns, 22, &[0; 16])), Counter::DroppedNs),
        ("probe not to a group", sealed(with(of_len(&[]), 22, &[0; 16])), Counter::DroppedNs),
        (
            "two options",
            of_len(&[source_option(ASKER), vec![14, 1, 0, 0, 0, 0, 0, 0]].concat()),
            Counter::DroppedNs,
        ),
    ];
    for hook in Hook::ARRIVING {
        for (what, frame, counter) in &frames {
            stand(&mut lab, OWNER);
            judged(&mut lab, hook, what, frame, Verdict::Pass, &[]);
            // What could be taken for a question is not left to others to answer.
            stand(&mut lab, FENCED);
            judged(&mut lab, hook, what, frame, Verdict::Drop, &[*counter]);
        }
    }
}

#[test]
fn a_vip_is_answered_on_its_own_link_only() {
    let Some(mut lab) = Lab::new() else { return };
    let elsewhere = Vip { link: LINK + 1, ..vip(State::Owner, 0) };
    for hook in Hook::ARRIVING {
        lab.set_vips(&[(VIP4.into(), elsewhere), (VIP6.into(), elsewhere)]);
        lab.set_right(LASTING);
        let claim = gratuitous(ArpOperation::REPLY, ASKER, VIP4);
        let advertised = advertisement(ASKER, VIP6);
        for frame in
            [arp_request(VIP4), solicitation(VIP6), probe(VIP6), claim, advertised, udp_to(VIP4.into())]
        {
            judged(&mut lab, hook, "on another link", &frame, Verdict::Pass, &[]);
        }
    }
}

#[test]
fn a_tag_beside_the_frame_is_a_tag() {
    // What `BPF_PROG_TEST_RUN` cannot give a socket buffer: on the host only.
    for right in [LASTING, OVER] {
        let twin =
            Twin::new(&[(VIP4.into(), vip(State::Owner, 0)), (VIP6.into(), vip(State::Owner, 1))], right);
        let claims = [gratuitous(ArpOperation::REPLY, ASKER, VIP4), advertisement(ASKER, VIP6)];
        let others = [arp_request(VIP4), solicitation(VIP6), udp_to(VIP4.into()), udp_to(VIP6.into())];
        let leaving = [udp_from(VIP4.into()), udp_from(VIP6.into())];
        for bytes in claims.into_iter().chain(others).chain(leaving) {
            for hook in Hook::ALL {
                let buffer = Buffer { bytes: bytes.clone(), link: LINK, is_tagged: true };
                assert_eq!(twin.run_on(hook, buffer), (Verdict::Pass, bytes.clone()));
            }
        }
        assert_eq!(twin.events(), []);
    }
}

#[test]
fn another_mac_that_claims_the_vip_is_a_conflict() {
    let Some(mut lab) = Lab::new() else { return };
    let bystander = arp(Mac::BROADCAST, ArpOperation::REQUEST, (ASKER, VIP4), (Mac::ZERO, HOST4));
    let claims = [
        (gratuitous(ArpOperation::REQUEST, ASKER, VIP4), 0),
        (gratuitous(ArpOperation::REPLY, ASKER, VIP4), 0),
        (bystander, 0),
        (advertisement(ASKER, VIP6), 1),
        // Without an option that says otherwise it is at the frame's source.
        (sealed(with(advertisement(ASKER, VIP6), 78, &[1])), 1),
        (advertisement(ASKER, VIP6)[..78].to_vec(), 1),
    ];
    for hook in Hook::ARRIVING {
        stand(&mut lab, OWNER);
        for (frame, slot) in &claims {
            lab.forget_limits(*slot);
            lab.events();
            for _ in 0..3 {
                judged(&mut lab, hook, "claim", frame, Verdict::Pass, &[Counter::Conflicts]);
            }
            let [Event { vip, kind, link, mac, at, .. }] = lab.events()[..] else {
                panic!("one event for the three of a moment")
            };
            let address = if *slot == 0 { VIP4.into() } else { VIP6.into() };
            assert_eq!((vip, Kind::of(kind), link, mac), (address, Some(Kind::Conflict), LINK, ASKER));
            assert!(at > 0);
        }
        // The node's own, come back by some loop; an advertisement from off the link.
        for frame in [
            gratuitous(ArpOperation::REPLY, OWN, VIP4),
            advertisement(OWN, VIP6),
            sealed(with(advertisement(ASKER, VIP6), 21, &[64])),
            sealed(with(advertisement(ASKER, VIP6), 55, &[1])),
            with(gratuitous(ArpOperation::REPLY, ASKER, VIP4), 14, &[0, 6]),
        ] {
            judged(&mut lab, hook, "no claim", &frame, Verdict::Pass, &[]);
        }
        for row in [YIELDING, FORWARDING] {
            stand(&mut lab, row);
            let claim = advertisement(PEER, VIP6);
            judged(&mut lab, hook, row.name, &claim, Verdict::Drop, &[Counter::DroppedNs]);
        }
    }
}

#[test]
fn a_node_without_the_right_learns_where_the_successor_is() {
    let Some(mut lab) = Lab::new() else { return };
    let header =
        etherparse::icmpv6::NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
    let kind = Icmpv6Type::NeighborAdvertisement(header);
    let answer = ndp(kind, (PEER, VIP6), (OWN, HOST6), VIP6, &target_option(PEER));
    for (hook, row) in
        Hook::ARRIVING.into_iter().flat_map(|hook| [FENCED, FOREIGN, PREPARED].map(|row| (hook, row)))
    {
        stand(&mut lab, row);
        for frame in [
            arp(OWN, ArpOperation::REPLY, (PEER, VIP4), (OWN, HOST4)),
            gratuitous(ArpOperation::REPLY, PEER, VIP4),
            answer.clone(),
            advertisement(PEER, VIP6),
        ] {
            judged(&mut lab, hook, row.name, &frame, Verdict::Pass, &[]);
        }
        assert!(lab.events().is_empty(), "{}", row.name);
    }
}

#[test]
fn the_agent_hears_of_the_fence_but_not_of_every_frame() {
    let Some(mut lab) = Lab::new() else { return };
    for hook in Hook::ARRIVING {
        for row in ROWS {
            stand(&mut lab, row);
            for frame in [arp_request(VIP4), udp_to(VIP4.into()), solicitation(VIP6), udp_to(VIP6.into())] {
                lab.forget_limits(0);
                lab.forget_limits(1);
                for _ in 0..5 {
                    lab.run(hook, &frame);
                }
                let events = lab.events();
                assert_eq!(events.len(), usize::from(row.is_fence()), "{}: {events:?}", row.name);
                for event in events {
                    assert_eq!((Kind::of(event.kind), event.mac), (Some(Kind::FenceIn), ASKER));
                }
            }
        }
    }
}
