//! What belongs to a handoff's other node.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use etherparse::{Icmpv6Type, Ipv4HeaderSlice};
use mantle_ebpf::layout::{Counter, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use super::{DRAINING, FORWARDING, OWNER, PREPARED, YIELDING, judged, stand};
use crate::frames::*;
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, OWN, PEER, vip};

/// Relayed, or at a hook that relays nothing passed on.
fn relayed_by(hook: Hook, counter: Counter) -> (Verdict, Vec<Counter>) {
    if hook.relays() { (Verdict::Relay, vec![counter]) } else { (Verdict::Pass, vec![]) }
}

/// It is the same packet a hop later, from this node to its peer.
fn assert_relayed(sent: &[u8], frame: &[u8]) {
    assert_eq!((&sent[..6], &sent[6..12], &sent[12..14]), (&PEER.0[..], &OWN.0[..], &frame[12..14]));
    let mut expected = frame.to_vec();
    expected[..12].copy_from_slice(&sent[..12]);
    if frame[12..14] == [8, 0] {
        expected[22] -= 1;
        expected[24..26].copy_from_slice(&sent[24..26]);
        let header = Ipv4HeaderSlice::from_slice(&sent[14..]).unwrap();
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    } else {
        expected[21] -= 1;
    }
    assert_eq!(sent, expected);
}

/// Every packet but TCP.
fn datagrams() -> Vec<Vec<u8>> {
    let ping = Icmpv6Type::EchoRequest(etherparse::IcmpEchoHeader { id: 1, seq: 1 });
    let v6 = udp_to(VIP6.into());
    vec![
        udp_to(VIP4.into()),
        // With options, a later fragment, ICMP.
        with_inserted(with(options_summed(udp_to(VIP4.into())), 14, &[0x46]), 34, &[1, 1, 1, 1]),
        summed(with(udp_to(VIP4.into()), 20, &[0, 100])),
        summed(with(udp_to(VIP4.into()), 23, &[1])),
        v6.clone(),
        ndp(ping, (ASKER, HOST6), (OWN, VIP6), VIP6, &[]),
        extended(v6.clone(), &[(60, &[0, 1, 4, 0, 0, 0, 0])]),
        // A later fragment; one that begins in a header that is not looked behind; one behind too many.
        extended(v6.clone(), &[(44, &[0, 0, 100, 0, 0, 0, 1])]),
        with(v6.clone(), 20, &[135]),
        extended(v6, &[(60, &[0, 1, 4, 0, 0, 0, 0]); 6]),
    ]
}

/// TCP of no connection.
fn strays(flags: u8) -> Vec<Vec<u8>> {
    let v6 = tcp_to(VIP6.into(), flags);
    vec![
        tcp_to(VIP4.into(), flags),
        with_inserted(with(options_summed(tcp_to(VIP4.into(), flags)), 14, &[0x46]), 34, &[1, 1, 1, 1]),
        // The first of several fragments has the ports.
        summed(with(tcp_to(VIP4.into(), flags), 20, &[0x20, 0])),
        v6.clone(),
        extended(v6.clone(), &[(0, &[0, 1, 4, 0, 0, 0, 0]), (43, &[0, 0, 0, 0, 0, 0, 0])]),
        extended(v6, &[(60, &[0, 1, 4, 0, 0, 0, 0]), (44, &[0, 0, 1, 0, 0, 0, 7])]),
    ]
}

/// The frame with the checksum of its IPv4 header made right.
fn summed(frame: Vec<u8>) -> Vec<u8> {
    let header = Ipv4HeaderSlice::from_slice(&frame[14..]).unwrap().to_header();
    with(frame, 24, &header.calc_header_checksum().to_be_bytes())
}

/// The same for a header that is about to get one word of options.
fn options_summed(frame: Vec<u8>) -> Vec<u8> {
    let mut header = Ipv4HeaderSlice::from_slice(&frame[14..]).unwrap().to_header();
    header.options = [1, 1, 1, 1].into();
    with(frame, 24, &header.calc_header_checksum().to_be_bytes())
}

