//! Two agents on one host, each with a runtime directory of its own.

use super::super::{Attached, Dataplane, LinkMode, State};
use super::ground::{Lab, PATIENCE, SESSION, SILENCE, VIP4, VIP6, after, in_lab, pinned};
use crate::config::Mode;

fn start(lab: &Lab, name: &str, mode: Mode, tcx: bool) -> (Dataplane, Attached) {
    let mut dataplane = Dataplane::open(name, mode).unwrap();
    dataplane.tcx = tcx;
    let attached = dataplane.attach(&lab.link).unwrap();
    dataplane.retain_links(&[lab.link.index]).unwrap();
    (dataplane, attached)
}

#[test]
fn each_answers_for_its_own_and_neither_ends_the_other() {
    in_lab(async |mut lab| {
        for tcx in [true, false] {
            let vips = [("mantle", VIP4), ("other.d", VIP6)];
            let agents = vips.map(|(name, vip)| {
                let (mut agent, _) = start(&lab, name, Mode::Tc, tcx);
                agent.set(vip, &lab.entry(State::Owner)).unwrap();
                agent.right().grant(SESSION, after(3_600_000));
                agent
            });
            lab.assert_answered();
            drop(agents);
            lab.assert_answered();
            let [one, other] = vips.map(|(name, _)| start(&lab, name, Mode::Tc, tcx).0);
            lab.assert_answered();
            other.right().revoke();
            assert_eq!(lab.port.ask(VIP6, SILENCE), None);
            assert_eq!(lab.port.ask(VIP4, PATIENCE), lab.link.mac);
            other.close().unwrap();
            assert!(!pinned().iter().any(|path| path.contains("other")), "{:?}", pinned());
            assert_eq!(lab.port.ask(VIP4, PATIENCE), lab.link.mac);
            one.close().unwrap();
            assert_eq!(pinned(), [""; 0]);
        }
    });
}

#[test]
fn only_one_of_them_has_xdp() {
    in_lab(async |lab| {
        let (_one, attached) = start(&lab, "mantle", Mode::Xdp, true);
        assert_eq!(attached.mode, LinkMode::Xdp { native: true });
        let (_other, attached) = start(&lab, "other", Mode::Xdp, true);
        assert_eq!(attached.mode, LinkMode::Tc);
    });
}
