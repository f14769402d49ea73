//! The maps.

use core::ptr;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use mantle_ebpf::layout::{
    Address, Counter, Counters, EVENT_INTERVAL, EVENTS_BYTES, Event, Filter, Kind, Limits, MOST_VIPS, Right,
    Vip,
};
use mantle_ebpf::verdict::Host;

#[map]
static VIPS: HashMap<Address, Vip> = HashMap::with_max_entries(MOST_VIPS, 0);

#[map]
static FILTER: Array<Filter> = Array::with_max_entries(1, 0);

#[map]
static RIGHT: Array<Right> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(MOST_VIPS, 0);

#[map]
static LIMITS: Array<Limits> = Array::with_max_entries(MOST_VIPS, 0);

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

/// The maps and the kernel's clock.
pub(crate) struct Maps;

impl Host for Maps {
    #[inline(always)]
    fn admits(&self, end: u16) -> bool {
        FILTER.get(0).is_some_and(|filter| filter.admits(end))
    }

    #[inline(always)]
    fn vip(&self, address: &Address) -> Option<&Vip> {
        // SAFETY: an entry that is deleted while the program runs may be given to another address at once, as the
        // map is preallocated. What is read then is some VIP's entry, of the same session or dead: a frame may be judged
        // by it as if it had come a moment later, for another VIP of the same node.
        unsafe { VIPS.get(address) }
    }

    #[inline(always)]
    fn has_announced(&self, vip: &Vip) -> bool {
        // SAFETY: the entry is there. Volatile, as the program itself stores into it, on any CPU.
        let announced = unsafe { ptr::read_volatile(&raw const vip.announced) };
        announced == vip.turn
    }

    #[inline(always)]
    fn note_announced(&self, address: &Address, turn: u32) {
        if let Some(vip) = VIPS.get_ptr_mut(address) {
            // SAFETY: the place is the map's own; whatever entry it holds by now, the word is there for this. One store,
            // of which nobody sees half.
            unsafe { ptr::write_volatile(&raw mut (*vip).announced, turn) }
        }
    }

    #[inline(always)]
    fn right(&self) -> Right {
        let Some(right) = RIGHT.get_ptr(0) else {
            return Right::default();
        };
        // SAFETY: the pointer is to the map's only slot. Volatile, as the agent stores into it at any time.
        Right::read(
            || unsafe { ptr::read_volatile(&raw const (*right).mark) },
            || unsafe { ptr::read_volatile(&raw const (*right).until) },
        )
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper takes nothing and touches no memory of ours.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn count(&self, slot: u32, counter: Counter) {
        if let Some(counters) = COUNTERS.get_ptr_mut(slot) {
            // SAFETY: the slot is this CPU's; a program that interrupts this one may cost it a count, no more.
            unsafe { (*counters).0[counter as usize] += 1 }
        }
    }

    #[inline(always)]
    fn report(&self, slot: u32, kind: Kind, event: Event) {
        let Some(limits) = LIMITS.get_ptr_mut(slot) else {
            return;
        };
        // SAFETY: a word of the slot; two CPUs that write it at once may send two events instead of one.
        let last = unsafe { &mut (*limits).0[kind as usize] };
        if event.at.wrapping_sub(*last) >= EVENT_INTERVAL {
            *last = event.at;
            // A full buffer means that the agent isn't there to read: nobody to tell.
            let _full = EVENTS.output::<Event>(&event, 0);
        }
    }
}
