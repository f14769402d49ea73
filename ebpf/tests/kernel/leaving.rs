//! What leaves.

use std::net::Ipv6Addr;

use etherparse::ArpOperation;
use etherparse::Icmpv6Type::{EchoReply, NeighborSolicitation};
use mantle_ebpf::layout::{Address, Counter, Kind, Right, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use crate::frames::*;
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, MARK, OVER, OWN, PEER, vip};
use crate::twin::Twin;

const STATES: [State; 4] = [State::Owner, State::Prepared, State::Yielding, State::Forwarding];

fn stand(lab: &mut Lab, vip: Vip, right: Right) {
    lab.set_vips(&[(VIP4.into(), vip), (VIP6.into(), vip)]);
    lab.set_right(right);
}

/// Runs the frame and checks that it is passed, or dropped and counted.
fn assert_passed(lab: &mut Lab, what: &str, frame: &[u8], is_passed: bool) {
    let before = lab.counters(0);
    let verdict = if is_passed { Verdict::Pass } else { Verdict::Drop };
    assert_eq!(lab.run(Hook::Egress, frame), (verdict, frame.to_vec()), "{what}");
    let after = lab.counters(0);
    for counter in Counter::ALL {
        let is_counted = counter == Counter::DroppedOut && !is_passed;
        assert_eq!(after.of(counter) - before.of(counter), u64::from(is_counted), "{what}: {counter:?}");
    }
}

/// Frames that say the VIP is at `mac`.
fn claims(mac: Mac) -> Vec<Vec<u8>> {
    let bare = ndp(NeighborSolicitation, (mac, VIP6), (ASKER, HOST6), HOST6, &[]);
    vec![
        gratuitous(ArpOperation::REQUEST, mac, VIP4),
        gratuitous(ArpOperation::REPLY, mac, VIP4),
        arp(ASKER, ArpOperation::REPLY, (mac, VIP4), (ASKER, HOST4)),
        arp(Mac::BROADCAST, ArpOperation::REQUEST, (mac, VIP4), (Mac::ZERO, HOST4)),
        advertisement(mac, VIP6),
        // Whoever is its source: the target is what it is about.
        sealed(with(advertisement(mac, VIP6), 22, &HOST6.octets())),
        // It teaches the one who is asked where the asker is.
        ndp(NeighborSolicitation, (mac, VIP6), (ASKER, HOST6), HOST6, &source_option(mac)),
        bare,
    ]
}

#[test]
fn claims_leave_as_the_table_says() {
    let Some(mut lab) = Lab::new() else { return };
    for state in STATES {
        for right in [LASTING, OVER, Right { mark: MARK + 1, until: u64::MAX }] {
            stand(&mut lab, vip(state, 0), right);
            // That the VIP is at the peer the program itself answers, while yielding; it may be forwarding as that leaves.
            for (mac, allowed) in
                [(OWN, [State::Owner; 3]), (PEER, [State::Owner, State::Yielding, State::Forwarding])]
            {
                for frame in claims(mac) {
                    let is_passed = right == LASTING && allowed.contains(&state);
                    assert_passed(
                        &mut lab,
                        &format!("{state:?}, {right:?}, {mac}: {frame:x?}"),
                        &frame,
                        is_passed,
                    );
                }
            }
        }
    }
}

#[test]
fn a_claim_is_about_the_mac_it_names_and_not_about_the_frame_s() {
    let Some(mut lab) = Lab::new() else { return };
    stand(&mut lab, vip(State::Yielding, 0), LASTING);
    for (frame, named) in [
        (advertisement(PEER, VIP6), PEER),
        (advertisement(OWN, VIP6), OWN),
        (gratuitous(ArpOperation::REPLY, PEER, VIP4), PEER),
        (gratuitous(ArpOperation::REPLY, OWN, VIP4), OWN),
    ] {
        for source in [OWN, PEER] {
            let frame = with(frame.clone(), 6, &source.0);
            assert_passed(&mut lab, &format!("{named} by {source}"), &frame, named == PEER);
        }
    }
}

