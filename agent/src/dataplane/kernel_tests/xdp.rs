//! XDP: where it is, where it isn't, and somebody else's.

use aya::EbpfLoader;
use aya::programs::{Xdp, XdpMode};
use rtnetlink::LinkUnspec;

use super::super::{Attached, LinkMode};
use super::foreign::{EMPTY, Foreign};
use super::ground::{Lab, in_lab, link, pinned};
use crate::config::Mode;

async fn other(lab: &Lab) -> u32 {
    lab.ground.index("other").await
}

const NATIVE: Attached = Attached { mode: LinkMode::Xdp { native: true }, tcx: true, blind: false };
const GENERIC: Attached = Attached { mode: LinkMode::Xdp { native: false }, tcx: true, blind: false };
const TC: Attached = Attached { mode: LinkMode::Tc, tcx: true, blind: false };

#[test]
fn a_veth_gets_xdp_only_where_it_is_asked_for() {
    in_lab(async |mut lab| {
        // Else what veth sends back from XDP gets lost.
        let peer = Foreign::xdp(other(&lab).await, XdpMode::Driver);
        let (mut dataplane, attached) = lab.start(Mode::Auto);
        assert_eq!(attached, TC);
        lab.own(&mut dataplane);
        lab.assert_answered();
        drop(dataplane);

        for mtu in [1500, 9000] {
            for name in ["one", "other"] {
                lab.ground.change(LinkUnspec::new_with_name(name).mtu(mtu).build()).await;
            }
            // Twice: attached, and taken over.
            for _ in 0..2 {
                let (dataplane, attached) = lab.start(Mode::Xdp);
                assert_eq!(attached, NATIVE);
                lab.assert_answered();
                drop(dataplane);
                lab.assert_answered();
            }
            assert_eq!(lab.start(Mode::Tc).1, TC);
            assert!(!pinned().iter().any(|path| path.contains("xdp")), "{:?}", pinned());
            lab.assert_answered();
            while has_xdp(&lab) {
                tokio::task::yield_now().await;
            }
        }
        drop(peer);
    });
}

/// Whether the link has a program at XDP: then nobody else's finds room.
fn has_xdp(lab: &Lab) -> bool {
    let mut ebpf = EbpfLoader::new().load(EMPTY).unwrap();
    let program: &mut Xdp = ebpf.program_mut("empty_xdp").unwrap().try_into().unwrap();
    program.load().unwrap();
    program.attach_to_if_index(lab.link.index, XdpMode::Driver).is_err()
}

#[test]
fn a_link_without_native_xdp_gets_the_generic_form() {
    in_lab(async |mut lab| {
        let port = lab.link.index;
        let bridge = lab.ground.bridge("bridge").await;
        lab.ground.change(LinkUnspec::new_with_index(bridge).up().build()).await;
        lab.ground.change(LinkUnspec::new_with_index(port).controller(bridge).build()).await;
        lab.link = link(bridge);
        for _ in 0..2 {
            assert_eq!(lab.start(Mode::Xdp).1, GENERIC);
        }
        assert_eq!(lab.start(Mode::Auto).1, TC);
    });
}
