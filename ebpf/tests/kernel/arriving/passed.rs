//! What is passed on, and IP.

use etherparse::{ArpOperation, Icmpv6Type};
use mantle_ebpf::layout::{Counter, State};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use super::{FORWARDING, PREPARED, ROWS, judged, stand};
use crate::frames::*;
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, OVER, OWN, PEER, vip};
use crate::twin::{Buffer, Twin};

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
    let relaying = [FORWARDING.name, PREPARED.name];
    let rows = ROWS.into_iter().filter(|row| !relaying.contains(&row.name));
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| rows.clone().map(move |row| (hook, row))) {
        stand(&mut lab, row);
        for frame in &frames {
            let (verdict, counted) = match row.name {
                "owner" | "draining" | "yielding" => (Verdict::Pass, [].as_slice()),
                _ => (Verdict::Drop, [Counter::DroppedIp].as_slice()),
            };
            judged(&mut lab, hook, row.name, frame, verdict, counted);
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
