//! The only room that speaks aya: the kernel program that answers for the VIPs, and stops when the right is over.
//!
//! [`Dataplane`] loads the programs, attaches them to links and tells them how to stand to each VIP; [`RightCell`] moves the
//! right. Maps and links are pinned: they go on without the agent, answering while the right lasts and fencing after
//! that, until the next agent takes them over or [`Dataplane::close`] ends them.
//!
//! An address that has no entry is none of the program's business: the kernel's own stack answers for it. So an entry
//! is there before the address comes, and stays until the address is off; what is to be silent meanwhile is
//! [`State::Prepared`].
//!
//! A start goes in this order, so that what a predecessor left on the links is fenced at every moment: open, set an entry
//! for each address that is there, attach, then [`Dataplane::retain_links`]. Without the kernel program: take the addresses
//! off, then [`Dataplane::discard`].

mod attached;
mod bpffs;
mod cause;
mod driver;
mod events;
mod hook;
mod look;
mod maps;
mod pins;
mod quiet;
mod raw;
mod right;
mod table;
mod tc;
mod unavailable;
mod xdp;

#[cfg(test)]
mod kernel_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use aya::maps::{Map, MapData, RingBuf};
use aya::programs::{ProgramError, SchedClassifier};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};
pub use mantle_ebpf::layout::{Counter, Counters, State};
use mantle_ebpf::object;
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

pub use self::attached::{AttachError, Attached, LinkMode};
pub use self::events::{DataplaneEvent, Events, Kind};
pub use self::look::{Look, LookError, SeenVip};
pub use self::pins::PinError;
use self::pins::{LinkPins, Pins};
pub use self::quiet::{Quiet, QuietError, give_back};
pub use self::raw::{HOME, Raw, RawError};
pub use self::right::{Right, RightCell};
use self::table::Table;
pub use self::table::{Entry, EntryError, Found};
use self::tc::{Side, TcFailure};
pub use self::unavailable::Unavailable;
use crate::config::Mode;
use crate::link::{Link, generic_xdp};

/// The kernel program, loaded.
///
/// Dropped, it leaves everything pinned, on purpose: the fence holds without the agent.
pub struct Dataplane {
    mode: Mode,
    /// Whether the kernel has TCX.
    tcx: bool,
    pins: Pins,
    programs: Ebpf,
    /// Whether the XDP program could be loaded.
    has_xdp: bool,
    table: Table,
    right: RightCell,
    events: Option<RingBuf<MapData>>,
    /// The links that were said to go without XDP.
    without_xdp: BTreeSet<u32>,
    /// The links that were said to have another's generic XDP.
    blind: BTreeSet<u32>,
    /// The links that were said to have programs of others before ours at TC.
    behind: BTreeSet<u32>,
}

impl Dataplane {
    /// Loads the programs, into what a predecessor pinned under that name where that is whole and of this version.
    ///
    /// Stays in the network namespace of the thread that called.
    pub fn open(name: &str, mode: Mode) -> Result<Self, Unavailable> {
        Self::open_object(object::OBJECT, name, mode)
    }

    fn open_object(object: &[u8], name: &str, mode: Mode) -> Result<Self, Unavailable> {
        Unavailable::foreseen()?;
        let mut pins = Pins::open(bpffs::mounted().map_err(Unavailable::Bpffs)?, name)?;
        let adopted = maps::adoptable(&mut pins)?;
        for stale in pins.stale()? {
            tracing::warn!(
                "what is pinned at {stale} is damaged, or of another version or network namespace: made anew"
            );
        }
        let opened = Self::load(object, pins, mode)?;
        if adopted {
            let vips = opened.table.entries().count();
            tracing::info!(vips, "took over the kernel program's maps from an earlier agent");
        }
        Ok(opened)
    }