#[test]
fn the_predecessor_sends_on_whatever_belongs_to_no_connection_of_its_own() {
    let Some(mut lab) = Lab::new() else { return };
    let frames = [datagrams(), strays(SYN), strays(ACK), strays(SYN | ACK), strays(4)].concat();
    for hook in Hook::ARRIVING {
        stand(&mut lab, FORWARDING);
        for frame in &frames {
            let (verdict, counted) = relayed_by(hook, Counter::Forwarded);
            let sent = judged(&mut lab, hook, "sent on", frame, verdict, &counted);
            if verdict == Verdict::Relay {
                assert_relayed(&sent, frame);
            }
            // No loops.
            let back = with(frame.clone(), 6, &PEER.0);
            judged(&mut lab, hook, "from the peer", &back, Verdict::Pass, &[]);
        }
    }
}

#[test]
fn the_successor_sends_back_tcp_alone_and_no_syn() {
    let Some(mut lab) = Lab::new() else { return };
    // The one that gives the VIP back is the successor still of the one that drains.
    for (hook, row) in Hook::ARRIVING.into_iter().flat_map(|hook| [(hook, DRAINING), (hook, YIELDING)]) {
        stand(&mut lab, row);
        for frame in [strays(ACK), strays(SYN | ACK), strays(4)].concat() {
            let (verdict, counted) = relayed_by(hook, Counter::SentBack);
            let sent = judged(&mut lab, hook, "sent back", &frame, verdict, &counted);
            if verdict == Verdict::Relay {
                assert_relayed(&sent, &frame);
            }
            let back = with(frame, 6, &PEER.0);
            judged(&mut lab, hook, "from the peer", &back, Verdict::Pass, &[]);
        }
        for frame in [datagrams(), strays(SYN)].concat() {
            judged(&mut lab, hook, "its own", &frame, Verdict::Pass, &[]);
        }
        stand(&mut lab, OWNER);
        for frame in [strays(ACK), strays(SYN), datagrams()].concat() {
            judged(&mut lab, hook, OWNER.name, &frame, Verdict::Pass, &[]);
        }
        // Whom it is to come from it does not know.
        stand(&mut lab, super::Row { peer: Mac::ZERO, ..PREPARED });
        let nobody = with(udp_to(VIP4.into()), 6, &Mac::ZERO.0);
        judged(&mut lab, hook, "prepared for nobody", &nobody, Verdict::Drop, &[Counter::DroppedIp]);
    }
}

#[test]
fn who_is_prepared_sends_everything_to_the_owner_and_passes_what_comes_from_there() {
    let Some(mut lab) = Lab::new() else { return };
    // Without their ports, or an end before the flags: it needs neither.
    let torn = vec![
        summed(with(tcp_to(VIP4.into(), ACK), 20, &[0, 100])),
        extended(tcp_to(VIP6.into(), ACK), &[(44, &[0, 0, 100, 0, 0, 0, 1])]),
        tcp_to(VIP4.into(), ACK)[..14 + 20 + 13].to_vec(),
    ];
    let frames = [datagrams(), strays(SYN), strays(ACK), strays(SYN | ACK), strays(4), torn].concat();
    let neighbours =
        ndp(Icmpv6Type::NeighborSolicitation, (ASKER, HOST6), (OWN, VIP6), HOST6, &source_option(ASKER));
    for hook in Hook::ARRIVING {
        stand(&mut lab, PREPARED);
        for frame in &frames {
            let (verdict, counted) = relayed_by(hook, Counter::SentBack);
            let sent = judged(&mut lab, hook, "sent to the owner", frame, verdict, &counted);
            if verdict == Verdict::Relay {
                assert_relayed(&sent, frame);
            }
            let from_there = with(frame.clone(), 6, &PEER.0);
            judged(&mut lab, hook, "from the peer", &from_there, Verdict::Pass, &[]);
        }
        let to_many = with(udp_to(VIP4.into()), 0, &Mac::BROADCAST.0);
        judged(&mut lab, hook, "to many", &to_many, Verdict::Drop, &[Counter::DroppedIp]);
        let expired = [with(udp_to(VIP4.into()), 22, &[1]), with(udp_to(VIP6.into()), 21, &[1])];
        let expired = expired.map(|frame| (frame, Counter::Expired));
        for (frame, counter) in [(neighbours.clone(), Counter::DroppedIp)].into_iter().chain(expired) {
            let (verdict, counted) =
                if hook.relays() { (Verdict::Drop, vec![counter]) } else { (Verdict::Pass, vec![]) };
            judged(&mut lab, hook, "not sent", &frame, verdict, &counted);
        }
        // On another link, or with nobody to send it to.
        for vip in [
            Vip { link: LINK + 1, ..vip(State::Prepared, 0) },
            Vip { peer: Mac::ZERO, ..vip(State::Prepared, 0) },
        ] {
            lab.set_vips(&[(VIP4.into(), vip), (VIP6.into(), vip)]);
            for frame in [tcp_to(VIP4.into(), ACK), udp_to(VIP6.into())] {
                judged(&mut lab, hook, "for nobody", &frame, Verdict::Drop, &[Counter::DroppedIp]);
            }
        }
    }
}

