//! Programs of others on the same link.

use std::fs;
use std::thread::{panicking, sleep};
use std::time::Duration;

use aya::programs::tc::{NlOptions, TcAttachOptions};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode, loaded_programs};
use aya::{Ebpf, EbpfLoader};

use super::super::tc::Side;
use super::super::{Attached, Counter, Dataplane, LinkMode, State};
use super::ground::{Lab, NAME, VIP4, VIP6, await_attached, in_lab, link};
use super::past::Past;
use crate::config::Mode;

/// Programs that let everything pass.
pub(super) static EMPTY: &[u8] = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/baseline.o");

/// `TC_ACT_OK`: no other program at the hook is asked.
const ACCEPT: i32 = 0;
/// `TC_ACT_SHOT`: nor is the kernel.
const TAKE: i32 = 2;

/// Somebody else's programs, attached for as long as this lives.
pub(super) struct Foreign {
    programs: Option<Ebpf>,
}

impl Foreign {
    /// Lets everything pass at XDP.
    pub(super) fn xdp(index: u32, mode: XdpMode) -> Self {
        let mut ebpf = EbpfLoader::new().load(EMPTY).unwrap();
        let program: &mut Xdp = ebpf.program_mut("empty_xdp").unwrap().try_into().unwrap();
        program.load().unwrap();
        program.attach_to_if_index(index, mode).unwrap();
        Self { programs: Some(ebpf) }
    }

    /// Ends the matter with that action, at TC: by TCX in that place, or by a filter in front of all others.
    fn tc(link: &str, hook: TcAttachType, tcx: Option<LinkOrder>, action: i32) -> Self {
        // `w0 = TC_ACT_UNSPEC; exit`
        const UNSPEC: [u8; 9] = [0xb4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x95];
        let mut object = EMPTY.to_vec();
        let ends: Vec<usize> = (0..object.len()).filter(|at| object[*at..].starts_with(&UNSPEC)).collect();
        for at in ends {
            object[at + 4..at + 8].copy_from_slice(&action.to_le_bytes());
        }
        let mut ebpf = EbpfLoader::new().load(&object).unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut("empty_tc").unwrap().try_into().unwrap();
        program.load().unwrap();
        let options = match tcx {
            Some(order) => TcAttachOptions::TcxOrder(order),
            None => TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() }),
        };
        program.attach_with_options(link, hook, options).unwrap();
        Self { programs: Some(ebpf) }
    }

    fn loaded(&self) -> Vec<u32> {
        let programs = self.programs.iter().flat_map(Ebpf::programs);
        programs.filter_map(|(_, program)| program.info().ok()).map(|info| info.id()).collect()
    }
}

