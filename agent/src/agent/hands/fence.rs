//! What answers for the VIPs and fences them, as the hands use it: the kernel program, the raw fallback, or nothing but the
//! kernel's own stack.

mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use self::tally::Tally;
use crate::agent::channel::LinkFence;
use crate::config::Mode;
use crate::dataplane::{
    self, Attached, Counters, Dataplane, Entry, EntryError, Events, Quiet, Raw, RightCell, State,
};
use crate::link::Link;

/// What answers for the VIPs.
pub(super) enum Fence {
    /// The kernel's own stack: the agent's timer and the address's lifetime fence alone.
    Lifetime,
    /// The kernel program.
    Kernel(Box<Kernel>),
    /// Raw sockets: a frozen agent is silent, but IP is fenced by the address's lifetime alone.
    Raw(Raw),
}

pub(super) struct Kernel {
    dataplane: Dataplane,
    /// The links it was attached to, by index; nothing for one that refused.
    links: BTreeMap<u32, Option<Attached>>,
    /// What it was told; nothing of an entry that an earlier agent left.
    entries: BTreeMap<IpAddr, Option<Entry>>,
    tally: Tally,
}

impl Kernel {
    /// Whether it has yet to be told to stand so: not where it stands so already, nor of a link that it doesn't fence.
    fn has_to_hear(&self, vip: IpAddr, entry: &Entry) -> bool {
        let fences = self.links.get(&entry.link).is_some_and(Option::is_some);
        fences && self.entries.get(&vip) != Some(&Some(*entry))
    }
}

impl Fence {
    /// Loads the kernel program and adopts what an earlier agent pinned under that name, or opens the raw fallback; says
    /// once why if it can't.
    pub(super) fn open(name: &str, mode: Mode) -> Self {
        match mode {
            Mode::Off => Self::Lifetime,
            Mode::Raw => match Raw::open() {
                Ok(raw) => Self::Raw(raw),
                Err(error) => {
                    tracing::error!(
                        "no answers by raw sockets: {error}; the agent's timer and the address's lifetime fence alone"
                    );
                    Self::Lifetime
                }
            },
            Mode::Auto | Mode::Xdp | Mode::Tc => match Dataplane::open(name, mode) {
                Ok(dataplane) => {
                    let entries = dataplane.entries().into_keys().map(|vip| (vip, None)).collect();
                    Self::Kernel(Box::new(Kernel {
                        dataplane,
                        links: BTreeMap::new(),
                        entries,
                        tally: Tally::default(),
                    }))
                }
                Err(error) => {
                    tracing::error!(
                        "no kernel program: {error}; the agent's timer and the address's lifetime fence alone"
                    );
                    Self::Lifetime
                }
            },
        }
    }

    /// Whether there is a kernel program.
    pub(super) fn is_loaded(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    /// Whether it is the raw fallback.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self, Self::Raw(_))
    }

    /// A handle on the right, as what answers sees it.
    pub(super) fn right(&self) -> Option<RightCell> {
        match self {
            Self::Lifetime => None,
            Self::Kernel(kernel) => Some(kernel.dataplane.right()),
            Self::Raw(raw) => Some(raw.right()),
        }
    }

    /// What it tells, for one reader.
    pub(super) fn events(&mut self) -> Option<Events> {
        match self {
            Self::Lifetime => None,
            Self::Kernel(kernel) => match kernel.dataplane.events() {
                Ok(events) => Some(events),
                Err(error) => {
                    tracing::error!("the kernel program's events cannot be read: {error}");
                    None
                }
            },
            Self::Raw(raw) => raw.events(),
        }
    }

    /// Attaches to a link, for these VIPs, once; one that refused is not asked again until it is another.
    pub(super) fn guard(&mut self, link: &Link, vips: &[IpAddr], quiet: &mut Quiet) {
        match self {
            Self::Lifetime => {}
            Self::Kernel(kernel) => {
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
            Self::Raw(raw) => {
                if raw.answers_on(link.index) {
                    return;
                }
                match raw.attach(link, vips, quiet) {
                    Ok(()) => {
                        tracing::info!(link = link.name, "raw sockets answer, the kernel is kept quiet");
                    }
                    Err(error) => tracing::error!("{error}; the kernel's own stack answers there"),
                }
            }
        }
    }

    /// Looks after the kernel program on a link that it was attached to; says whether that fences otherwise now.
    pub(super) fn look_after(&mut self, link: &Link) -> bool {
        let Self::Kernel(kernel) = self else { return false };
        let Some(Some(known)) = kernel.links.get(&link.index).copied() else { return false };
        let found = kernel.dataplane.look_after(link, known);
        if let Err(error) = &found {
            tracing::error!("{error}");
        }
        let found = found.ok();
        kernel.links.insert(link.index, found);
        found != Some(known)
    }

    /// Gives up all links but these.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<u32>) {
        match self {
            Self::Lifetime => {}
            Self::Kernel(kernel) => {
                kernel.links.retain(|index, _| wanted.contains(index));
                let wanted: Vec<u32> = wanted.iter().copied().collect();
                if let Err(error) = kernel.dataplane.retain_links(&wanted) {
                    tracing::error!("{error}");
                }
            }
            Self::Raw(raw) => raw.retain(wanted),
        }
    }