    /// Removes what a predecessor pinned, for an agent that goes on without the kernel program: left alone it would drop
    /// what comes for the VIPs. To be called when their addresses are off the links, as it ends the fence too.
    pub fn discard(name: &str) -> Result<(), PinError> {
        if !bpffs::is_mounted().unwrap_or(false) {
            return Ok(());
        }
        let pins = Pins::open(Path::new(bpffs::ROOT), name)?;
        retain_links(&pins, &[]).and(pins.remove())
    }

    /// Ends the right that a predecessor, which is gone, left to the kernel program: from now on this drops what it would
    /// have answered. Says whether there was a program to tell.
    pub fn revoke(name: &str) -> Result<bool, LookError> {
        let Some(look) = Look::open(name)? else { return Ok(false) };
        look.revoke()?;
        Ok(true)
    }

    /// Whether an earlier agent left anything pinned under that name.
    pub fn is_pinned(name: &str) -> bool {
        bpffs::is_mounted().unwrap_or(false) && Pins::is_there(Path::new(bpffs::ROOT), name)
    }

    fn load(object: &[u8], pins: Pins, mode: Mode) -> Result<Self, Unavailable> {
        raise_memory_limit();
        let mut loader = EbpfLoader::new();
        // Nothing in the programs depends on the kernel's types.
        loader.btf(None);
        for map in &maps::ALL {
            loader.map_pin_path(map.name, pins.map(map.name));
        }
        let mut programs = loader.load(object).map_err(|error| Unavailable::maps(&error))?;
        for side in Side::BOTH {
            tc_program(&mut programs, side).load().map_err(|error| Unavailable::program(&error))?;
        }
        let has_xdp = wants_xdp(mode)
            && match load_xdp(&mut programs) {
                Ok(()) => true,
                Err(error) => {
                    let reason = Unavailable::program(&error);
                    tracing::warn!("the kernel program goes without XDP: {reason}");
                    false
                }
            };
        let refused =
            |what| move |error: aya::maps::MapError| Unavailable::refused(what, cause::told(&error));
        let table = Table::open(&mut programs).map_err(refused("reading the maps"))?;
        let mut events = RingBuf::try_from(maps::take(&mut programs, object::EVENTS))
            .map_err(refused("mapping the events"))?;
        // What a predecessor did not read is of its time.
        while events.next().is_some() {}
        let right = match maps::take(&mut programs, object::RIGHT) {
            Map::Array(right) => RightCell::map(right.fd())
                .map_err(|error| Unavailable::refused("mapping the right", error.to_string()))?,
            other => unreachable!("the committed object has RIGHT as an array, not as {other:?}"),
        };
        let tcx = KernelVersion::current().is_ok_and(|found| found >= KernelVersion::new(6, 6, 0));
        Ok(Self {
            mode,
            tcx,
            pins,
            programs,
            has_xdp,
            table,
            right,
            events: Some(events),
            without_xdp: BTreeSet::new(),
            blind: BTreeSet::new(),
            behind: BTreeSet::new(),
        })
    }

    /// Attaches the programs to a link: at start, never at a change of owner, as some drivers reset the link for XDP.
    ///
    /// Where a predecessor's are attached they are replaced in place, and at no moment there is none.
    pub fn attach(&mut self, link: &Link) -> Result<Attached, AttachError> {
        let gone = || AttachError::NoLink { link: link.name.clone() };
        // It may have been renamed since.
        let name = name_of(link.index).ok_or_else(gone)?;
        let pins = self.pins.link(link.index)?;
        for side in Side::BOTH {
            let program = tc_program(&mut self.programs, side);
            let attached = if self.tcx {
                tc::attach_tcx(program, side, link.index, &name, &pins)
            } else {
                tc::attach_filter(program, side, &name, &pins)
            };
            if let Err(failure) = attached {
                self.detach(link.index)?;
                return Err(match failure {
                    TcFailure::Pin(error) => error.into(),
                    failure if is_no_device(&failure) => gone(),
                    failure => AttachError::refused(&name, side.name(), &failure),
                });
            }
        }
        // A link of ours that is unpinned here stays a moment longer.
        let was_ours = pins.has(xdp::GENERIC);
        let mode = self.attach_xdp(link, &name, &pins);
        let blind =
            !was_ours && mode != (LinkMode::Xdp { native: false }) && self.is_blind(link.index, &name);
        Ok(Attached { mode, tcx: self.tcx, blind })
    }

