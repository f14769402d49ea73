//! What is pinned: it outlives the agent, is taken over by the next, and ends when it is told to.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aya::EbpfLoader;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, TcAttachType};
use mantle_ebpf::layout::{Address, VERSION, Vip};
use tokio::time::sleep;

use super::super::{Dataplane, State, bpffs};
use super::ground::{NAME, SESSION, VIP4, VIP6, after, await_attached, in_lab, pinned};
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

/// Nothing answers, nothing is pinned, nothing is attached: the last of it goes a moment later.
async fn assert_gone(lab: &mut super::ground::Lab) {
    assert_eq!(pinned(), [""; 0]);
    await_attached("one", [0, 0]).await;
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
            let pinned =
                PinnedLink::from_pin(inner().join(format!("link-{}/{side}", lab.link.index))).unwrap();
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
            start_anew(&mut lab).await;
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
        start_anew(&mut lab).await;
    });
}

/// Starts where what the predecessor pinned is of no use: fenced by it until the programs are there, and no longer.
async fn start_anew(lab: &mut super::ground::Lab) {
    let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
    assert!(dataplane.entries().is_empty());
    // By what the predecessor attached, in what is left of its right.
    lab.assert_answered();
    for vip in [VIP4, VIP6] {
        dataplane.set(vip, &lab.entry(State::Prepared)).unwrap();
    }
    dataplane.attach(&lab.link).unwrap();
    lab.assert_silent();
    dataplane.retain_links(&[lab.link.index]).unwrap();
    await_attached("one", [1, 1]).await;
    assert_eq!(fs::read_dir(inner().parent().unwrap()).unwrap().count(), 1, "{:?}", pinned());
    lab.assert_silent();
    lab.own(&mut dataplane);
    lab.assert_answered();
}

#[test]
fn an_agent_without_the_program_discards_what_it_finds() {
    in_lab(async |mut lab| {
        Dataplane::discard(NAME).unwrap();
        for tcx in [true, false] {
            let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
            dataplane.tcx = tcx;
            dataplane.attach(&lab.link).unwrap();
            lab.own(&mut dataplane);
            drop(dataplane);
            lab.assert_answered();
            Dataplane::discard(NAME).unwrap();
            assert_gone(&mut lab).await;
        }
    });
}

#[test]
fn an_entry_whose_slot_cannot_be_is_dropped() {
    in_lab(async |mut lab| {
        drop(lab.start_owning());
        let map = Map::HashMap(MapData::from_pin(inner().join("VIPS")).unwrap());
        let mut vips: HashMap<_, Address, Vip> = map.try_into().unwrap();
        let good = vips.get(&VIP4.into(), 0).unwrap();
        for (ip, slot) in [("10.0.0.1", good.slot), ("10.0.0.2", 4096)] {
            let ip: IpAddr = ip.parse().unwrap();
            vips.insert(Address::from(ip), Vip { slot, ..good }, 0).unwrap();
        }
        let (dataplane, _) = lab.start(Mode::Tc);
        let left = dataplane.entries();
        // Of two with one slot either may be the one that stays.
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(vips.keys().count(), 2);
        assert!(left.contains_key(&VIP6));
        assert_eq!(lab.port.ask(VIP6, Duration::from_secs(2)), lab.link.mac);
    });
}

/// Where the data plane pins.
fn inner() -> std::path::PathBuf {
    let outer = Path::new(bpffs::ROOT).join(NAME);
    let mut entries = outer.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let ours = format!("layout-{VERSION}");
    entries.find(|path| path.to_str().unwrap().contains(&ours)).unwrap()
}