#[test]
fn a_node_that_hands_the_vip_over_asks_in_another_name() {
    let Some(mut lab) = Lab::new() else { return };
    let [v4, v6]: [Address; 2] = [OTHER4[0].into(), "fe80::b".parse::<Ipv6Addr>().unwrap().into()];
    let request = |ip| arp(Mac::BROADCAST, ArpOperation::REQUEST, (OWN, ip), (Mac::ZERO, HOST4));
    let solicit = |ip, options: &[u8]| ndp(NeighborSolicitation, (OWN, ip), (ASKER, HOST6), HOST6, options);
    let link_local: Ipv6Addr = "fe80::b".parse().unwrap();
    let pairs = [
        (request(VIP4), request(OTHER4[0])),
        (solicit(VIP6, &source_option(OWN)), solicit(link_local, &source_option(OWN))),
        (solicit(VIP6, &[]), solicit(link_local, &[])),
    ];
    let others = [
        // They would tell, not ask; or ask in a name that is not the node's to use.
        gratuitous(ArpOperation::REQUEST, OWN, VIP4),
        gratuitous(ArpOperation::REPLY, OWN, VIP4),
        advertisement(OWN, VIP6),
        arp(Mac::BROADCAST, ArpOperation::REQUEST, (ASKER, VIP4), (Mac::ZERO, HOST4)),
    ];
    for state in STATES {
        for (right, link) in [(LASTING, LINK), (OVER, LINK), (LASTING, LINK + 1)] {
            let vip = |asks_as| Vip { asks_as, link, ..vip(state, 0) };
            lab.set_vips(&[(VIP4.into(), vip(v4)), (VIP6.into(), vip(v6))]);
            lab.set_right(right);
            let hands_over = matches!(state, State::Yielding | State::Forwarding);
            let is_renamed = hands_over && right == LASTING && link == LINK;
            for (frame, renamed) in &pairs {
                let what = format!("{state:?}, {right:?}, {link}: {frame:x?}");
                if is_renamed {
                    assert_eq!(lab.run(Hook::Egress, frame), (Verdict::Pass, renamed.clone()), "{what}");
                    let is_sealed = renamed.len() == 42 || sealed(renamed.clone()) == *renamed;
                    assert!(is_sealed, "{what}");
                } else {
                    assert_passed(&mut lab, &what, frame, state == State::Owner && right == LASTING);
                }
            }
            if hands_over {
                for frame in &others {
                    assert_passed(&mut lab, "another's", frame, false);
                }
                // An address of the other family is none; and without one nobody is asked.
                for [v4, v6] in [[v6, v4], [Address::NONE; 2]] {
                    lab.set_vips(&[(VIP4.into(), vip(v4)), (VIP6.into(), vip(v6))]);
                    for (frame, _) in &pairs {
                        assert_passed(&mut lab, "in nobody's name", frame, false);
                    }
                }
            }
        }
    }
}

#[test]
fn ip_from_the_vip_leaves_as_the_table_says() {
    let Some(mut lab) = Lab::new() else { return };
    let v4 = udp_from(VIP4.into());
    let echo = EchoReply(etherparse::IcmpEchoHeader { id: 1, seq: 1 });
    let ndp_of_another = sealed(with(advertisement(OWN, VIP6), 62, &OTHER6[0].octets()));
    let frames = [
        with_inserted(with(v4.clone(), 14, &[0x46]), 34, &[1, 1, 1, 1]),
        v4,
        udp_from(VIP6.into()),
        with_inserted(with(udp_from(VIP6.into()), 20, &[60]), 54, &[17, 0, 1, 4, 0, 0, 0, 0]),
        // Neither says where the VIP is: no target is there, or none is meant.
        ndp(echo, (OWN, VIP6), (ASKER, HOST6), VIP6, &[]),
        advertisement(OWN, VIP6)[..77].to_vec(),
        // Of another address: it is the packet's source that counts.
        ndp_of_another,
    ];
    for state in STATES {
        for right in [LASTING, OVER, Right { mark: MARK + 1, until: u64::MAX }] {
            stand(&mut lab, vip(state, 0), right);
            for frame in &frames {
                let is_passed = right == LASTING && state != State::Prepared;
                assert_passed(&mut lab, &format!("{state:?}, {right:?}: {frame:x?}"), frame, is_passed);
            }
        }
    }
}