    /// What has become of the programs on a link since they were attached, of which the kernel tells nobody. A link that has
    /// lost one of them has it again; one that others came before is blind, and said so once.
    ///
    /// Not put in front again: the same program is at a hook but once, and others may insist on the place as well. The next
    /// agent's goes first.
    pub fn look_after(&mut self, link: &Link, known: Attached) -> Result<Attached, AttachError> {
        let Some(name) = name_of(link.index) else { return Ok(known) };
        let pins = self.pins.find_link(link.index);
        let mut behind = false;
        // What is where among filters aya does not tell.
        for side in Side::BOTH.into_iter().filter(|_| self.tcx) {
            match tc::others_before(side, link.index, &pins) {
                Ok(Some(others)) => behind |= others > 0,
                Ok(None) => {
                    tracing::warn!(link = name, "somebody took the kernel program off TC {}", side.name());
                    return self.attach(link);
                }
                Err(failure) if is_no_device(&failure) => return Ok(known),
                Err(failure) => {
                    behind = true;
                    if self.behind.insert(link.index) {
                        tracing::warn!(
                            link = name,
                            "what runs before the kernel program at TC {} is not known: {failure}",
                            side.name()
                        );
                    }
                }
            }
        }
        if !behind {
            self.behind.remove(&link.index);
        } else if self.behind.insert(link.index) {
            tracing::warn!(
                link = name,
                "programs of others came before the kernel program at TC, where they can pass what it fences: the \
                 address's lifetime fences, until they are gone or the agent is restarted"
            );
        }
        let veiled = known.mode == LinkMode::Tc && self.is_blind(link.index, &name);
        Ok(Attached { blind: behind || veiled, ..known })
    }

    /// Whether somebody else's program is at generic XDP. What it has copied (`skb_pp_cow_data`, which loses `mac_len`) the
    /// kernel shows to TC without its Ethernet header: for the program no frame that it knows.
    fn is_blind(&mut self, index: u32, name: &str) -> bool {
        match generic_xdp(index) {
            Ok(None) => {
                self.blind.remove(&index);
                return false;
            }
            Ok(Some(program)) if self.blind.insert(index) => tracing::warn!(
                link = name,
                program,
                "a program of somebody else's at generic XDP keeps what arrives from the kernel program: only what leaves is \
                 fenced; move that program into the driver, or to another link"
            ),
            Ok(Some(_)) => {}
            Err(error) => tracing::warn!(link = name, "whether generic XDP is in use is not known: {error}"),
        }
        true
    }

    fn attach_xdp(&mut self, link: &Link, name: &str, pins: &LinkPins) -> LinkMode {
        let asked_for = self.mode == Mode::Xdp;
        if !self.has_xdp || !(asked_for || driver::carries_xdp(link)) {
            if let Err(error) = xdp::detach(pins) {
                tracing::warn!(link = name, "the kernel program stays at XDP: {error}");
            }
            return LinkMode::Tc;
        }
        match xdp::attach(&mut self.programs, link.index, asked_for, pins) {
            Ok(native) => LinkMode::Xdp { native },
            Err(failure) => {
                if self.without_xdp.insert(link.index) {
                    tracing::warn!(link = name, "answers at TC instead of XDP: {failure}");
                }
                LinkMode::Tc
            }
        }
    }

    /// Takes the programs off a link; there is none any more a moment later.
    pub fn detach(&mut self, index: u32) -> Result<(), PinError> {
        self.without_xdp.remove(&index);
        self.blind.remove(&index);
        self.behind.remove(&index);
        detach(index, &self.pins.find_link(index))
    }

