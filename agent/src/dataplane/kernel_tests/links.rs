//! Links that change under the programs.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::link::MacVlanMode;
use rtnetlink::{LinkMacVlan, LinkUnspec, LinkVeth, new_connection};
use tokio::runtime;

use super::super::{AttachError, Attached, Counter, Dataplane, LinkMode};
use super::ground::{Lab, NAME, Port, SESSION, VIP4, VIP6, after, await_attached, in_lab, link, pinned};
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

#[test]
fn a_tap_has_programs_too() {
    in_lab(async |mut lab| {
        lab.port = Port::of_tap("tap");
        lab.ground.change(LinkUnspec::new_with_name("tap").up().build()).await;
        lab.link = link(lab.ground.index("tap").await);
        answers_at(&mut lab, LinkMode::Xdp { native: true });
    });
}

#[test]
fn a_macvlan_has_programs_too() {
    in_lab(async |mut lab| {
        let macvlan = LinkMacVlan::new("macvlan", lab.link.index, MacVlanMode::Bridge).up().build();
        lab.ground.handle.link().add(macvlan).execute().await.unwrap();
        lab.link = link(lab.ground.index("macvlan").await);
        // It takes in what is for a group only where somebody is a member, as whoever has the address is.
        lab.ground.add_address(lab.link.index, &VIP6.to_string(), 128).await;
        answers_at(&mut lab, LinkMode::Xdp { native: false });
    });
}

/// At TC, and in the form of XDP that the link has.
fn answers_at(lab: &mut Lab, xdp: LinkMode) {
    for (mode, expected) in [(Mode::Tc, LinkMode::Tc), (Mode::Xdp, xdp)] {
        let (mut dataplane, attached) = lab.start(mode);
        assert_eq!(attached, Attached { mode: expected, tcx: true, blind: false });
        lab.own(&mut dataplane);
        lab.settle();
        let answered = || {
            [(VIP4, Counter::AnsweredArp), (VIP6, Counter::AnsweredNs)]
                .map(|(vip, counter)| dataplane.counters(vip).unwrap().of(counter))
        };
        let before = answered();
        lab.assert_answered();
        // By the program, not by whoever has the address.
        assert_eq!(answered(), before.map(|count| count + 1));
        dataplane.right().revoke();
        lab.assert_silent();
    }
}

#[test]
fn a_link_that_was_moved_away_is_fenced_there_until_the_next_agent_leaves_it() {
    in_lab(async |mut lab| {
        let right = lab.start_owning().right();
        let index = lab.link.index;
        let elsewhere = Elsewhere::open();
        let away = LinkUnspec::new_with_index(index).setns_by_fd(elsewhere.namespace.as_raw_fd()).build();
        lab.ground.change(away).await;
        elsewhere.set_up(&lab.link.name);
        lab.settle();
        right.revoke();
        lab.assert_silent();

        let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
        assert!(matches!(dataplane.attach(&lab.link), Err(AttachError::NoLink { .. })));
        dataplane.retain_links(&[]).unwrap();
        assert!(!pinned().iter().any(|path| path.contains("link-")), "{:?}", pinned());
        right.grant(SESSION, after(3_600_000));
        lab.await_silent().await;
    });
}

/// Another network namespace, for as long as this lives.
struct Elsewhere {
    namespace: File,
    /// Names of links there that are to be switched on.
    links: Sender<String>,
    done: Receiver<File>,
}

impl Elsewhere {
    fn open() -> Self {
        let (links, asked) = channel::<String>();
        let (tell, done) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let here = || File::open("/proc/thread-self/ns/net").unwrap();
            tell.send(here()).unwrap();
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (connection, handle, _) = new_connection().unwrap();
                tokio::spawn(connection);
                for name in asked {
                    let up = LinkUnspec::new_with_name(&name).up().build();
                    handle.link().set(up).execute().await.unwrap();
                    tell.send(here()).unwrap();
                }
            });
        });
        Self { namespace: done.recv().unwrap(), links, done }
    }

    fn set_up(&self, link: &str) {
        self.links.send(link.to_owned()).unwrap();
        self.done.recv().unwrap();
    }
}
