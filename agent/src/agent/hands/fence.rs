//! The kernel program, as the hands use it: which links it fences, and what it is told of each VIP.

mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use self::tally::Tally;
use crate::config::Mode;
use crate::dataplane::{
    Attached, Counters, Dataplane, Entry, EntryError, Events, LinkMode, PinError, RightCell,
};
use crate::link::Link;

/// The kernel program, where there is one.
pub(super) struct Fence(Option<Kernel>);

struct Kernel {
    dataplane: Dataplane,
    /// The links it was attached to, by index; nothing for one that refused.
    links: BTreeMap<u32, Option<Attached>>,
    /// What it was told; nothing of an entry that an earlier agent left.
    entries: BTreeMap<IpAddr, Option<Entry>>,
    tally: Tally,
}

impl Fence {
    /// Loads the kernel program and adopts what an earlier agent pinned under that name; says once why if it can't.
    pub(super) fn open(name: &str, mode: Mode) -> Self {
        if matches!(mode, Mode::Raw | Mode::Off) {
            return Self(None);
        }
        match Dataplane::open(name, mode) {
            Ok(dataplane) => {
                let entries = dataplane.entries().into_keys().map(|vip| (vip, None)).collect();
                Self(Some(Kernel { dataplane, links: BTreeMap::new(), entries, tally: Tally::default() }))
            }
            Err(error) => {
                tracing::error!(
                    "no kernel program: {error}; the agent's timer and the address's lifetime fence alone"
                );
                Self(None)
            }
        }
    }

    /// Whether there is a kernel program.
    pub(super) fn is_loaded(&self) -> bool {
        self.0.is_some()
    }

    /// A handle on the right, as the kernel program sees it.
    pub(super) fn right(&self) -> Option<RightCell> {
        self.0.as_ref().map(|kernel| kernel.dataplane.right())
    }

    /// What the kernel program tells, for one reader.
    pub(super) fn events(&mut self) -> Option<Events> {
        match self.0.as_mut()?.dataplane.events() {
            Ok(events) => Some(events),
            Err(error) => {
                tracing::error!("the kernel program's events cannot be read: {error}");
                None
            }
        }
    }

    /// Attaches the program to a link, once; one that refused is not asked again until it is another.
    pub(super) fn guard(&mut self, link: &Link) {
        let Some(kernel) = &mut self.0 else { return };
        if kernel.links.contains_key(&link.index) {
            return;
        }
        let attached = kernel.dataplane.attach(link);
        match &attached {
            Ok(attached) => tracing::info!(link = link.name, ?attached, "the kernel program fences"),
            Err(error) => tracing::error!("{error}"),
        }
        kernel.links.insert(link.index, attached.ok());
    }

    /// Takes the program off all links but these.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<u32>) {
        let Some(kernel) = &mut self.0 else { return };
        kernel.links.retain(|index, _| wanted.contains(index));
        let wanted: Vec<u32> = wanted.iter().copied().collect();
        if let Err(error) = kernel.dataplane.retain_links(&wanted) {
            tracing::error!("{error}");
        }
    }

    /// By what the program fences a link, if it does.
    pub(super) fn mode(&self, index: u32) -> Option<LinkMode> {
        self.0.as_ref()?.links.get(&index).copied().flatten().map(|attached| attached.mode)
    }

    /// Whether the program is on a link.
    pub(super) fn covers(&self, index: u32) -> bool {
        self.mode(index).is_some()
    }

    /// Whether the program makes VIPs on a link unanswered by the end of the right, in all that arrives and leaves.
    pub(super) fn is_whole(&self, index: u32) -> bool {
        let attached = self.0.as_ref().and_then(|kernel| kernel.links.get(&index).copied().flatten());
        attached.is_some_and(|attached| !attached.blind)
    }

    /// Stands to a VIP, for every frame from now on; costs nothing where it stands so already.
    pub(super) fn set(&mut self, vip: IpAddr, entry: Entry) -> Result<(), EntryError> {
        let Some(kernel) = &mut self.0 else { return Ok(()) };
        if kernel.entries.get(&vip) == Some(&Some(entry)) {
            return Ok(());
        }
        kernel.dataplane.set(vip, &entry)?;
        kernel.entries.insert(vip, Some(entry));
        Ok(())
    }

    /// The VIPs that the program knows.
    pub(super) fn known(&self) -> Vec<IpAddr> {
        self.0.iter().flat_map(|kernel| kernel.entries.keys().copied()).collect()
    }

    /// Leaves a VIP to the kernel's own stack, when its address is off.
    pub(super) fn leave(&mut self, vip: IpAddr) -> Result<(), EntryError> {
        let Some(kernel) = &mut self.0 else { return Ok(()) };
        if kernel.entries.contains_key(&vip) {
            kernel.count(vip);
            kernel.dataplane.remove(vip)?;
            kernel.entries.remove(&vip);
            kernel.tally.ended(vip);
        }
        Ok(())
    }

    /// Whether the program knows any VIP, and so may be counting.
    pub(super) fn counts(&self) -> bool {
        self.0.as_ref().is_some_and(|kernel| !kernel.entries.is_empty())
    }

    /// What the program counted of each VIP that it knows or knew; no count ever goes backwards.
    pub(super) fn counters(&mut self) -> BTreeMap<IpAddr, Counters> {
        let Some(kernel) = &mut self.0 else { return BTreeMap::new() };
        for vip in kernel.entries.keys().copied().collect::<Vec<_>>() {
            kernel.count(vip);
        }
        kernel.tally.totals()
    }

    /// Takes the program off all links, and everything that was to outlive the agent away.
    pub(super) fn close(self) -> Result<(), PinError> {
        self.0.map_or(Ok(()), |kernel| kernel.dataplane.close())
    }
}

impl Kernel {
    /// Reads what was counted of a VIP. What can't be read now is read the next time.
    fn count(&mut self, vip: IpAddr) {
        if let Ok(counters) = self.dataplane.counters(vip) {
            self.tally.read(vip, counters);
        }
    }
}
