//! The kernel's programs and the host's build of the same logic, against each other and against the wire formats.

use std::net::{Ipv4Addr, Ipv6Addr};

use mantle_ebpf::layout::{Address, Counter, Right, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::{Arp, Mac, Operation, Solicitation};

use crate::frames::{HOST4, HOST6, OTHER4, OTHER6};
use crate::lab::{ASKER, Hook, LASTING, LINK, Lab, MARK, OVER, OWN, PEER, vip};
use crate::random::{Frames, Random};
use crate::twin::Twin;

/// How many frames, at each of the programs.
const FRAMES: u64 = 1_000_000;

/// A VIP in each state, of another session, on another link, of both families.
fn vips() -> Vec<(Address, Vip)> {
    let kinds = [
        vip(State::Owner, 0),
        Vip { peer: PEER, ..vip(State::Owner, 0) },
        vip(State::Prepared, 0),
        vip(State::Yielding, 0),
        vip(State::Forwarding, 0),
        Vip { mark: MARK - 1, ..vip(State::Owner, 0) },
        Vip { link: LINK + 1, router: 1, ..vip(State::Owner, 0) },
        Vip { state: 77, ..vip(State::Owner, 0) },
        Vip { router: 1, ..vip(State::Owner, 0) },
    ];
    let mut vips = Vec::new();
    for (last, kind) in (1..).zip(kinds) {
        for address in [
            Address::v4([10, 1, 2, last]),
            Address::from(Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.into()])),
        ] {
            let slot = u32::try_from(vips.len()).unwrap();
            let asks_as = if address.is_v4() { HOST4.into() } else { HOST6.into() };
            // Every other one has no other address of the family.
            let asks_as = if slot % 4 < 2 { asks_as } else { Address::NONE };
            vips.push((address, Vip { slot, turn: slot + 1, asks_as, ..kind }));
        }
    }
    vips
}

fn frames() -> Frames {
    let mut v4: Vec<_> = (1..=9).map(|last| [10, 1, 2, last]).collect();
    let mut v6: Vec<_> =
        (1..=9).map(|last| Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]).octets()).collect();
    v4.extend(OTHER4.iter().chain([&HOST4]).map(Ipv4Addr::octets));
    v6.extend(OTHER6.iter().chain([&HOST6]).map(Ipv6Addr::octets));
    Frames::about(&v4, &v6)
}

/// Whether a program may answer this: it is well-formed by the wire formats, which are tested against another
/// implementation, and it asks.
fn is_question(frame: &[u8]) -> bool {
    let arp = frame.first_chunk().and_then(|head| Arp::parse(head).ok());
    let asks = arp.is_some_and(|arp| arp.operation == Operation::Request);
    asks || solicitation(frame).is_some()
}

fn solicitation(frame: &[u8]) -> Option<Solicitation> {
    match frame.len() {
        78 => Solicitation::parse::<78>(frame.try_into().unwrap()).ok(),
        86 => Solicitation::parse::<86>(frame.try_into().unwrap()).ok(),
        _ => None,
    }
}

#[test]
fn a_million_frames_are_judged_by_the_kernel_as_by_the_host() {
    let Some(mut lab) = Lab::new() else { return };
    let vips = vips();
    lab.set_vips(&vips);
    let frames = frames();
    for hook in Hook::ALL {
        let before: Vec<_> = vips.iter().map(|(_, vip)| lab.counters(vip.slot)).collect();
        let mut twin = Twin::new(&vips, LASTING);
        let mut random = Random::new(u64::from(vips[0].1.link) + hook as u64);
        let [mut passed, mut dropped, mut answered, mut relayed, mut announced] = [0_u64; 5];
        for round in 0..FRAMES {
            // Mostly with a right that lasts: there is most to go wrong.
            if round % (FRAMES / 20) == 0 {
                twin.right = match round / (FRAMES / 20) % 5 {
                    3 => OVER,
                    4 => Right { mark: MARK - 1, until: u64::MAX },
                    _ => LASTING,
                };
                lab.set_right(twin.right);
            }
            // What was yielding is forwarding soon.
            if round % 50 == 0 && twin.forget_announced() {
                announced += 1;
                lab.set_vips(&vips);
            }
            let frame = frames.next(&mut random);
            let told = twin.run(hook, &frame);
            let given =
                if hook.takes(&frame) { lab.run(hook, &frame) } else { (Verdict::Pass, frame.clone()) };
            assert_eq!(given, told, "{hook:?}, round {round}: {frame:x?}");
            match given.0 {
                Verdict::Pass => passed += 1,
                Verdict::Drop => dropped += 1,
                Verdict::Reply => {
                    assert!(is_question(&frame), "{hook:?}, round {round}: answered {frame:x?}");
                    answered += 1;
                }
                Verdict::Relay => {
                    assert_eq!(Mac(*given.1.first_chunk().unwrap()), PEER, "{hook:?}: {frame:x?}");
                    assert_ne!(frame.get(6..12), Some(PEER.0.as_slice()), "{hook:?}: {frame:x?}");
                    relayed += 1;
                }
            }
            twin.events();
        }
        println!(
            "{hook:?}: {passed} passed, {dropped} dropped, {answered} answered, {relayed} relayed; \
             {announced} times a successor announced itself"
        );
        // The frames are worth the time they take.
        assert!(passed > FRAMES / 10 && dropped > FRAMES / 10);
        assert!(hook == Hook::Egress || (answered > FRAMES / 50 && announced > FRAMES / 1000));
        assert!(!hook.relays() || relayed > FRAMES / 100);
        for ((_, vip), before) in vips.iter().zip(before) {
            let after = lab.counters(vip.slot);
            for counter in Counter::ALL {
                let rise = after.of(counter) - before.of(counter);
                assert_eq!(
                    rise,
                    twin.counters(vip.slot).of(counter),
                    "{hook:?}, slot {}: {counter:?}",
                    vip.slot
                );
            }
        }
    }
}

#[test]
fn solicitations_are_read_and_answered_as_the_wire_formats_have_it() {
    let target = Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
    let frames = Frames::about(&[], &[target.octets()]);
    let mut random = Random::new(42);
    for router in [0, 1] {
        let mut answered = 0;
        let twin = Twin::new(&[(target.into(), Vip { router, ..vip(State::Owner, 0) })], LASTING);
        for _ in 0..FRAMES / 4 {
            let frame = frames.next(&mut random);
            let destination = Mac(*frame.first_chunk().unwrap());
            let asked = solicitation(&frame)
                .filter(|asked| asked.target == target && (destination == OWN || destination.is_group()));
            let (verdict, bytes) = twin.run(Hook::Ingress, &frame);
            assert_eq!(verdict == Verdict::Reply, asked.is_some(), "{frame:x?}");
            if let Some(asked) = asked {
                assert_eq!(bytes, asked.answer(OWN, OWN, router == 1).frame(), "{frame:x?}");
                answered += u32::from(asked.asker_mac == ASKER);
            }
        }
        assert!(answered > 10_000, "{answered} answered are too few to tell");
    }
}
