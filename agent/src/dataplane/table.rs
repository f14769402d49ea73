//! The VIPs as the kernel program has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use mantle_ebpf::layout::{Address, Counters, Filter, Limits, MOST_VIPS, State, Vip};
use mantle_ebpf::object;
use nix::errno::Errno;
use thiserror::Error;

use super::{cause, maps};
use crate::wire::Mac;

/// How the kernel program is to stand to a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The index of the link it is worn on.
    pub link: u32,
    /// That link's MAC.
    pub mac: Mac,
    /// The row of the data plane's table.
    pub state: State,
    /// The other node's MAC in a handoff.
    pub peer: Option<Mac>,
    /// Whether the node forwards IPv6.
    pub router: bool,
    /// E of the session; under another session's right the entry is dead.
    pub session: i64,
    /// An address of the node's that is no VIP, of the VIP's family and best on the same link: in its name the node asks
    /// where its neighbours are while it yields and forwards. Without one it cannot ask.
    pub asks_as: Option<IpAddr>,
}

impl Entry {
    /// The entry as a map holds it, in that slot, as written in that turn.
    pub(super) fn vip(&self, slot: u32, turn: u32) -> Vip {
        Vip {
            mark: self.session.cast_unsigned(),
            link: self.link,
            slot,
            state: self.state as u8,
            router: self.router.into(),
            own: self.mac,
            peer: self.peer.unwrap_or(Mac::ZERO),
            reserved: [0; 2],
            turn,
            announced: 0,
            asks_as: self.asks_as.map_or(Address::NONE, Address::from),
        }
    }
}

/// An entry as it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The state; none if an agent of another version wrote one that is unknown here.
    pub state: Option<State>,
    /// E of the session under which it was written.
    pub session: i64,
    /// The index of the link.
    pub link: u32,
}

/// Why an entry could not be changed.
#[derive(Debug, Error)]
pub enum EntryError {
    /// No room.
    #[error("{0} was not given to the kernel program, which has room for {MOST_VIPS} VIPs; configure fewer")]
    Full(IpAddr),
    /// The kernel refused.
    #[error("the kernel program's entry for {vip} could not be {what}: {why}")]
    Map {
        /// The VIP.
        vip: IpAddr,
        /// What was tried.
        what: &'static str,
        /// What came back.
        why: String,
    },
}

/// The maps that have something per VIP. Only the agent writes into the first two.
pub(super) struct Table {
    vips: HashMap<MapData, Address, Vip>,
    filter: Array<MapData, Filter>,
    counters: PerCpuArray<MapData, Counters>,
    limits: Array<MapData, Limits>,
    /// What `vips` holds.
    known: BTreeMap<IpAddr, Vip>,
    /// The slots no VIP has.
    free: BTreeSet<u32>,
    /// What `filter` holds.
    admitted: Box<Filter>,
    /// The turn of the entry written last, by any agent.
    turn: u32,
}