    /// Takes the programs off all links but these: off what the configuration no longer names, and what was pinned for
    /// a link that is gone, or in another namespace now. With them goes what a predecessor left and was of no use.
    pub fn retain_links(&mut self, wanted: &[u32]) -> Result<(), PinError> {
        self.without_xdp.retain(|index| wanted.contains(index));
        self.blind.retain(|index| wanted.contains(index));
        self.behind.retain(|index| wanted.contains(index));
        retain_links(&self.pins, wanted)
    }

    /// How to stand to a VIP, for every frame that comes from now on.
    pub fn set(&mut self, vip: IpAddr, entry: &Entry) -> Result<(), EntryError> {
        self.table.set(vip, entry)
    }

    /// Leaves a VIP to the kernel's own stack: to be called when its address is off the link.
    pub fn remove(&mut self, vip: IpAddr) -> Result<(), EntryError> {
        self.table.remove(vip)
    }

    /// The entries there are: after the opening, what a predecessor left.
    pub fn entries(&self) -> BTreeMap<IpAddr, Found> {
        self.table.entries().collect()
    }

    /// What was counted for a VIP since it has an entry, over all CPUs.
    pub fn counters(&self, vip: IpAddr) -> Result<Counters, EntryError> {
        self.table.counters(vip)
    }

    /// A look at all of it, for whichever thread tells of it.
    pub fn look(&self) -> Result<Look, LookError> {
        Look::at(self.pins.dir())
    }

    /// A handle on the right, for whichever thread moves it.
    pub fn right(&self) -> RightCell {
        self.right.clone()
    }

    /// The events from now on, for one reader. Wants a tokio runtime.
    pub fn events(&mut self) -> io::Result<Events> {
        let events =
            self.events.take().ok_or_else(|| io::Error::other("the events have a reader already"))?;
        Events::new(events)
    }

    /// Ends everything: the programs are off the links a moment later, and nothing stays pinned.
    pub fn close(mut self) -> Result<(), PinError> {
        self.retain_links(&[]).and(self.pins.remove())
    }
}

/// Goes on after a failure, and gives the first.
fn retain_links(pins: &Pins, wanted: &[u32]) -> Result<(), PinError> {
    let is_wanted = |index: &u32| wanted.contains(index);
    let mut done = Ok(());
    for index in pins.links()?.into_iter().filter(|index| !is_wanted(index)) {
        done = done.and(detach(index, &pins.find_link(index)));
    }
    for stale in pins.stale()? {
        // The filters of links that are wanted have been replaced.
        for (index, left) in stale.links()?.into_iter().filter(|(index, _)| !is_wanted(index)) {
            done = done.and(detach(index, &left));
        }
        done = done.and(stale.remove());
    }
    done
}

fn detach(index: u32, pins: &LinkPins) -> Result<(), PinError> {
    if let Some(name) = name_of(index) {
        tc::detach_filters(&name, pins)?;
    }
    pins.remove()
}

fn wants_xdp(mode: Mode) -> bool {
    matches!(mode, Mode::Auto | Mode::Xdp)
}

fn tc_program(programs: &mut Ebpf, side: Side) -> &mut SchedClassifier {
    let program = programs.program_mut(side.program()).and_then(|program| program.try_into().ok());
    program.expect("the committed object has both TC programs")
}

fn load_xdp(programs: &mut Ebpf) -> Result<(), ProgramError> {
    xdp::FORMS.iter().try_for_each(|form| form.program(programs).load())
}

fn name_of(index: u32) -> Option<String> {
    // nix 0.31 takes "there is none" for an empty name.
    if_indextoname(index).ok()?.into_string().ok().filter(|name| !name.is_empty())
}

fn is_no_device(failure: &TcFailure) -> bool {
    cause::errno(failure) == Some(Errno::ENODEV)
}

/// Before 5.11 the kernel counts maps as locked memory; where it may not be raised, the maps say what lacks.
fn raise_memory_limit() {
    if KernelVersion::current().is_ok_and(|found| found < KernelVersion::new(5, 11, 0)) {
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    }
}
