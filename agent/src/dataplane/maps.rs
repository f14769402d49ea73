//! The maps: what they must be, and whether those that are pinned are it.

use aya::Ebpf;
use aya::maps::{Map, MapInfo, MapType};
use mantle_ebpf::layout::{Address, Counters, EVENTS_BYTES, Filter, Limits, MOST_VIPS, Right, Vip};
use mantle_ebpf::object;

use super::pins::{PinError, Pins};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

/// What a map is to the kernel.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
    entries: u32,
    flags: u32,
}

/// The maps of the committed object.
pub(super) const ALL: [Definition; 6] = [
    hash(object::VIPS, size_of::<Address>(), size_of::<Vip>(), MOST_VIPS),
    array(object::FILTER, MapType::Array, size_of::<Filter>(), 1, 0),
    array(object::RIGHT, MapType::Array, size_of::<Right>(), 1, MMAPABLE),
    array(object::COUNTERS, MapType::PerCpuArray, size_of::<Counters>(), MOST_VIPS, 0),
    array(object::LIMITS, MapType::Array, size_of::<Limits>(), MOST_VIPS, 0),
    Definition {
        name: object::EVENTS,
        kind: MapType::RingBuf,
        key: 0,
        value: 0,
        entries: EVENTS_BYTES,
        flags: 0,
    },
];

const fn hash(name: &'static str, key: usize, value: usize, entries: u32) -> Definition {
    Definition { name, kind: MapType::Hash, key, value, entries, flags: 0 }
}

const fn array(name: &'static str, kind: MapType, value: usize, entries: u32, flags: u32) -> Definition {
    Definition { name, kind, key: size_of::<u32>(), value, entries, flags }
}

impl Definition {
    fn fits(&self, info: &MapInfo) -> bool {
        let same = |size: usize, found: u32| u32::try_from(size) == Ok(found);
        info.map_type().is_ok_and(|kind| kind == self.kind)
            && same(self.key, info.key_size())
            && same(self.value, info.value_size())
            && info.max_entries() == self.entries
            && info.map_flags() == self.flags
    }
}

/// Whether a predecessor's maps are there, all of them; if they aren't whole, what it pinned is moved aside.
pub(super) fn adoptable(pins: &mut Pins) -> Result<bool, PinError> {
    if pins.is_empty()? {
        return Ok(false);
    }
    // aya takes whatever is pinned under the name, and makes what isn't there.
    let damaged =
        |map: &&Definition| !MapInfo::from_pin(pins.map(map.name)).is_ok_and(|info| map.fits(&info));
    if let Some(map) = ALL.iter().find(damaged) {
        tracing::warn!("what an earlier agent pinned is damaged ({} is not whole): made anew", map.name);
        pins.set_aside()?;
        return Ok(false);
    }
    Ok(true)
}

/// Takes a map of the object.
pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Map {
    ebpf.take_map(name).expect("the committed object has all the maps its library half names")
}