impl Table {
    /// Takes the maps over, with what a predecessor left in them.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        let mut table = Self {
            vips: maps::take(ebpf, object::VIPS).try_into()?,
            filter: maps::take(ebpf, object::FILTER).try_into()?,
            counters: maps::take(ebpf, object::COUNTERS).try_into()?,
            limits: maps::take(ebpf, object::LIMITS).try_into()?,
            known: BTreeMap::new(),
            free: (0..MOST_VIPS).collect(),
            admitted: Box::new(Filter::EMPTY),
            turn: 0,
        };
        for entry in table.vips.iter().collect::<Result<Vec<_>, _>>()? {
            let (address, vip) = entry;
            table.turn = table.turn.max(vip.turn);
            // One that is no slot, or another's, is damage.
            if table.free.remove(&vip.slot) {
                table.known.insert(address.into(), vip);
            } else {
                table.vips.remove(&address)?;
            }
        }
        let admitted = table.filter_of_known();
        table.filter.set(0, *admitted, 0)?;
        table.admitted = admitted;
        Ok(table)
    }

    /// Sets an entry, at once for every frame that comes from now on.
    pub(super) fn set(&mut self, ip: IpAddr, entry: &Entry) -> Result<(), EntryError> {
        let failed = |what| move |error: MapError| EntryError::map(ip, what, &error);
        let slot = if let Some(vip) = self.known.get(&ip) {
            vip.slot
        } else {
            let slot = *self.free.first().ok_or(EntryError::Full(ip))?;
            self.forget_counts(slot).map_err(failed("cleared"))?;
            slot
        };
        let address = Address::from(ip);
        self.turn = next_turn(self.turn);
        let vip = entry.vip(slot, self.turn);
        let mut admitted = self.admitted.clone();
        admitted.insert(&address);
        self.admit(admitted).map_err(failed("let through the filter"))?;
        self.vips.insert(address, vip, 0).map_err(failed("written"))?;
        self.free.remove(&slot);
        self.known.insert(ip, vip);
        Ok(())
    }

    /// Removes an entry; one that isn't there is removed already.
    pub(super) fn remove(&mut self, ip: IpAddr) -> Result<(), EntryError> {
        let failed = |error: MapError| EntryError::map(ip, "removed", &error);
        match self.vips.remove(&ip.into()) {
            Err(error) if cause::errno(&error) != Some(Errno::ENOENT) => return Err(failed(error)),
            _ => self.free.extend(self.known.remove(&ip).map(|vip| vip.slot)),
        }
        // A bit too many costs a look into the map, no more.
        self.admit(self.filter_of_known()).map_err(failed)
    }

    /// What there is.
    pub(super) fn entries(&self) -> impl Iterator<Item = (IpAddr, Found)> {
        self.known.iter().map(|(ip, vip)| (*ip, Found::from(&self.seen(*ip, vip))))
    }

    /// The entry as it is now: what was yielding the program itself makes forwarding.
    fn seen(&self, ip: IpAddr, vip: &Vip) -> Vip {
        let is_settled = vip.state != State::Yielding as u8;
        if is_settled { *vip } else { self.vips.get(&ip.into(), 0).unwrap_or(*vip) }
    }

    /// What was counted for a VIP since it was set first, over all CPUs.
    pub(super) fn counters(&self, ip: IpAddr) -> Result<Counters, EntryError> {
        let Some(vip) = self.known.get(&ip) else { return Ok(Counters::default()) };
        let counts = self.counters.get(&vip.slot, 0);
        counts.map(|counts| sum(&counts)).map_err(|error| EntryError::map(ip, "counted", &error))
    }

    fn forget_counts(&mut self, slot: u32) -> Result<(), MapError> {
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        self.counters.set(slot, PerCpuValues::try_from(vec![Counters::default(); cpus])?, 0)?;
        self.limits.set(slot, Limits::default(), 0)
    }

    fn filter_of_known(&self) -> Box<Filter> {
        let mut filter = Box::new(Filter::EMPTY);
        self.known.keys().for_each(|ip| filter.insert(&Address::from(*ip)));
        filter
    }

    fn admit(&mut self, filter: Box<Filter>) -> Result<(), MapError> {
        if filter != self.admitted {
            self.filter.set(0, *filter, 0)?;
            self.admitted = filter;
        }
        Ok(())
    }
}

/// The turn after that one; zero is none.
fn next_turn(turn: u32) -> u32 {
    turn.wrapping_add(1).max(1)
}

/// What was counted over all CPUs.
pub(super) fn sum(counts: &PerCpuValues<Counters>) -> Counters {
    let mut sum = Counters::default();
    for cpu in counts.iter() {
        sum.0.iter_mut().zip(cpu.0).for_each(|(sum, count)| *sum += count);
    }
    sum
}

impl From<&Vip> for Found {
    fn from(vip: &Vip) -> Self {
        Self { state: vip.state(), session: vip.mark.cast_signed(), link: vip.link }
    }
}

impl EntryError {
    fn map(vip: IpAddr, what: &'static str, error: &MapError) -> Self {
        Self::Map { vip, what, why: cause::told(error) }
    }
}
