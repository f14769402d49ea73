use rtnetlink::packet_core::{DefaultNla, Emitable};
use rtnetlink::packet_route::address::{AddressMessage, AddressProtocol};
use rtnetlink::packet_route::link::{LinkMessage, LinkMode};

use super::*;

/// What a message of that kind says.
fn told(kind: u16, body: &impl Emitable) -> Option<Fact> {
    let mut payload = vec![0; body.buffer_len()];
    body.emit(&mut payload);
    fact(&Message { kind, flags: 0, sequence: 0, payload: &payload })
}

fn link_message(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
    message.attributes = attributes;
    message
}

fn address_message(ip: &str, prefix: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
    let ip: IpAddr = ip.parse().unwrap();
    let mut message = AddressMessage::default();
    message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.index = 7;
    message.header.prefix_len = prefix;
    message.attributes = vec![AddressAttribute::Address(ip)];
    message.attributes.extend(attributes);
    message
}

fn ours(message: &AddressMessage) -> bool {
    match told(RTM_NEWADDR, message) {
        Some(Fact::Address(7, address)) => address.ours,
        other => panic!("no address: {other:?}"),
    }
}

fn lasting(valid: u32, preferred: u32) -> AddressAttribute {
    let mut life = CacheInfo::default();
    (life.ifa_valid, life.ifa_preferred) = (valid, preferred);
    AddressAttribute::CacheInfo(life)
}

#[test]
fn a_link_is_read_past_attributes_nobody_can_read() {
    // IFLA_MTU and IFLA_VFINFO_LIST, with nonsense in them.
    let mtu_of_one_byte = LinkAttribute::Other(DefaultNla::new(4, vec![1]));
    let odd_vf_list = LinkAttribute::Other(DefaultNla::new(22, vec![1, 2, 3]));
    let message = link_message(vec![
        odd_vf_list,
        mtu_of_one_byte,
        LinkAttribute::Mode(LinkMode::Default),
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::PropList(vec![Prop::AltIfName("enp1s0".into())]),
        LinkAttribute::IfAlias("uplink".into()),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]),
        LinkAttribute::Link(3),
    ]);
    let link = Link {
        index: 7,
        name: "eth0".into(),
        altnames: vec!["enp1s0".into()],
        alias: Some("uplink".into()),
        mac: Some(Mac([2, 0, 0, 0, 0, 9])),
        up: true,
        mtu: 0,
        kind: None,
        parent: Some(3),
    };
    assert_eq!(told(RTM_NEWLINK, &message), Some(Fact::Link(link)));
    assert_eq!(told(RTM_DELLINK, &message), Some(Fact::LinkGone(7)));
}

#[test]
fn a_link_is_up_only_with_a_carrier_and_has_no_parent_in_another_namespace() {
    let name = LinkAttribute::IfName("eth0".into());
    let mut message = link_message(vec![name, LinkAttribute::Link(3), LinkAttribute::LinkNetNsId(0)]);
    message.header.flags = LinkFlags::Up;
    let Some(Fact::Link(link)) = told(RTM_NEWLINK, &message) else { panic!("no link") };
    assert!(!link.up);
    assert_eq!(link.parent, None);
}

#[test]
fn what_a_bridge_or_a_radio_reports_is_not_taken_for_the_link() {
    let mut port = link_message(vec![LinkAttribute::IfName("eth0".into())]);
    port.header.interface_family = AddressFamily::Bridge;
    assert_eq!(told(RTM_DELLINK, &port), None);
    assert_eq!(told(RTM_NEWLINK, &port), None);
    assert_eq!(told(RTM_NEWLINK, &link_message(vec![])), None);
}

#[test]
fn ours_is_a_host_address_with_our_number() {
    let number = |number| AddressAttribute::Protocol(AddressProtocol::Other(number));
    assert!(ours(&address_message("10.0.0.9", 32, vec![number(OURS)])));
    assert!(ours(&address_message("fd00::9", 128, vec![number(OURS)])));
    assert!(!ours(&address_message("10.0.0.9", 24, vec![number(OURS)])), "no host address");
    let peer = AddressAttribute::Local("10.0.0.8".parse().unwrap());
    assert!(!ours(&address_message("10.0.0.9", 32, vec![number(OURS), peer])), "a peer");
    assert!(!ours(&address_message("10.0.0.9", 32, vec![number(4), lasting(3, 0)])), "another's number");
}

#[test]
fn without_a_number_ours_is_what_bears_our_signs() {
    let nodad = AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute);
    assert!(ours(&address_message("10.0.0.9", 32, vec![lasting(3, 0)])));
    assert!(ours(&address_message("fd00::9", 128, vec![lasting(3, 0), nodad.clone()])));
    assert!(!ours(&address_message("fd00::9", 128, vec![lasting(3, 0)])), "checked for duplicates");
    assert!(!ours(&address_message("fd00::9", 64, vec![lasting(3, 0), nodad])), "no host address");
    assert!(!ours(&address_message("10.0.0.9", 32, vec![])), "lasts");
    assert!(!ours(&address_message("10.0.0.9", 32, vec![lasting(u32::MAX, 0)])), "lasts for ever");
    assert!(!ours(&address_message("10.0.0.9", 32, vec![lasting(3, 3)])), "is preferred");
    assert!(!ours(&address_message("10.0.0.9", 32, vec![lasting(3600, 0)])), "lasts too long");
}

#[test]
fn what_speaks_against_an_address_is_read_from_its_flags() {
    let fitness = |ip: &str, flags: AddressFlags| {
        let message = address_message(ip, 24, vec![AddressAttribute::Flags(flags)]);
        match told(RTM_NEWADDR, &message) {
            Some(Fact::Address(7, address)) => address.fitness,
            other => panic!("no address: {other:?}"),
        }
    };
    for (ip, flags, expected) in [
        ("10.0.0.1", AddressFlags::Permanent, Fitness::Good),
        ("10.0.0.1", AddressFlags::Secondary, Fitness::Good),
        ("10.0.0.1", AddressFlags::Deprecated, Fitness::Deprecated),
        ("fd00::1", AddressFlags::Secondary, Fitness::Temporary),
        ("fd00::1", AddressFlags::Secondary | AddressFlags::Deprecated, Fitness::Temporary),
        ("fd00::1", AddressFlags::Tentative, Fitness::Tentative),
        ("fd00::1", AddressFlags::Tentative | AddressFlags::Dadfailed, Fitness::DadFailed),
    ] {
        assert_eq!(fitness(ip, flags), expected, "{ip} {flags:?}");
    }
}