    /// The index of the link that the addresses of a link's VIPs are put on: the loopback device where raw sockets answer,
    /// so that the kernel doesn't.
    pub(super) fn home(&self, index: u32) -> u32 {
        match self {
            Self::Raw(raw) if raw.answers_on(index) => dataplane::HOME,
            _ => index,
        }
    }

    /// How the kernel program fences a link.
    pub(super) fn on(&self, index: u32) -> LinkFence {
        let Self::Kernel(kernel) = self else { return LinkFence::default() };
        let attached = kernel.links.get(&index).copied().flatten();
        LinkFence {
            mode: attached.map(|attached| attached.mode),
            whole: attached.is_some_and(|attached| !attached.blind),
        }
    }

    /// Whether the program makes VIPs on a link unanswered by the end of the right, in all that arrives and leaves.
    pub(super) fn is_whole(&self, index: u32) -> bool {
        self.on(index).whole
    }

    /// Stands to a VIP, for every frame from now on; costs nothing where it stands so already.
    pub(super) fn set(&mut self, vip: IpAddr, entry: Entry) -> Result<(), EntryError> {
        match self {
            Self::Raw(raw) if raw.answers_on(entry.link) => raw.set(vip, &entry),
            Self::Kernel(kernel) if kernel.has_to_hear(vip, &entry) => {
                kernel.dataplane.set(vip, &entry)?;
                kernel.entries.insert(vip, Some(entry));
            }
            _ => {}
        }
        Ok(())
    }

    /// The VIPs that an earlier agent left to its kernel program otherwise than as their owner.
    pub(super) fn halfway(&self) -> BTreeSet<IpAddr> {
        match self {
            Self::Kernel(kernel) => {
                let entries = kernel.dataplane.entries().into_iter();
                entries.filter(|(_, found)| found.state != Some(State::Owner)).map(|(vip, _)| vip).collect()
            }
            Self::Lifetime | Self::Raw(_) => BTreeSet::new(),
        }
    }

    /// The VIPs that an earlier agent's kernel program knows.
    pub(super) fn known(&self) -> Vec<IpAddr> {
        match self {
            Self::Kernel(kernel) => kernel.entries.keys().copied().collect(),
            Self::Lifetime | Self::Raw(_) => Vec::new(),
        }
    }

    /// Knows a VIP no more, when its address is off.
    pub(super) fn leave(&mut self, vip: IpAddr) -> Result<(), EntryError> {
        match self {
            Self::Kernel(kernel) if kernel.entries.contains_key(&vip) => {
                kernel.count(vip);
                kernel.dataplane.remove(vip)?;
                kernel.entries.remove(&vip);
                kernel.tally.ended(vip);
            }
            Self::Lifetime | Self::Kernel(_) => {}
            Self::Raw(raw) => raw.remove(vip),
        }
        Ok(())
    }

    /// Whether it may be counting anything.
    pub(super) fn counts(&self) -> bool {
        match self {
            Self::Lifetime => false,
            Self::Kernel(kernel) => !kernel.entries.is_empty(),
            Self::Raw(_) => true,
        }
    }

    /// What was counted of each VIP that it knows or knew; no count of the kernel program's ever goes backwards.
    pub(super) fn counters(&mut self) -> BTreeMap<IpAddr, Counters> {
        match self {
            Self::Lifetime => BTreeMap::new(),
            Self::Kernel(kernel) => {
                for vip in kernel.entries.keys().copied().collect::<Vec<_>>() {
                    kernel.count(vip);
                }
                kernel.tally.totals()
            }
            Self::Raw(raw) => raw.counters(),
        }
    }

    /// Gives up all links, and takes away everything that was to outlive the agent.
    pub(super) fn close(self) {
        match self {
            Self::Lifetime => {}
            Self::Kernel(kernel) => {
                if let Err(error) = kernel.dataplane.close() {
                    tracing::error!("the kernel program stays: {error}");
                }
            }
            Self::Raw(raw) => drop(raw),
        }
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
