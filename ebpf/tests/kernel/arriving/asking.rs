//! Who asks where the VIP is.

use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
use etherparse::{ArpOperation, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use mantle_ebpf::layout::{Counter, Right, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use super::{FENCED, OWNER, ROWS, judged, stand};
use crate::frames::*;
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, MARK, OWN, PEER, vip};
use crate::twin::Twin;

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
                "owner" | "draining" | "yielding" => (Verdict::Reply, Counter::AnsweredArp),
                _ => (Verdict::Drop, Counter::DroppedArp),
            };
            let bytes = judged(&mut lab, hook, row.name, frame, verdict, &[counted]);
            if verdict == Verdict::Reply {
                assert_eq!(bytes.len(), frame.len());
                assert_arp_answer(&bytes, if row.is_owner() { OWN } else { PEER });
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
                "owner" | "draining" if *probed => {
                    (Verdict::Reply, [Counter::AnsweredNs, Counter::Conflicts].as_slice())
                }
                "owner" | "draining" | "yielding" => (Verdict::Reply, [Counter::AnsweredNs].as_slice()),
                _ => (Verdict::Drop, [Counter::DroppedNs].as_slice()),
            };
            let bytes = judged(&mut lab, hook, row.name, frame, verdict, counted);
            if verdict == Verdict::Reply {
                assert_ns_answer(&bytes, if row.is_owner() { OWN } else { PEER }, *probed, true);
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
