//! Links that change under the programs.

use rtnetlink::{LinkUnspec, LinkVeth};

use super::super::Dataplane;
use super::ground::{NAME, Port, await_attached, in_lab, link, pinned};
use crate::config::Mode;

#[test]
fn a_renamed_link_keeps_its_programs_and_gets_new_ones_by_its_number() {
    in_lab(async |mut lab| {
        drop(lab.start_owning());
        let index = lab.link.index;
        lab.ground.change(LinkUnspec::new_with_index(index).down().build()).await;
        lab.ground.change(LinkUnspec::new_with_index(index).name("uno").up().build()).await;
        lab.settle();
        lab.assert_answered();
        // What is known of the link's name is old.
        assert_eq!(lab.link.name, "one");
        drop(lab.start(Mode::Tc));
        lab.assert_answered();
    });
}

#[test]
fn a_link_that_is_removed_and_made_again_is_another() {
    in_lab(async |mut lab| {
        let mut dataplane = lab.start_owning();
        let index = lab.link.index;
        lab.ground.handle.link().del(index).execute().await.unwrap();
        lab.link = link(lab.ground.pair("one", "other").await);
        lab.port = Port::open("other");
        assert_ne!(lab.link.index, index);
        lab.assert_silent();

        dataplane.attach(&lab.link).unwrap();
        lab.own(&mut dataplane);
        lab.settle();
        lab.assert_answered();
        dataplane.retain_links(&[lab.link.index]).unwrap();
        assert!(!pinned().iter().any(|path| path.contains(&format!("link-{index}"))), "{:?}", pinned());
        lab.assert_answered();
    });
}

#[test]
fn a_link_made_again_under_the_same_number_is_another_too() {
    in_lab(async |mut lab| {
        drop(lab.start_owning());
        let index = lab.link.index;
        lab.ground.handle.link().del(index).execute().await.unwrap();
        let pair = LinkVeth::new("one", "other").index(index).build();
        lab.ground.handle.link().add(pair).execute().await.unwrap();
        for name in ["one", "other"] {
            lab.ground.change(LinkUnspec::new_with_name(name).up().build()).await;
        }
        lab.link = link(index);
        lab.port = Port::open("other");
        lab.assert_silent();
        let (mut dataplane, _) = lab.start(Mode::Tc);
        lab.own(&mut dataplane);
        lab.settle();
        lab.assert_answered();
    });
}

#[test]
fn a_bridge_has_programs_too() {
    in_lab(async |mut lab| {
        let port = lab.link.index;
        let bridge = lab.ground.bridge("bridge").await;
        lab.ground.change(LinkUnspec::new_with_index(bridge).up().build()).await;
        lab.ground.change(LinkUnspec::new_with_index(port).controller(bridge).build()).await;
        lab.link = link(bridge);
        let mut dataplane = lab.start_owning();
        dataplane.attach(&link(port)).unwrap();
        lab.settle();
        lab.assert_answered();
    });
}

#[test]
fn a_link_of_mtu_9000_has_programs_too() {
    in_lab(async |mut lab| {
        for name in ["one", "other"] {
            lab.ground.change(LinkUnspec::new_with_name(name).mtu(9000).build()).await;
        }
        let _dataplane = lab.start_owning();
        lab.settle();
        lab.assert_answered();
    });
}

#[test]
fn a_link_that_is_not_wanted_is_left_alone() {
    in_lab(async |mut lab| {
        let mut dataplane = lab.start_owning();
        dataplane.detach(lab.link.index).unwrap();
        dataplane.detach(lab.link.index).unwrap();
        assert!(!pinned().iter().any(|path| path.contains("link-")), "{:?}", pinned());
        await_attached("one", [0, 0]).await;
        lab.assert_silent();
        drop(dataplane);
        // The next agent's configuration names another link.
        drop(lab.start(Mode::Tc));
        lab.assert_answered();
        let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
        dataplane.retain_links(&[]).unwrap();
        await_attached("one", [0, 0]).await;
        lab.assert_silent();
    });
}
