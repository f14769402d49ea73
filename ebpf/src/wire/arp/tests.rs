extern crate std;

use etherparse::{ArpHardwareId, ArpOperation, EtherType, NetSlice, SlicedPacket};
use proptest::prelude::*;

use super::*;

/// What Linux 6.18 sent when 192.0.2.1 at 02:00:00:00:00:0a asked for 192.0.2.2.
const LINUX_REQUEST: [u8; 42] = *b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0a\x08\x06\
    \x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x0a\xc0\x00\x02\x01\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x02";

const ASKER: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const SUCCESSOR: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

#[test]
fn a_request_from_linux_is_read_and_written_alike() {
    let request = Arp::parse(&LINUX_REQUEST).unwrap();
    assert_eq!(
        request,
        Arp {
            destination: Mac::BROADCAST,
            source: ASKER,
            operation: Operation::Request,
            sender_mac: ASKER,
            sender_ip: Ipv4Addr::new(192, 0, 2, 1),
            target_mac: Mac::ZERO,
            target_ip: VIP,
        }
    );
    assert!(!request.is_probe() && !request.is_gratuitous());
    assert_eq!(request.frame(), LINUX_REQUEST);
}

#[test]
fn the_gratuitous_request_is_these_bytes() {
    assert_eq!(
        Arp::gratuitous_request(VIP, OURS).frame(),
        *b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0b\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\
           \x02\x00\x00\x00\x00\x0b\xc0\x00\x02\x02\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x02"
    );
}

#[test]
fn the_gratuitous_reply_is_these_bytes() {
    assert_eq!(
        Arp::gratuitous_reply(VIP, OURS).frame(),
        *b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0b\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02\
           \x02\x00\x00\x00\x00\x0b\xc0\x00\x02\x02\x02\x00\x00\x00\x00\x0b\xc0\x00\x02\x02"
    );
}

#[test]
fn linux_takes_both_announcements_for_gratuitous_but_not_a_reply_to_broadcast() {
    assert!(Arp::gratuitous_request(VIP, OURS).is_gratuitous());
    let reply = Arp::gratuitous_reply(VIP, OURS);
    assert!(reply.is_gratuitous());
    assert!(!Arp { target_mac: Mac::BROADCAST, ..reply }.is_gratuitous());
}

#[test]
fn an_answer_goes_to_the_asker_alone_and_leaves_in_our_own_name() {
    let answer = Arp::parse(&LINUX_REQUEST).unwrap().answer(OURS, SUCCESSOR);
    assert_eq!(
        answer.frame(),
        *b"\x02\x00\x00\x00\x00\x0a\x02\x00\x00\x00\x00\x0b\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02\
           \x02\x00\x00\x00\x00\x0c\xc0\x00\x02\x02\x02\x00\x00\x00\x00\x0a\xc0\x00\x02\x01"
    );
}

#[test]
fn a_probe_is_answered_like_any_request() {
    let probe = Arp { sender_ip: Ipv4Addr::UNSPECIFIED, ..Arp::parse(&LINUX_REQUEST).unwrap() };
    assert!(probe.is_probe());
    let answer = probe.answer(OURS, OURS);
    assert_eq!((answer.destination, answer.target_mac, answer.target_ip), (ASKER, ASKER, probe.sender_ip));
    assert!(!answer.is_probe() && !answer.is_gratuitous());
}

#[test]
fn what_breaks_a_rule_is_refused_for_it() {
    for (offset, byte, reason) in [
        (13, 0x00, NotArp::Ethertype),
        (15, 6, NotArp::Hardware),
        (16, 0x86, NotArp::Protocol),
        (18, 8, NotArp::Lengths),
        (19, 16, NotArp::Lengths),
        (21, 3, NotArp::Operation),
        (20, 1, NotArp::Operation),
        (22, 0xff, NotArp::GroupSender),
    ] {
        let mut frame = LINUX_REQUEST;
        frame[offset] = byte;
        assert_eq!(Arp::parse(&frame), Err(reason), "byte {offset} = {byte:#x}");
    }
}

fn any_mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

prop_compose! {
    fn any_arp()(
        (destination, source, sender_mac, target_mac) in (any_mac(), any_mac(), any_mac(), any_mac()),
        request in any::<bool>(),
        (sender_ip, target_ip) in any::<(Ipv4Addr, Ipv4Addr)>(),
    ) -> Arp {
        let operation = if request { Operation::Request } else { Operation::Reply };
        let [first, rest @ ..] = sender_mac.0;
        let [a, b, c, d, e] = rest;
        let sender_mac = Mac([first & !1, a, b, c, d, e]);
        Arp { destination, source, operation, sender_mac, sender_ip, target_mac, target_ip }
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(arp in any_arp()) {
        prop_assert_eq!(Arp::parse(&arp.frame()), Ok(arp));
    }

    #[test]
    fn an_independent_decoder_reads_what_was_written(arp in any_arp()) {
        let frame = arp.frame();
        let decoded = SlicedPacket::from_ethernet(&frame).unwrap();
        let header = decoded.link.unwrap().to_header().unwrap().ethernet2().unwrap();
        prop_assert_eq!(
            (header.destination, header.source, header.ether_type),
            (arp.destination.0, arp.source.0, EtherType::ARP)
        );
        let Some(NetSlice::Arp(packet)) = decoded.net else { panic!("no ARP in {frame:02x?}") };
        prop_assert_eq!(packet.hw_addr_type(), ArpHardwareId::ETHERNET);
        prop_assert_eq!(packet.proto_addr_type(), EtherType::IPV4);
        let operation = match arp.operation {
            Operation::Request => ArpOperation::REQUEST,
            Operation::Reply => ArpOperation::REPLY,
        };
        prop_assert_eq!(packet.operation(), operation);
        prop_assert_eq!(packet.sender_hw_addr(), arp.sender_mac.0);
        prop_assert_eq!(packet.sender_protocol_addr(), arp.sender_ip.octets());
        prop_assert_eq!(packet.target_hw_addr(), arp.target_mac.0);
        prop_assert_eq!(packet.target_protocol_addr(), arp.target_ip.octets());
    }

    #[test]
    fn what_is_accepted_is_all_that_the_frame_says(frame in any::<[u8; 42]>(), as_arp in any::<bool>()) {
        let mut frame = frame;
        if as_arp {
            frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        }
        if let Ok(arp) = Arp::parse(&frame) {
            prop_assert_eq!(arp.frame(), frame);
        }
    }
}