#[test]
fn what_is_never_sent_on() {
    let Some(mut lab) = Lab::new() else { return };
    let redirect = ndp(
        Icmpv6Type::Unknown { type_u8: 137, code_u8: 0, bytes5to8: [0; 4] },
        (ASKER, HOST6),
        (OWN, VIP6),
        HOST6,
        &[],
    );
    // A neighbour's answer to what was asked in the VIP's name.
    let header =
        etherparse::icmpv6::NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
    let answer = ndp(
        Icmpv6Type::NeighborAdvertisement(header),
        (ASKER, HOST6),
        (OWN, VIP6),
        HOST6,
        &target_option(ASKER),
    );
    let solicited =
        ndp(Icmpv6Type::NeighborSolicitation, (ASKER, HOST6), (OWN, VIP6), HOST6, &source_option(ASKER));
    let stays = [
        answer.clone(),
        with_inserted(with(answer, 20, &[0]), 54, &[58, 0, 1, 4, 0, 0, 0, 0]),
        solicited,
        redirect,
        // Without their ports.
        summed(with(tcp_to(VIP4.into(), ACK), 20, &[0, 100])),
        extended(tcp_to(VIP6.into(), ACK), &[(44, &[0, 0, 100, 0, 0, 0, 1])]),
        // It ends before the flags.
        tcp_to(VIP4.into(), ACK)[..14 + 20 + 13].to_vec(),
        tcp_to(VIP6.into(), ACK)[..14 + 40 + 13].to_vec(),
        tagged(udp_to(VIP4.into())),
    ];
    let to_many = [&udp_to(VIP4.into()), &tcp_to(VIP4.into(), ACK), &udp_to(VIP6.into())]
        .map(|frame| with(frame.clone(), 0, &Mac::BROADCAST.0));
    for hook in Hook::ARRIVING {
        for row in [FORWARDING, DRAINING] {
            stand(&mut lab, row);
            for frame in &stays {
                judged(&mut lab, hook, row.name, frame, Verdict::Pass, &[]);
            }
        }
        for frame in &to_many {
            stand(&mut lab, DRAINING);
            judged(&mut lab, hook, "to many", frame, Verdict::Pass, &[]);
            stand(&mut lab, FORWARDING);
            let (verdict, counted) = if hook.relays() {
                (Verdict::Drop, vec![Counter::DroppedIp])
            } else {
                (Verdict::Pass, vec![])
            };
            judged(&mut lab, hook, "to many", frame, verdict, &counted);
        }
        for (row, frames) in [
            (FORWARDING, [udp_to(VIP4.into()), udp_to(VIP6.into())]),
            (DRAINING, [tcp_to(VIP4.into(), ACK), tcp_to(VIP6.into(), ACK)]),
        ] {
            stand(&mut lab, row);
            for (frame, ttl_at) in frames.into_iter().zip([22, 21]) {
                for ttl in [0, 1] {
                    let (verdict, counted) = if hook.relays() {
                        (Verdict::Drop, vec![Counter::Expired])
                    } else {
                        (Verdict::Pass, vec![])
                    };
                    judged(&mut lab, hook, row.name, &with(frame.clone(), ttl_at, &[ttl]), verdict, &counted);
                }
            }
            // On another link, or with nobody to send it to.
            for vip in
                [Vip { link: LINK + 1, ..vip(row.state, 0) }, Vip { peer: Mac::ZERO, ..vip(row.state, 0) }]
            {
                lab.set_vips(&[(VIP4.into(), vip), (VIP6.into(), vip)]);
                for frame in [tcp_to(VIP4.into(), ACK), tcp_to(VIP6.into(), ACK), udp_to(VIP4.into())] {
                    judged(&mut lab, hook, row.name, &frame, Verdict::Pass, &[]);
                }
            }
        }
    }
}

