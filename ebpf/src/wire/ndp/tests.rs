extern crate std;

use std::vec::Vec;

use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
use etherparse::{Icmpv6Header, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::wire::Mac;

/// What Linux 6.18 sent when `fd00::1` at 02:00:00:00:00:0a asked for `fd00::2`.
const LINUX_QUESTION: [u8; 86] = *b"\x33\x33\xff\x00\x00\x02\x02\x00\x00\x00\x00\x0a\x86\xdd\
    \x60\x00\x00\x00\x00\x20\x3a\xff\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
    \xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\x00\x00\x02\x87\x00\x7d\x8e\x00\x00\x00\x00\
    \xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x01\x01\x02\x00\x00\x00\x00\x0a";

/// What Linux 6.18 sent before it took `fd00::1`: a probe with a nonce (RFC 7527).
const LINUX_PROBE: [u8; 86] = *b"\x33\x33\xff\x00\x00\x01\x02\x00\x00\x00\x00\x0a\x86\xdd\
    \x60\x00\x00\x00\x00\x20\x3a\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\x00\x00\x01\x87\x00\xf1\xe9\x00\x00\x00\x00\
    \xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x0e\x01\x6e\x89\xf9\x37\x15\xf1";

const ASKER: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const SUCCESSOR: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The frame with the bytes at an offset replaced.
fn with<const LEN: usize>(mut frame: [u8; LEN], offset: usize, bytes: &[u8]) -> [u8; LEN] {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame with the checksum that another implementation gives it.
fn sealed<const LEN: usize>(mut frame: [u8; LEN]) -> [u8; LEN] {
    let (mut header, payload) = Icmpv6Header::from_slice(&frame[54..]).unwrap();
    let address = |at: usize| frame[at..at + 16].try_into().unwrap();
    header.update_checksum(address(22), address(38), payload).unwrap();
    frame[56..58].copy_from_slice(&header.checksum.to_be_bytes());
    frame
}

/// A frame of that length with the options given, otherwise Linux's question.
fn question<const LEN: usize>(options: &[u8]) -> [u8; LEN] {
    let mut frame = [0; LEN];
    frame[..78].copy_from_slice(&LINUX_QUESTION[..78]);
    frame[78..].copy_from_slice(options);
    frame[18..20].copy_from_slice(&u16::try_from(LEN - 54).unwrap().to_be_bytes());
    sealed(frame)
}

#[test]
fn a_question_from_linux_is_read() {
    assert_eq!(
        Solicitation::parse(&LINUX_QUESTION),
        Ok(Solicitation { asker_mac: ASKER, asker: ip("fd00::1"), target: ip("fd00::2") })
    );
}

#[test]
fn a_probe_from_linux_is_read() {
    let probe = Solicitation::parse(&LINUX_PROBE).unwrap();
    assert_eq!(probe, Solicitation { asker_mac: ASKER, asker: ip("::"), target: ip("fd00::1") });
    assert!(probe.is_probe());
}

#[test]
fn the_mac_to_answer_is_the_option_s_or_else_the_frame_s() {
    let asker = |frame: Result<Solicitation, _>| frame.unwrap().asker_mac;
    assert_eq!(asker(Solicitation::parse(&question::<78>(&[]))), ASKER);
    assert_eq!(asker(Solicitation::parse(&question::<86>(&[1, 1, 2, 0, 0, 0, 0, 0x0c]))), SUCCESSOR);
    // An option of two units, whose second looks like the one sought.
    let long = [14, 2, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0x0c];
    assert_eq!(asker(Solicitation::parse(&question::<94>(&long))), ASKER);
    // Nobody has a broadcast address.
    let broadcast = [1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(asker(Solicitation::parse(&question::<86>(&broadcast))), ASKER);
}

#[test]
fn each_rule_of_rfc_4861_7_1_1_is_kept() {
    use BadSolicitation::{
        Checksum, Code, HopLimit, Length, NotSolicitation, Options, ProbeDestination, ProbeOption, Source,
        Target,
    };
    let question = LINUX_QUESTION;
    let no_group = ip("fd00::1").octets();
    for (what, frame, reason) in [
        ("ethertype", with(question, 12, &[0x08, 0x00]), NotSolicitation),
        ("version", with(question, 14, &[0x40]), NotSolicitation),
        ("next header", with(question, 20, &[17]), NotSolicitation),
        ("type", sealed(with(question, 54, &[136])), NotSolicitation),
        ("payload beyond the frame", sealed(with(question, 18, &[0, 40])), Length),
        ("payload short of the frame", sealed(with(question, 18, &[0, 24])), Length),
        ("message under 24 bytes", sealed(with(question, 18, &[0, 16])), Length),
        ("hop limit", with(question, 21, &[254]), HopLimit),
        ("code", sealed(with(question, 55, &[1])), Code),
        ("source a group", sealed(with(question, 22, &ip("ff02::1").octets())), Source),
        ("target a group", sealed(with(question, 62, &ip("ff02::1").octets())), Target),
        ("option of no length", sealed(with(question, 79, &[0])), Options),
        ("option beyond the message", sealed(with(question, 79, &[2])), Options),
        ("probe to a node", sealed(with(LINUX_PROBE, 38, &no_group)), ProbeDestination),
        ("probe to all nodes", sealed(with(LINUX_PROBE, 38, &ip("ff02::1").octets())), ProbeDestination),
        ("probe with a source option", sealed(with(LINUX_PROBE, 78, &[1])), ProbeOption),
        ("checksum", with(question, 56, &[0x7d, 0x8f]), Checksum),
    ] {
        assert_eq!(Solicitation::parse(&frame), Err(reason), "{what}");
    }
}

#[test]
fn the_announcement_is_these_bytes() {
    assert_eq!(
        Advertisement::unsolicited(ip("fd00::2"), OURS, false).frame(),
        *b"\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x0b\x86\xdd\
           \x60\x00\x00\x00\x00\x20\x3a\xff\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\
           \xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x88\x00\x5a\x8f\x20\x00\x00\x00\
           \xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x02\x01\x02\x00\x00\x00\x00\x0b"
    );
}

#[test]
fn a_question_is_answered_to_the_asker_and_a_probe_to_all() {
    let question = Solicitation::parse(&LINUX_QUESTION).unwrap();
    let answer = question.answer(OURS, SUCCESSOR, true);
    assert_eq!(
        answer,
        Advertisement {
            destination: ASKER,
            source: OURS,
            destination_ip: ip("fd00::1"),
            target: ip("fd00::2"),
            target_mac: SUCCESSOR,
            router: true,
            solicited: true,
        }
    );
    let probe = Solicitation::parse(&LINUX_PROBE).unwrap();
    assert_eq!(
        probe.answer(OURS, SUCCESSOR, false),
        Advertisement { source: OURS, ..Advertisement::unsolicited(ip("fd00::1"), SUCCESSOR, false) }
    );
}

#[test]
fn the_solicited_node_group_is_rfc_4291_s_example() {
    assert_eq!(solicited_node(ip("4037::1:800:200e:8c6c")), ip("ff02::1:ff0e:8c6c"));
}

fn any_mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

/// Bytes that look like a solicitation at first, so that the rest of the parser sees something.
fn nearly<const LEN: usize>(bytes: &[u8; LEN]) -> [u8; LEN] {
    let payload = u16::try_from(LEN - 54).unwrap().to_be_bytes();
    let frame = with(*bytes, 12, &[0x86, 0xdd, 0x60]);
    let frame = with(frame, 18, &[payload[0], payload[1], 58, 255]);
    let frame = with(frame, 54, &[135, 0]);
    with(frame, 78, &[bytes[78], bytes[79] & 3])
}

/// Never panics, and accepts nothing that another decoder refuses.
fn judge<const LEN: usize>(frame: &[u8; LEN]) {
    if Solicitation::parse(frame).is_ok() {
        let decoded = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv6(packet)) = decoded.net else { panic!("no IPv6") };
        let Some(TransportSlice::Icmpv6(message)) = decoded.transport else { panic!("no ICMPv6") };
        let (source, destination) = (packet.header().source(), packet.header().destination());
        assert!(message.is_checksum_valid(source, destination));
        assert_eq!(message.icmp_type(), Icmpv6Type::NeighborSolicitation);
        let Ok(Icmpv6PayloadSlice::NeighborSolicitation(body)) = message.payload_slice() else {
            panic!("no solicitation")
        };
        assert!(body.options_iterator().all(|option| !matches!(
            option,
            Err(etherparse::icmpv6::NdpOptionReadError::UnexpectedEndOfSlice { .. }
                | etherparse::icmpv6::NdpOptionReadError::ZeroLength { .. })
        )));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_judged_without_a_panic(bytes in any::<[u8; 102]>()) {
        judge(&bytes);
        judge(&sealed(nearly(&bytes)));
        judge(bytes.first_chunk::<78>().unwrap());
        judge(&sealed(nearly(bytes.first_chunk::<86>().unwrap())));
        judge(&sealed(nearly(bytes.first_chunk::<94>().unwrap())));
    }

    #[test]
    fn an_independent_decoder_reads_what_was_written(
        (destination, source, target_mac) in (any_mac(), any_mac(), any_mac()),
        (destination_ip, target) in any::<(Ipv6Addr, Ipv6Addr)>(),
        (router, solicited) in any::<(bool, bool)>(),
    ) {
        let written =
            Advertisement { destination, source, destination_ip, target, target_mac, router, solicited };
        let mut frame = [0xa5; Advertisement::LEN];
        written.write(&mut frame);
        prop_assert_eq!(frame, written.frame(), "what was there before must not show");

        let decoded = SlicedPacket::from_ethernet(&frame).unwrap();
        let link = decoded.link.unwrap().to_header().unwrap().ethernet2().unwrap();
        prop_assert_eq!((link.destination, link.source), (destination.0, source.0));
        let Some(NetSlice::Ipv6(packet)) = decoded.net else { panic!("no IPv6 in {frame:02x?}") };
        let header = packet.header();
        prop_assert_eq!((header.source_addr(), header.destination_addr()), (target, destination_ip));
        prop_assert_eq!(header.hop_limit(), 255);
        prop_assert_eq!(usize::from(header.payload_length()), frame.len() - 54);
        let Some(TransportSlice::Icmpv6(message)) = decoded.transport else { panic!("no ICMPv6") };
        prop_assert!(message.is_checksum_valid(header.source(), header.destination()));
        let Icmpv6Type::NeighborAdvertisement(flags) = message.icmp_type() else { panic!("no advertisement") };
        prop_assert_eq!((flags.router, flags.solicited, flags.r#override), (router, solicited, true));
        let Ok(Icmpv6PayloadSlice::NeighborAdvertisement(body)) = message.payload_slice() else {
            panic!("no advertisement")
        };
        prop_assert_eq!(body.target_address(), target);
        let options: Vec<_> = body.options_iterator().map(Result::unwrap).collect();
        let [NdpOptionSlice::TargetLinkLayerAddress(option)] = &options[..] else { panic!("{options:?}") };
        prop_assert_eq!(option.link_layer_address(), target_mac.0);
    }
}
