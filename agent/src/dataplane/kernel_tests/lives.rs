//! What is pinned: it outlives the agent, is taken over by the next, and ends when it is told to.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use aya::EbpfLoader;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, TcAttachType};
use tokio::time::sleep;

use super::super::{Dataplane, Found, State, bpffs};
use super::ground::{NAME, Port, SESSION, VIP4, VIP6, after, in_lab, pinned};
use crate::clock;
use crate::config::Mode;

/// A program that lets everything pass: what an earlier version might have been.
static EMPTY: &[u8] = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/baseline.o");

#[test]
fn without_the_agent_it_goes_on_and_ends_with_the_right() {
    in_lab(async |mut lab| {
        let dataplane = lab.start_owning();
        let end = after(500);
        dataplane.right().grant(SESSION, end);
        drop(dataplane);
        lab.assert_answered();
        sleep(end.since(clock::now()) + Duration::from_millis(1)).await;
        lab.assert_silent();
    });
}

#[test]
fn the_next_agent_takes_over_without_a_request_unanswered() {
    take_over_under_flood(true);
}

#[test]
fn the_next_agent_takes_filters_over_without_a_request_unanswered() {
    take_over_under_flood(false);
}

fn take_over_under_flood(tcx: bool) {
    in_lab(async move |mut lab| {
        let start = |lab: &super::ground::Lab| {
            let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
            dataplane.tcx = tcx;
            let attached = dataplane.attach(&lab.link).unwrap();
            assert_eq!(attached.tcx, tcx);
            dataplane
        };
        let mut first = start(&lab);
        lab.own(&mut first);
        let right = first.right().read();
        drop(first);
        lab.assert_answered();

        let stop = Arc::new(AtomicBool::new(false));
        let asking = [VIP4, VIP6].map(|vip| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || Port::open("other").flood(vip, || !stop.load(Ordering::Relaxed)))
        });
        for _ in 0..20 {
            let dataplane = start(&lab);
            let left = Found { state: Some(State::Owner), session: SESSION, link: lab.link.index };
            assert_eq!(dataplane.entries().into_iter().collect::<Vec<_>>(), [(VIP4, left), (VIP6, left)]);
            assert_eq!(dataplane.right().read(), right);
            sleep(Duration::from_millis(10)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for asking in asking {
            let (asked, unanswered) = asking.join().unwrap();
            println!("{asked} asked, {unanswered} unanswered");
            assert!(asked > 100 && unanswered == 0, "{unanswered} of {asked} unanswered");
        }
        start(&lab).close().unwrap();
        assert_gone(&mut lab).await;
    });
}

/// Nothing answers, nothing is pinned, nothing is attached: the last of it goes a moment later.
async fn assert_gone(lab: &mut super::ground::Lab) {
    assert_eq!(pinned(), [""; 0]);
    let there = || {
        [TcAttachType::Ingress, TcAttachType::Egress]
            .map(|hook| SchedClassifier::query_tcx("one", hook).unwrap().1.len())
    };
    for _ in 0..200 {
        if there() == [0, 0] {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(there(), [0, 0]);
    lab.assert_silent();
}

#[test]
fn another_program_is_replaced_by_ours() {
    in_lab(async |mut lab| {
        drop(lab.start_owning());
        let mut other = EbpfLoader::new().load(EMPTY).unwrap();
        let other: &mut SchedClassifier = other.program_mut("empty_tc").unwrap().try_into().unwrap();
        other.load().unwrap();
        for side in ["ingress", "egress"] {
            let pinned = PinnedLink::from_pin(inner().join(format!("link-{}/{side}", lab.link.index))).unwrap();
            let id = other.attach_to_link(FdLink::from(pinned).try_into().unwrap()).unwrap();
            drop(other.take_link(id).unwrap());
        }
        lab.assert_silent();
        drop(lab.start(Mode::Tc));
        lab.assert_answered();
        let (_, there) = SchedClassifier::query_tcx("one", TcAttachType::Ingress).unwrap();
        assert_eq!(there.len(), 1);
    });
}

#[test]
fn damaged_maps_are_made_anew() {
    in_lab(async |mut lab| {
        for damage in [
            |dir: &Path| fs::remove_file(dir.join("RIGHT")).unwrap(),
            |dir: &Path| {
                fs::remove_file(dir.join("VIPS")).unwrap();
                fs::rename(dir.join("COUNTERS"), dir.join("VIPS")).unwrap();
            },
            |dir: &Path| {
                fs::remove_file(dir.join("EVENTS")).unwrap();
                fs::create_dir(dir.join("EVENTS")).unwrap();
            },
        ] {
            drop(lab.start_owning());
            lab.assert_answered();
            damage(&inner());
            let (mut dataplane, _) = lab.start(Mode::Tc);
            assert!(dataplane.entries().is_empty());
            lab.assert_silent();
            lab.own(&mut dataplane);
            lab.assert_answered();
        }
    });
}

#[test]
fn damaged_links_are_attached_anew() {
    in_lab(async |mut lab| {
        drop(lab.start_owning());
        let dir = inner().join(format!("link-{}", lab.link.index));
        // Each a link of ours, and neither where its name says.
        fs::rename(dir.join("ingress"), dir.join("other")).unwrap();
        fs::rename(dir.join("egress"), dir.join("ingress")).unwrap();
        fs::rename(dir.join("other"), dir.join("egress")).unwrap();
        drop(lab.start(Mode::Tc));
        lab.assert_answered();

        // No link at all.
        fs::remove_file(dir.join("ingress")).unwrap();
        fs::rename(inner().join("FILTER"), dir.join("ingress")).unwrap();
        let (mut dataplane, _) = lab.start(Mode::Tc);
        lab.own(&mut dataplane);
        lab.assert_answered();
        dataplane.close().unwrap();
        assert_gone(&mut lab).await;
    });
}

#[test]
fn what_another_version_pinned_goes() {
    in_lab(async |mut lab| {
        drop(lab.start_owning());
        lab.assert_answered();
        fs::rename(inner(), inner().with_file_name("layout-0-net-1")).unwrap();
        let (mut dataplane, _) = lab.start(Mode::Tc);
        assert!(dataplane.entries().is_empty());
        assert!(!pinned().iter().any(|path| path.contains("layout-0")), "{:?}", pinned());
        lab.own(&mut dataplane);
        lab.assert_answered();
    });
}

/// Where the data plane pins.
fn inner() -> std::path::PathBuf {
    let outer = Path::new(bpffs::ROOT).join(NAME);
    outer.read_dir().unwrap().next().unwrap().unwrap().path()
}
