//! Who says where the VIP is, and what the agent hears.

use etherparse::{ArpOperation, Icmpv6Type};
use mantle_ebpf::layout::{Counter, Event, Kind, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use super::{FENCED, FOREIGN, FORWARDING, OWNER, PREPARED, ROWS, YIELDING, judged, stand};
use crate::frames::*;
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, OWN, PEER, vip};

#[test]
fn arp_replies_and_announcements_are_not_answered() {
    let Some(mut lab) = Lab::new() else { return };
    let reply = arp(OWN, ArpOperation::REPLY, (ASKER, HOST4), (OWN, VIP4));
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| ROWS.map(|row| (hook, row))) {
        stand(&mut lab, row);
        judged(&mut lab, hook, row.name, &reply, Verdict::Pass, &[]);
        // The successor announces itself: no conflict, and no question. As a reply it may be learned from.
        let announcement = gratuitous(ArpOperation::REPLY, PEER, VIP4);
        let counted = if row.is_owner() { [Counter::Conflicts].as_slice() } else { &[] };
        judged(&mut lab, hook, row.name, &announcement, Verdict::Pass, counted);
        let announcement = gratuitous(ArpOperation::REQUEST, PEER, VIP4);
        let (verdict, counted) = match row.name {
            "owner" | "draining" => (Verdict::Pass, [Counter::Conflicts].as_slice()),
            _ => (Verdict::Drop, [Counter::DroppedArp].as_slice()),
        };
        judged(&mut lab, hook, row.name, &announcement, verdict, counted);
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

/// The slot of the VIP that the frame is about.
fn slot_of(frame: &[u8]) -> u32 {
    u32::from(frame[12] == 0x86)
}

#[test]
fn what_yields_forwards_from_the_moment_the_successor_claims_the_vip() {
    let Some(mut lab) = Lab::new() else { return };
    let in_the_vip_s_name = arp(Mac::BROADCAST, ArpOperation::REQUEST, (PEER, VIP4), (Mac::ZERO, HOST4));
    let answer = arp(OWN, ArpOperation::REPLY, (PEER, VIP4), (OWN, HOST4));
    let claims = [
        gratuitous(ArpOperation::REQUEST, PEER, VIP4),
        gratuitous(ArpOperation::REPLY, PEER, VIP4),
        answer,
        in_the_vip_s_name,
        advertisement(PEER, VIP6),
        // Without an option it is at the frame's source.
        advertisement(PEER, VIP6)[..78].to_vec(),
    ];
    let none = [
        // By another station, of another station, or only in the other's name.
        gratuitous(ArpOperation::REPLY, ASKER, VIP4),
        gratuitous(ArpOperation::REPLY, OWN, VIP4),
        with(gratuitous(ArpOperation::REPLY, PEER, VIP4), 6, &ASKER.0),
        with(gratuitous(ArpOperation::REPLY, ASKER, VIP4), 6, &PEER.0),
        with(gratuitous(ArpOperation::REPLY, PEER, VIP4), 0, &ASKER.0),
        with(gratuitous(ArpOperation::REPLY, PEER, VIP4), 14, &[0, 6]),
        advertisement(ASKER, VIP6),
        with(advertisement(PEER, VIP6), 6, &ASKER.0),
        with(advertisement(ASKER, VIP6), 6, &PEER.0),
        sealed(with(advertisement(PEER, VIP6), 21, &[64])),
        tagged(advertisement(PEER, VIP6)),
        // It asks before taking it.
        with(probe(VIP6), 6, &PEER.0),
        // About other addresses.
        gratuitous(ArpOperation::REPLY, PEER, OTHER4[0]),
        advertisement(PEER, OTHER6[0]),
    ];
    for hook in Hook::ARRIVING {
        let is_forwarding = |lab: &mut Lab| {
            let questions = [arp_request(VIP4), solicitation(VIP6)];
            questions.map(|question| lab.run(hook, &question).0 == Verdict::Drop)
        };
        for frame in &claims {
            stand(&mut lab, YIELDING);
            lab.forget_limits(slot_of(frame));
            lab.events();
            let before = [0, 1].map(|slot| lab.counters(slot).of(Counter::Conflicts));
            assert_eq!(is_forwarding(&mut lab), [false; 2]);
            lab.run(hook, frame);
            let is_v4 = slot_of(frame) == 0;
            assert_eq!(is_forwarding(&mut lab), [is_v4, !is_v4], "{hook:?}: {frame:x?}");
            let [event] = lab.events()[..] else { panic!("{hook:?}: one event for {frame:x?}") };
            assert_eq!((Kind::of(event.kind), event.mac), (Some(Kind::Announced), PEER));
            // Said again it is no news, nor a conflict.
            lab.forget_limits(slot_of(frame));
            lab.run(hook, frame);
            assert_eq!(lab.events(), []);
            assert_eq!([0, 1].map(|slot| lab.counters(slot).of(Counter::Conflicts)), before);
        }
        for frame in none.iter().filter(|frame| hook.takes(frame)) {
            stand(&mut lab, YIELDING);
            lab.run(hook, frame);
            assert_eq!(is_forwarding(&mut lab), [false; 2], "{hook:?}: {frame:x?}");
            assert_eq!(lab.events(), []);
        }
        // Nobody is the successor, or it is on another link.
        for vip in [
            Vip { peer: Mac::ZERO, ..vip(State::Yielding, 0) },
            Vip { link: LINK + 1, ..vip(State::Yielding, 0) },
        ] {
            lab.set_vips(&[(VIP4.into(), vip), (VIP6.into(), vip)]);
            for frame in &claims {
                lab.run(hook, frame);
                lab.run(hook, &with(frame.clone(), 6, &Mac::ZERO.0));
            }
            assert_eq!(lab.events(), []);
        }
    }
}

#[test]
fn an_announcement_noted_late_means_nothing_to_an_entry_written_since() {
    let Some(mut lab) = Lab::new() else { return };
    let entry = vip(State::Yielding, 0);
    // As if the store of another turn had come to this place in the map.
    for (announced, state) in [(entry.turn, State::Forwarding), (entry.turn + 1, State::Yielding)] {
        let entry = Vip { announced, ..entry };
        assert_eq!(entry.state(), Some(state));
        lab.set_vips(&[(VIP4.into(), entry), (VIP6.into(), entry)]);
        lab.set_right(LASTING);
        for hook in Hook::ARRIVING {
            for question in [arp_request(VIP4), solicitation(VIP6)] {
                let verdict = if state == State::Yielding { Verdict::Reply } else { Verdict::Drop };
                assert_eq!(lab.run(hook, &question).0, verdict, "{hook:?}");
            }
        }
        let owner = Vip { state: State::Owner as u8, ..entry };
        assert_eq!(owner.state(), Some(State::Owner));
    }
}

#[test]
fn one_that_yields_to_nobody_is_silent() {
    let Some(mut lab) = Lab::new() else { return };
    for hook in Hook::ARRIVING {
        stand(&mut lab, super::Row { peer: Mac::ZERO, ..YIELDING });
        judged(&mut lab, hook, "ARP", &arp_request(VIP4), Verdict::Drop, &[Counter::DroppedArp]);
        judged(&mut lab, hook, "NS", &solicitation(VIP6), Verdict::Drop, &[Counter::DroppedNs]);
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
