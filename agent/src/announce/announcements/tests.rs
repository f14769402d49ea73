use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::wire::Mac;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const FOREVER: Instant = Instant::from_boot(Duration::MAX);

fn at(millis: u64) -> Instant {
    Instant::from_boot(Duration::from_millis(millis))
}

fn vip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn frames(vip: IpAddr) -> Frames {
    Frames::new(vip, MAC, false)
}

/// Keeps what was sent; refuses what it is told to.
#[derive(Clone, Default)]
struct Wire {
    sent: Rc<RefCell<Vec<Frames>>>,
    refused: Rc<RefCell<Vec<Frames>>>,
}

impl Wire {
    fn take(&self) -> Vec<Frames> {
        self.sent.take()
    }
}

impl Outlet for Wire {
    fn send(&mut self, frames: &Frames) -> Result<(), AnnounceError> {
        if self.refused.borrow().contains(frames) {
            let source = io::Error::from_raw_os_error(nix::libc::ENOBUFS);
            return Err(AnnounceError::Congested { link: "lan0".to_owned(), source });
        }
        self.sent.borrow_mut().push(frames.clone());
        Ok(())
    }
}

/// Three VIPs on one link, and what comes out of it.
fn three() -> (Announcements<Wire>, Wire) {
    let pace = Pace::new(vec![Duration::from_millis(100)], Duration::from_secs(1)).unwrap();
    let mut announcements = Announcements::new(pace);
    let wire = Wire::default();
    announcements.attach("lan0", wire.clone(), [1, 2, 3].map(|last| (vip(last), frames(vip(last)))));
    (announcements, wire)
}

#[test]
fn what_is_started_is_sent_when_due_and_what_is_stopped_is_not() {
    let (mut announcements, wire) = three();
    assert_eq!(announcements.poll(FOREVER, || at(0)).next, None);
    announcements.start(vip(1), at(0)).unwrap();
    announcements.start(vip(2), at(50)).unwrap();
    assert_eq!(announcements.poll(FOREVER, || at(50)).next, Some(at(100)));
    assert_eq!(wire.take(), [frames(vip(1)), frames(vip(2))]);

    assert_eq!(announcements.poll(FOREVER, || at(99)).next, Some(at(100)));
    assert_eq!(wire.take(), []);
    assert_eq!(announcements.poll(FOREVER, || at(100)).next, Some(at(150)));
    assert_eq!(wire.take(), [frames(vip(1))]);

    announcements.stop(vip(2));
    assert_eq!(announcements.poll(FOREVER, || at(5000)).next, Some(at(6000)));
    assert_eq!(wire.take(), [frames(vip(1))]);
}

#[test]
fn nothing_is_sent_past_the_right_and_a_renewal_goes_on() {
    let (mut announcements, wire) = three();
    announcements.start(vip(1), at(0)).unwrap();
    assert_eq!(announcements.poll(at(10), || at(10)).next, None);
    assert_eq!(wire.take(), []);
    assert_eq!(announcements.poll(at(20), || at(10)).next, Some(at(100)));
    assert_eq!(wire.take(), [frames(vip(1))]);
}

#[test]
fn a_process_that_stands_still_between_two_vips_sends_no_more_of_them() {
    let (mut announcements, wire) = three();
    for last in [1, 2, 3] {
        announcements.start(vip(last), at(0)).unwrap();
    }
    let readings = Cell::new(0);
    let stops_after_the_first = || {
        readings.set(readings.get() + 1);
        if readings.get() == 1 { at(0) } else { at(5000) }
    };
    assert_eq!(announcements.poll(at(1000), stops_after_the_first).next, None);
    assert_eq!(wire.take(), [frames(vip(1))]);
}

#[test]
fn a_vip_that_is_not_taken_is_tried_again_and_holds_up_no_other() {
    let (mut announcements, wire) = three();
    for last in [1, 2, 3] {
        announcements.start(vip(last), at(0)).unwrap();
    }
    wire.refused.borrow_mut().push(frames(vip(2)));
    assert_eq!(announcements.poll(FOREVER, || at(0)).next, Some(at(5)));
    assert_eq!(wire.take(), [frames(vip(1)), frames(vip(3))]);
    wire.refused.take();
    assert_eq!(announcements.poll(FOREVER, || at(5)).next, Some(at(100)));
    assert_eq!(wire.take(), [frames(vip(2))]);
}

#[test]
fn a_link_that_is_detached_or_attached_anew_announces_nothing_by_itself() {
    let (mut announcements, wire) = three();
    announcements.start(vip(1), at(0)).unwrap();
    let moved = Frames::new(vip(1), Mac([2, 0, 0, 0, 0, 0x0c]), false);
    announcements.attach("lan0", wire.clone(), [(vip(1), moved.clone())]);
    assert_eq!(announcements.poll(FOREVER, || at(0)).next, None);
    announcements.start(vip(1), at(0)).unwrap();
    assert_eq!(announcements.poll(FOREVER, || at(0)).next, Some(at(100)));
    assert_eq!(wire.take(), [moved]);

    announcements.detach("lan0");
    assert_eq!(announcements.poll(FOREVER, || at(9000)).next, None);
    assert_eq!(announcements.start(vip(1), at(0)), Err(StartError(vip(1))));
    assert_eq!(wire.take(), []);
}
