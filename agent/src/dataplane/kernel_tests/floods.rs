//! Programs that are replaced while somebody asks without pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aya::programs::XdpMode;
use rtnetlink::LinkUnspec;

use super::super::{Attached, Dataplane, Found, LinkMode, State};
use super::foreign::Foreign;
use super::ground::{Lab, NAME, Port, SESSION, VIP4, VIP6, in_lab, link};
use super::past::Past;
use crate::config::Mode;

/// How often a whole agent starts.
const STARTS: usize = 10;
/// How often programs that are loaded take turns; at XDP the kernel takes its time for each.
const TURNS: usize = 300;
const TURNS_AT_XDP: usize = 30;

#[derive(Clone, Copy)]
enum How {
    Tcx,
    Filters,
    Native,
    Generic,
}

#[test]
fn no_request_goes_unanswered_while_tcx_programs_are_replaced() {
    replace_under_flood(How::Tcx);
}

#[test]
fn no_request_goes_unanswered_while_clsact_filters_are_replaced() {
    replace_under_flood(How::Filters);
}

#[test]
fn no_request_goes_unanswered_while_native_xdp_programs_are_replaced() {
    replace_under_flood(How::Native);
}

#[test]
fn no_request_goes_unanswered_while_generic_xdp_programs_are_replaced() {
    replace_under_flood(How::Generic);
}

/// The committed object as another version might have it: with another interval between events.
fn another_version() -> Vec<u8> {
    let interval = |interval: u32| interval.to_le_bytes();
    let (ours, theirs) = (interval(100_000_000), interval(200_000_000));
    let mut object = mantle_ebpf::object::OBJECT.to_vec();
    let mut found = 0;
    for at in 0..object.len() - ours.len() {
        if object[at..].starts_with(&ours) {
            object[at..at + theirs.len()].copy_from_slice(&theirs);
            found += 1;
        }
    }
    assert!(found > 0, "the interval between events is not in the object");
    object
}

fn replace_under_flood(how: How) {
    in_lab(async move |mut lab| {
        let mut _peer = None;
        let (mode, tcx, expected, turns) = match how {
            How::Tcx => (Mode::Tc, true, LinkMode::Tc, TURNS),
            How::Filters => (Mode::Tc, false, LinkMode::Tc, TURNS),
            How::Native => {
                // Else what veth sends back from XDP gets lost.
                _peer = Some(Foreign::xdp(lab.ground.index("other").await, XdpMode::Driver));
                (Mode::Xdp, true, LinkMode::Xdp { native: true }, TURNS_AT_XDP)
            }
            How::Generic => {
                let bridge = lab.ground.bridge("bridge").await;
                lab.ground.change(LinkUnspec::new_with_index(bridge).up().build()).await;
                lab.ground
                    .change(LinkUnspec::new_with_index(lab.link.index).controller(bridge).build())
                    .await;
                lab.link = link(bridge);
                (Mode::Xdp, true, LinkMode::Xdp { native: false }, TURNS_AT_XDP)
            }
        };
        let open = |object: &[u8]| {
            let mut dataplane = Dataplane::open_object(object, NAME, mode).unwrap();
            dataplane.tcx = tcx;
            dataplane
        };
        let attach = |lab: &Lab, dataplane: &mut Dataplane| {
            assert_eq!(dataplane.attach(&lab.link).unwrap(), Attached { mode: expected, tcx, blind: false });
        };
        let versions = [mantle_ebpf::object::OBJECT.to_vec(), another_version()];
        let mut first = open(&versions[0]);
        attach(&lab, &mut first);
        lab.own(&mut first);
        let right = first.right().read();
        drop(first);
        lab.settle();
        lab.assert_answered();

        let past = match how {
            How::Tcx | How::Filters => Past::tc(&lab.link),
            How::Native | How::Generic => Past::xdp(&lab.link),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let asking = thread::spawn({
            let stop = Arc::clone(&stop);
            // The only one who asks: each question and answer goes to every socket there, and what fills up loses.
            move || Port::open("other").flood(|| !stop.load(Ordering::Relaxed))
        });
        for object in versions.iter().cycle().take(STARTS) {
            let mut dataplane = open(object);
            attach(&lab, &mut dataplane);
            let left = Found { state: Some(State::Owner), session: SESSION, link: lab.link.index };
            assert_eq!(dataplane.entries().into_iter().collect::<Vec<_>>(), [(VIP4, left), (VIP6, left)]);
            assert_eq!(dataplane.right().read(), right);
        }
        let mut both = versions.map(|object| open(&object));
        for _ in 0..turns {
            for dataplane in &mut both {
                attach(&lab, dataplane);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let (asked, unanswered) = asking.join().unwrap();
        println!("{asked} asked");
        assert_eq!(past.questions(), 0, "got past the program, of {asked}");
        assert!(asked > 1000 && unanswered == 0, "{unanswered} of {asked} unanswered");
    });
}