#[test]
fn on_another_link_only_the_vip_s_own_mac_claims_it() {
    let Some(mut lab) = Lab::new() else { return };
    stand(&mut lab, Vip { link: LINK + 1, ..vip(State::Owner, 0) }, LASTING);
    // As from a bridge over the port it leaves by.
    for frame in claims(OWN) {
        assert_passed(&mut lab, "own MAC", &frame, true);
    }
    // As from the kernel, which answers for all of its addresses on each interface.
    for frame in claims(ASKER) {
        assert_passed(&mut lab, "another MAC", &frame, false);
    }
    assert_passed(&mut lab, "IP", &udp_from(VIP4.into()), true);
}

#[test]
fn what_is_not_from_the_vip_leaves_whatever_the_row() {
    let Some(mut lab) = Lab::new() else { return };
    let mut frames = vec![
        tagged(udp_from(VIP4.into())),
        tagged(gratuitous(ArpOperation::REPLY, OWN, VIP4)),
        with(gratuitous(ArpOperation::REPLY, OWN, VIP4), 12, &[0x88, 0xcc]),
        // Asks for the VIP.
        arp(Mac::BROADCAST, ArpOperation::REQUEST, (OWN, HOST4), (Mac::ZERO, VIP4)),
        solicitation(VIP6),
        probe(VIP6),
        udp((OWN, HOST4.into()), (PEER, VIP4.into())),
        udp_from(VIP4.to_ipv6_mapped().into()),
    ];
    for (v4, v6) in OTHER4.into_iter().zip(OTHER6) {
        frames.push(gratuitous(ArpOperation::REPLY, OWN, v4));
        frames.push(udp_from(v4.into()));
        frames.push(advertisement(OWN, v6));
        frames.push(udp_from(v6.into()));
    }
    let claim = gratuitous(ArpOperation::REPLY, OWN, VIP4);
    frames.extend((15..claim.len()).map(|len| claim[..len].to_vec()));
    for state in STATES {
        for right in [LASTING, OVER] {
            stand(&mut lab, vip(state, 0), right);
            for frame in &frames {
                assert_passed(&mut lab, &format!("{state:?}, {right:?}: {frame:x?}"), frame, true);
            }
        }
    }
}

#[test]
fn what_ends_within_its_ip_header_leaves() {
    // What `BPF_PROG_TEST_RUN` makes no socket buffer of: on the host only.
    let twin = Twin::new(&[(VIP4.into(), vip(State::Owner, 0)), (VIP6.into(), vip(State::Owner, 1))], OVER);
    for (frame, whole) in [(udp_from(VIP4.into()), 34), (udp_from(VIP6.into()), 54)] {
        for len in 0..whole {
            let short = frame[..len].to_vec();
            assert_eq!(twin.run(Hook::Egress, &short), (Verdict::Pass, short));
        }
        assert_eq!(twin.run(Hook::Egress, &frame[..whole]).0, Verdict::Drop);
    }
}

#[test]
fn the_agent_hears_of_the_fence() {
    let Some(mut lab) = Lab::new() else { return };
    for frame in [gratuitous(ArpOperation::REPLY, OWN, VIP4), udp_from(VIP6.into()), advertisement(OWN, VIP6)]
    {
        stand(&mut lab, vip(State::Owner, 0), OVER);
        lab.forget_limits(0);
        for _ in 0..5 {
            lab.run(Hook::Egress, &frame);
        }
        let events = lab.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!((Kind::of(events[0].kind), events[0].mac), (Some(Kind::FenceOut), OWN));
        // A handoff's own drops are no news.
        stand(&mut lab, vip(State::Prepared, 0), LASTING);
        lab.forget_limits(0);
        lab.run(Hook::Egress, &frame);
        assert_eq!(lab.events(), []);
    }
}
