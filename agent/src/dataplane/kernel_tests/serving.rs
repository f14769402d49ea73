//! What is answered, and when no more.

use std::net::IpAddr;
use std::time::Duration;

use tokio::select;
use tokio::time::{interval, sleep, timeout};

use super::super::{AttachError, Counter, Counters, Dataplane, Entry, Kind, Right, State};
use super::ground::{NAME, SESSION, VIP4, VIP6, after, entry, in_lab};
use crate::announce::Frames;
use crate::clock;
use crate::config::Mode;

#[test]
fn the_program_answers_while_the_right_lasts_and_nobody_after_it() {
    in_lab(async |mut lab| {
        let (mut dataplane, _) = lab.start(Mode::Tc);
        lab.assert_silent();
        lab.own(&mut dataplane);
        lab.assert_answered();
        let mut events = dataplane.events().unwrap();

        // Nobody does anything at that moment.
        let end = after(300);
        dataplane.right().grant(SESSION, end);
        lab.assert_answered();
        sleep(end.since(clock::now()) + Duration::from_millis(1)).await;
        lab.assert_silent();

        for (vip, answered, dropped) in [
            (VIP4, Counter::AnsweredArp, Counter::DroppedArp),
            (VIP6, Counter::AnsweredNs, Counter::DroppedNs),
        ] {
            let counters = dataplane.counters(vip).unwrap();
            assert_eq!((counters.of(answered), counters.of(dropped)), (2, 1), "{vip}");
            let event = timeout(Duration::from_secs(2), events.next()).await.unwrap().unwrap();
            assert_eq!(
                (event.vip, event.kind, event.link, event.mac),
                (vip, Kind::FenceIn, lab.link.index, lab.port.mac)
            );
            assert!(event.at >= end && event.at <= clock::now(), "{event:?}");
        }
        assert!(dataplane.events().is_err());
        let more = timeout(Duration::from_millis(50), events.next()).await;
        assert!(more.is_err(), "{more:?}");
    });
}

#[test]
fn a_right_ends_at_once_and_serves_no_entry_of_another_session() {
    in_lab(async |mut lab| {
        let mut dataplane = lab.start_owning();
        let right = dataplane.right();
        right.revoke();
        lab.assert_silent();

        let until = after(60_000);
        right.grant(SESSION + 1, until);
        assert_eq!(dataplane.right().read(), Right { session: SESSION + 1, until });
        lab.assert_silent();
        for vip in [VIP4, VIP6] {
            let entry = Entry { session: SESSION + 1, ..lab.entry(State::Owner) };
            dataplane.set(vip, &entry).unwrap();
        }
        lab.assert_answered();

        for vip in [VIP4, VIP6] {
            dataplane.set(vip, &lab.entry(State::Prepared)).unwrap();
        }
        lab.assert_silent();
    });
}

#[test]
fn what_yields_is_seen_to_forward_once_the_successor_has_announced_it() {
    in_lab(async |lab| {
        let (mut dataplane, _) = lab.start(Mode::Tc);
        dataplane.right().grant(SESSION, after(3_600_000));
        let mut events = dataplane.events().unwrap();
        let mut port = lab.port;
        let yielding = Entry { peer: Some(port.mac), ..entry(&lab.link, State::Yielding) };
        // Twice: what is written anew yields anew.
        for _ in 0..2 {
            // At most one event of a kind in 100 ms.
            sleep(Duration::from_millis(110)).await;
            for vip in [VIP4, VIP6] {
                dataplane.set(vip, &yielding).unwrap();
            }
            for vip in [VIP4, VIP6] {
                assert_eq!(dataplane.entries()[&vip].state, Some(State::Yielding));
                // Until one arrives: a cable carries a little later than it says.
                let announced = async {
                    let mut beat = interval(Duration::from_millis(120));
                    loop {
                        select! {
                            event = events.next() => return event.unwrap(),
                            _ = beat.tick() => {
                                Frames::new(vip, port.mac, false).iter().for_each(|frame| port.send(frame));
                            }
                        }
                    }
                };
                let event = timeout(Duration::from_secs(5), announced).await.unwrap();
                assert_eq!((event.kind, event.vip, event.mac), (Kind::Announced, vip, port.mac));
                assert_eq!(dataplane.entries()[&vip].state, Some(State::Forwarding));
                let seen = dataplane.look().unwrap().vips().unwrap();
                let seen = seen.iter().find(|seen| seen.vip == vip).unwrap();
                assert_eq!(seen.entry.state, Some(State::Forwarding));
            }
        }
        // Another agent takes over what it finds, and its own writings are others than those before.
        drop(dataplane);
        let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
        assert_eq!(dataplane.entries()[&VIP4].state, Some(State::Forwarding));
        dataplane.set(VIP4, &yielding).unwrap();
        assert_eq!(dataplane.entries()[&VIP4].state, Some(State::Yielding));
        assert_eq!(dataplane.entries()[&VIP6].state, Some(State::Forwarding));
    });
}

#[test]
fn each_vip_keeps_its_slot_and_a_new_one_starts_from_nothing() {
    in_lab(async |mut lab| {
        let mut dataplane = lab.start_owning();
        lab.assert_answered();
        // The same end: the filter's bit is shared, and the map tells them apart.
        let other: IpAddr = "10.9.0.15".parse().unwrap();
        dataplane.set(other, &lab.entry(State::Owner)).unwrap();
        assert_eq!(dataplane.counters(other).unwrap(), Counters::default());

        dataplane.remove(VIP4).unwrap();
        dataplane.remove(VIP4).unwrap();
        assert_eq!(dataplane.entries().into_keys().collect::<Vec<_>>(), [other, VIP6]);
        assert_eq!(lab.port.ask(VIP4, Duration::from_millis(100)), None);
        assert_eq!(lab.port.ask(other, Duration::from_secs(2)), lab.link.mac);

        dataplane.set(VIP4, &lab.entry(State::Owner)).unwrap();
        assert_eq!(dataplane.counters(VIP4).unwrap(), Counters::default());
        lab.assert_answered();
        assert_eq!(dataplane.counters(VIP4).unwrap().of(Counter::AnsweredArp), 1);
        assert_eq!(dataplane.counters(VIP6).unwrap().of(Counter::AnsweredNs), 2);
        assert_eq!(dataplane.counters(other).unwrap().of(Counter::AnsweredArp), 1);
    });
}

#[test]
fn there_is_room_for_4096_vips_and_the_next_is_refused() {
    in_lab(async |lab| {
        let (mut dataplane, _) = lab.start(Mode::Tc);
        let vip = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        for number in 0..4096 {
            dataplane.set(vip(number), &lab.entry(State::Owner)).unwrap();
        }
        let error = dataplane.set(vip(4096), &lab.entry(State::Owner)).unwrap_err().to_string();
        assert!(error.contains("10.0.16.0") && error.contains("4096"), "{error}");
        dataplane.remove(vip(7)).unwrap();
        dataplane.set(vip(4096), &lab.entry(State::Owner)).unwrap();
    });
}

#[test]
fn a_link_that_is_gone_is_told() {
    in_lab(async |lab| {
        let (mut dataplane, _) = lab.start(Mode::Tc);
        let gone = crate::link::Link { index: 4_000_000, ..lab.link.clone() };
        let error = dataplane.attach(&gone).unwrap_err();
        assert!(matches!(error, AttachError::NoLink { .. }), "{error:?}");
    });
}