impl Drop for Foreign {
    /// With the last who holds it a program ends: a process that another test is just starting may, for a moment.
    fn drop(&mut self) {
        let ids = self.loaded();
        self.programs = None;
        let ended = || loaded_programs().flatten().all(|program| !ids.contains(&program.id()));
        for _ in 0..1000 {
            if ended() {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        assert!(panicking(), "somebody holds what was taken off");
    }
}

const HOOKS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

/// Puts the addresses on the link: the kernel answers for them where the program lets it.
async fn put_addresses(lab: &Lab) {
    fs::write("/proc/sys/net/ipv6/conf/one/accept_dad", "0").unwrap();
    for (ip, prefix) in [("192.168.0.1", 24), ("192.168.0.15", 32), ("fd00::1", 64), ("fd00::15", 128)] {
        lab.ground.add_address(lab.link.index, ip, prefix).await;
    }
}

#[test]
fn what_came_before_the_program_comes_after_it_again_when_the_next_agent_starts() {
    in_lab(async |mut lab| {
        // What takes what leaves takes our answers too: that side is not tried.
        for (action, hooks, tcx) in [
            (ACCEPT, HOOKS.as_slice(), true),
            (TAKE, &HOOKS[..1], true),
            (ACCEPT, &HOOKS, false),
            (TAKE, &HOOKS[..1], false),
        ] {
            let start = |lab: &Lab| {
                let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
                dataplane.tcx = tcx;
                dataplane.attach(&lab.link).unwrap();
                dataplane
            };
            let mut dataplane = start(&lab);
            lab.own(&mut dataplane);
            lab.assert_answered();
            let theirs: Vec<_> = hooks
                .iter()
                .map(|hook| Foreign::tc("one", *hook, tcx.then(LinkOrder::first), action))
                .collect();
            lab.assert_silent();
            // Again by the same agent: what it has stays.
            dataplane.attach(&lab.link).unwrap();
            drop(dataplane);
            let dataplane = start(&lab);
            lab.assert_answered();
            if tcx {
                // Ours, theirs, and not what was ours before: that is gone a moment later.
                await_attached("one", [2, hooks.len()]).await;
                lab.assert_answered();
            }
            drop(theirs);
            lab.assert_answered();
            dataplane.close().unwrap();
            lab.await_silent().await;
        }
    });
}

#[test]
fn what_comes_before_the_program_later_on_is_seen_and_so_is_its_end() {
    in_lab(async |lab| {
        let whole = Attached { mode: LinkMode::Tc, tcx: true, blind: false };
        let blind = Attached { blind: true, ..whole };
        let (mut dataplane, attached) = lab.start(Mode::Tc);
        assert_eq!(attached, whole);
        let theirs: [fn(&Lab) -> Foreign; 3] = [
            |_| Foreign::tc("one", TcAttachType::Ingress, Some(LinkOrder::first()), ACCEPT),
            |_| Foreign::tc("one", TcAttachType::Egress, Some(LinkOrder::first()), ACCEPT),
            |lab| Foreign::xdp(lab.link.index, XdpMode::Skb),
        ];
        let mut known = whole;
        for theirs in theirs {
            let theirs = theirs(&lab);
            for _ in 0..2 {
                known = dataplane.look_after(&lab.link, known).unwrap();
                assert_eq!(known, blind);
            }
            drop(theirs);
            known = dataplane.look_after(&lab.link, known).unwrap();
            assert_eq!(known, whole);
        }
        // What comes after ours sees what ours lets through, and native XDP has an owner who means it.
        let after = Foreign::tc("one", TcAttachType::Ingress, Some(LinkOrder::last()), ACCEPT);
        let native = Foreign::xdp(lab.link.index, XdpMode::Driver);
        assert_eq!(dataplane.look_after(&lab.link, known).unwrap(), whole);
        drop((after, native));
    });
}

#[test]
fn what_somebody_took_off_is_put_back() {
    in_lab(async |mut lab| {
        let (mut dataplane, attached) = lab.start(Mode::Tc);
        lab.own(&mut dataplane);
        for side in Side::BOTH {
            // With the last that holds it a link ends.
            dataplane.pins.find_link(lab.link.index).unpin(side.name()).unwrap();
        }
        await_attached("one", [0, 0]).await;
        lab.assert_silent();
        assert_eq!(dataplane.look_after(&lab.link, attached).unwrap(), attached);
        lab.assert_answered();
    });
}

#[test]
fn each_side_fences_when_the_other_is_passed_by() {
    in_lab(async |mut lab| {
        put_addresses(&lab).await;
        for hook in HOOKS {
            let dataplane = lab.start_owning();
            let theirs = Foreign::tc("one", hook, Some(LinkOrder::first()), ACCEPT);
            // By the kernel itself where the program is not shown the question.
            lab.assert_answered();
            dataplane.right().revoke();
            lab.assert_silent();
            drop(theirs);
            dataplane.close().unwrap();
            await_attached("one", [0, 0]).await;
        }
        // The test of the test: nobody fences, and the kernel answers.
        lab.assert_answered();
    });
}

#[test]
fn somebody_elses_native_xdp_program_is_left_and_tc_answers() {
    in_lab(async |mut lab| {
        let theirs = Foreign::xdp(lab.link.index, XdpMode::Driver);
        let (mut dataplane, attached) = lab.start(Mode::Xdp);
        assert_eq!(attached, Attached { mode: LinkMode::Tc, tcx: true, blind: false });
        lab.own(&mut dataplane);
        lab.assert_answered();
        drop(theirs);
        let attached = dataplane.attach(&lab.link).unwrap();
        assert_eq!(attached, Attached { mode: LinkMode::Xdp { native: true }, tcx: true, blind: false });
    });
}

#[test]
fn somebody_elses_generic_xdp_program_blinds_tc_and_what_leaves_is_fenced_all_the_same() {
    in_lab(async |mut lab| {
        let theirs = Foreign::xdp(lab.link.index, XdpMode::Skb);
        for mode in [Mode::Xdp, Mode::Tc] {
            let (mut dataplane, attached) = lab.start(mode);
            assert_eq!(attached, Attached { mode: LinkMode::Tc, tcx: true, blind: true });
            lab.own(&mut dataplane);
        }
        let past = Past::tc(&lab.link);
        // Nobody sees the questions whole, and there is no address.
        lab.assert_silent();
        assert_eq!(past.questions(), 2);

        put_addresses(&lab).await;
        let (mut dataplane, _) = lab.start(Mode::Tc);
        lab.assert_answered();
        for state in [State::Owner, State::Prepared] {
            for vip in [VIP4, VIP6] {
                dataplane.set(vip, &lab.entry(state)).unwrap();
            }
            if state == State::Owner {
                dataplane.right().revoke();
            }
            lab.assert_silent();
        }
        for (vip, answered) in [(VIP4, Counter::AnsweredArp), (VIP6, Counter::AnsweredNs)] {
            let counters = dataplane.counters(vip).unwrap();
            assert_eq!((counters.of(answered), counters.of(Counter::DroppedOut)), (0, 2), "{vip}");
        }

        drop(theirs);
        assert!(!dataplane.attach(&lab.link).unwrap().blind);
        lab.own(&mut dataplane);
        lab.assert_answered();
    });
}

#[test]
fn what_is_our_own_at_generic_xdp_blinds_nobody() {
    in_lab(async |lab| {
        let bridge = lab.ground.bridge("bridge").await;
        let bridge = link(bridge);
        let mut dataplane = Dataplane::open(NAME, Mode::Xdp).unwrap();
        let generic = Attached { mode: LinkMode::Xdp { native: false }, tcx: true, blind: false };
        assert_eq!(dataplane.attach(&bridge).unwrap(), generic);
        drop(dataplane);
        let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
        assert!(!dataplane.attach(&bridge).unwrap().blind);
    });
}