#[test]
fn the_checksum_of_an_ipv4_header_stays_right_whatever_it_was() {
    let Some(mut lab) = Lab::new() else { return };
    stand(&mut lab, FORWARDING);
    // The identification makes every checksum there is.
    for id in (0..=u16::MAX).step_by(97).chain(0..=0xff) {
        for ttl in [2, 255] {
            let frame = with(with(udp_to(VIP4.into()), 18, &id.to_be_bytes()), 22, &[ttl]);
            let frame = summed(frame);
            let sent =
                judged(&mut lab, Hook::Ingress, "sent on", &frame, Verdict::Relay, &[Counter::Forwarded]);
            assert_relayed(&sent, &frame);
        }
    }
}

/// Both ends of a connection over the loopback device.
struct Connection {
    near: TcpStream,
    far: TcpStream,
    listener: TcpListener,
}

impl Connection {
    fn open(ip: IpAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        Self { near, far, listener }
    }

    fn ends(&self) -> [SocketAddr; 2] {
        [self.far.local_addr().unwrap(), self.near.local_addr().unwrap()]
    }

    /// Closes it from the near end, which then remembers it for a minute.
    fn close(mut self) -> TcpListener {
        self.near.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(self.far.read(&mut [0; 1]).unwrap(), 0);
        self.far.write_all(b"x").unwrap();
        assert_eq!(self.near.read(&mut [0; 1]).unwrap(), 1);
        self.far.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(self.near.read(&mut [0; 1]).unwrap(), 0);
        self.listener
    }
}

#[test]
fn a_connection_stays_where_the_kernel_has_a_socket_of_it() {
    let Some(mut lab) = Lab::new() else { return };
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let connection = Connection::open(ip);
        let [far, near] = connection.ends();
        let segment = |flags| tcp((far.ip(), far.port()), (near.ip(), near.port()), flags);
        let of_another = |flags| tcp((far.ip(), 9), (near.ip(), near.port()), flags);
        let serving = |lab: &mut Lab, state, peer| {
            lab.set_vips(&[(ip.into(), Vip { peer, ..vip(state, 0) })]);
            lab.set_right(LASTING);
        };
        for hook in Hook::ARRIVING {
            serving(&mut lab, State::Forwarding, PEER);
            // Also a SYN: it is one that was lost on the way to here, and opens this connection.
            for flags in [ACK, SYN, SYN | ACK, 4] {
                judged(&mut lab, hook, "open", &segment(flags), Verdict::Pass, &[]);
                let (verdict, counted) = relayed_by(hook, Counter::Forwarded);
                judged(&mut lab, hook, "a listener's", &of_another(flags), verdict, &counted);
            }
            serving(&mut lab, State::Owner, PEER);
            judged(&mut lab, hook, "open", &segment(ACK), Verdict::Pass, &[]);
            let (verdict, counted) = relayed_by(hook, Counter::SentBack);
            judged(&mut lab, hook, "a listener's", &of_another(ACK), verdict, &counted);
        }
        let _listener = connection.close();
        for hook in Hook::ARRIVING {
            for state in [State::Forwarding, State::Owner] {
                serving(&mut lab, state, PEER);
                judged(&mut lab, hook, "over", &segment(ACK), Verdict::Pass, &[]);
            }
            serving(&mut lab, State::Forwarding, PEER);
            let (verdict, counted) = relayed_by(hook, Counter::Forwarded);
            judged(&mut lab, hook, "another of the same ports", &segment(SYN), verdict, &counted);
        }
    }
}
