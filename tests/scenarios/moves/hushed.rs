//! A VIP that was given up is nobody's on that machine, whatever still speaks from it there.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::sleep;
use std::time::Duration;

use etherparse::PacketBuilder;
use mantle_protocol::Instant;
use mantle_tests::Host;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::lab::{PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::stage::{SOON, Setting, Stage, VIP};
use mantle_tests::tap::FrameKind;

/// For how long it is looked at after etcd was cut off: beyond the right's end, by less than the agent keeps a VIP hushed
/// that it gave up.
const HUSHED: Duration = Duration::from_millis(3500);

/// Sends from the VIP all the time, as what waits in a queue or has a raw socket would; ends at the instant it is told.
fn speak(host: &Host, to: IpAddr, end: &Receiver<Instant>) {
    let (IpAddr::V4(vip), IpAddr::V4(to)) = (VIP, to) else { unreachable!("both are IPv4") };
    let mac = [2, 0, 0, 0, 0xa5, 0x4e];
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac, [2, 0, 0, 0, 0xa5, 0x4f])
        .ipv4(vip.octets(), to.octets(), 64)
        .udp(9, 9)
        .write(&mut frame, b"still here")
        .unwrap();
    let mut until = None;
    loop {
        match end.try_recv() {
            Ok(end) => until = Some(end),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) if until.is_some() => {}
            Err(TryRecvError::Disconnected) => return,
        }
        if until.is_some_and(|until| now() >= until) {
            return;
        }
        // Where it is dropped the host is hushed.
        let _ = host.tries_frames(PUBLIC_LINK, vec![frame.clone()]);
        sleep(Duration::from_millis(2));
    }
}

/// The wire judges: not one frame with the VIP as its sender leaves the old owner once the other may act.
#[test]
fn nothing_leaves_from_a_vip_that_was_given_up_while_a_neighbour_may_be_waited_for() {
    let stage = Stage::set("hushed", &Setting::default());
    let (tell, end) = channel();
    let to = stage.lab.host("asker").address(PUBLIC_LINK);
    let speaker = stage.nodes[0].host.clone();
    let speaking = std::thread::spawn(move || speak(&speaker, to, &end));
    let spoken = || {
        let frames = stage.lab.tap().frames();
        frames.iter().filter(|frame| *frame.host == *"a" && frame.claim.kind == FrameKind::Ip).count()
    };
    wait_for("an owner that is heard speaking from the VIP", SOON, || (spoken() > 100).then_some(()));

    let cut = now();
    stage.nodes[0].host.port(PRIVATE_LINK).set_up(false);
    tell.send(cut + HUSHED).unwrap();
    stage.wait_owner(1, cut);
    speaking.join().unwrap();
    stage.end();
}
