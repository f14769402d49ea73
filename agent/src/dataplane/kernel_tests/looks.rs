//! What status and metrics are told.

use std::net::IpAddr;

use nix::time::ClockId;

use super::super::{Counter, Dataplane, Found, LinkMode, Look, Right, State};
use super::ground::{NAME, SESSION, VIP4, VIP6, after, in_lab, link};
use crate::config::Mode;

#[test]
fn a_look_tells_what_a_dead_agent_left() {
    in_lab(async |mut lab| {
        assert!(Look::open(NAME).unwrap().is_none());
        let (mut dataplane, _) = lab.start(Mode::Xdp);
        assert!(Look::open(NAME).unwrap().unwrap().vips().unwrap().is_empty());
        for vip in [VIP4, VIP6] {
            dataplane.set(vip, &lab.entry(State::Owner)).unwrap();
        }
        // At TC alone.
        dataplane.mode = Mode::Tc;
        let other = link(lab.ground.index("other").await);
        dataplane.attach(&other).unwrap();
        drop(dataplane);

        let look = Look::open(NAME).unwrap().unwrap();
        let mut links = look.links().unwrap();
        links.sort_unstable_by_key(|(index, _)| *index);
        let mut expected = [(lab.link.index, LinkMode::Xdp { native: true }), (other.index, LinkMode::Tc)];
        expected.sort_unstable_by_key(|(index, _)| *index);
        assert_eq!(links, expected);
        // There is no right yet, so that each question is dropped and counted.
        lab.assert_silent();
        let mut seen = look.vips().unwrap();
        seen.sort_unstable_by_key(|seen| seen.vip);
        let entry = Found { state: Some(State::Owner), session: SESSION, link: lab.link.index };
        for (seen, (vip, dropped)) in
            seen.iter().zip([(VIP4, Counter::DroppedArp), (VIP6, Counter::DroppedNs)])
        {
            assert_eq!((seen.vip, seen.entry, seen.counters.of(dropped)), (vip, entry, 1));
        }
        assert_eq!(seen.len(), 2);

        let until = after(60_000);
        Dataplane::open(NAME, Mode::Tc).unwrap().right().grant(SESSION, until);
        assert_eq!(look.right().unwrap(), Right { session: SESSION, until });
        Dataplane::discard(NAME).unwrap();
        assert!(Look::open(NAME).unwrap().is_none());
    });
}

#[test]
fn a_look_at_4096_vips_is_whole() {
    in_lab(async |lab| {
        let (mut dataplane, _) = lab.start(Mode::Tc);
        for number in 0..4096_u32 {
            let vip = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            dataplane.set(vip, &lab.entry(State::Owner)).unwrap();
        }
        let look = dataplane.look().unwrap();
        let cpu = ClockId::CLOCK_THREAD_CPUTIME_ID;
        let begun = cpu.now().unwrap();
        let seen = look.vips().unwrap();
        println!("a look at {} VIPs took {} of CPU time", seen.len(), cpu.now().unwrap() - begun);
        assert_eq!(seen.len(), 4096);
    });
}
