//! How the node stands to each VIP, and what was counted: for userspace what the maps are for the kernel program.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::layout::{Address, Counter, Counters, EVENT_INTERVAL, Event, Kind, Right, Vip};
use mantle_ebpf::verdict::Host;
use tokio::sync::mpsc::Sender;

use crate::clock;
use crate::dataplane::right::nanoseconds;
use crate::dataplane::{DataplaneEvent, Entry, RightCell};
use crate::wire::Mac;
use mantle_protocol::Instant;

/// The VIPs' entries, and what every answer goes by.
pub(super) struct Book {
    vips: HashMap<Address, Vip>,
    right: RightCell,
    next_slot: u32,
    turn: u32,
    /// The turns in which a successor announced a VIP.
    announced: RefCell<HashSet<u32>>,
    counters: RefCell<HashMap<u32, Counters>>,
    /// When an event of each kind was told last, by slot.
    told: RefCell<HashMap<(u32, u32), u64>>,
    tell: Sender<DataplaneEvent>,
}

impl Book {
    pub(super) fn new(right: RightCell, tell: Sender<DataplaneEvent>) -> Self {
        let (counters, told) = (RefCell::default(), RefCell::default());
        let (vips, announced) = (HashMap::new(), RefCell::default());
        Self { vips, right, next_slot: 0, turn: 0, announced, counters, told, tell }
    }

    pub(super) fn set(&mut self, ip: IpAddr, entry: &Entry) {
        let address = Address::from(ip);
        let slot = self.vips.get(&address).map_or(self.next_slot, |vip| vip.slot);
        if slot == self.next_slot {
            self.next_slot += 1;
        }
        self.turn += 1;
        let before = self.vips.insert(address, entry.vip(slot, self.turn));
        self.forget_turn(before);
    }

    pub(super) fn remove(&mut self, ip: IpAddr) {
        let removed = self.vips.remove(&ip.into());
        self.forget_turn(removed);
        if let Some(vip) = removed {
            self.counters.borrow_mut().remove(&vip.slot);
            self.told.borrow_mut().retain(|(slot, _), _| *slot != vip.slot);
        }
    }

    fn forget_turn(&mut self, vip: Option<Vip>) {
        vip.map(|vip| self.announced.get_mut().remove(&vip.turn));
    }

    pub(super) fn counters(&self) -> BTreeMap<IpAddr, Counters> {
        let counted = self.counters.borrow();
        let of = |vip: &Vip| counted.get(&vip.slot).copied().unwrap_or_default();
        self.vips.iter().map(|(address, vip)| ((*address).into(), of(vip))).collect()
    }

    /// Whether the right lasts at this very moment (I2).
    pub(super) fn has_right(&self) -> bool {
        clock::now() < self.right.read().until
    }
}

impl Host for Book {
    /// The map is as near as any filter here.
    fn admits(&self, _: u16) -> bool {
        true
    }

    fn vip(&self, address: &Address) -> Option<&Vip> {
        self.vips.get(address)
    }

    fn has_announced(&self, vip: &Vip) -> bool {
        self.announced.borrow().contains(&vip.turn)
    }

    fn note_announced(&self, _: &Address, turn: u32) {
        self.announced.borrow_mut().insert(turn);
    }

    fn right(&self) -> Right {
        let right = self.right.read();
        Right { mark: right.session.cast_unsigned(), until: nanoseconds(right.until) }
    }

    fn now(&self) -> u64 {
        nanoseconds(clock::now())
    }

    fn count(&self, slot: u32, counter: Counter) {
        self.counters.borrow_mut().entry(slot).or_default().0[counter as usize] += 1;
    }

    fn report(&self, slot: u32, kind: Kind, event: Event) {
        let mut told = self.told.borrow_mut();
        let last = told.entry((slot, kind as u32)).or_default();
        if *last != 0 && event.at < *last + EVENT_INTERVAL {
            return;
        }
        *last = event.at;
        let at = Instant::from_boot(Duration::from_nanos(event.at));
        // What does not fit is lost, and still counted.
        let _ = self.tell.try_send(DataplaneEvent {
            at,
            vip: event.vip.into(),
            kind,
            link: event.link,
            mac: Mac(event.mac.0),
        });
    }
}
