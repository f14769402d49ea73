//! The node's other links: one of them may be in the same network as the VIPs' link, and the kernel answers on any link for
//! any address of the host, with that link's MAC.
//!
//! So it is kept quiet there for as long as the agent runs, whoever owns the VIPs: nothing has to be done at a change of
//! owner. The settings are given back when all addresses are off, also by the next agent or the guardian.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::{Hands, NEVER};
use crate::dataplane::{HOME, Quiet};
use crate::link::Link;
use mantle_protocol::Instant;

/// How soon is tried again what was refused: a link that has just come, or got another name, has its settings a moment later.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// And from then on.
const RETRY: Duration = Duration::from_secs(10);

/// The links without VIPs, and those on which the kernel was told to be quiet.
#[derive(Debug)]
pub(super) struct Bystanders {
    quiet: Quiet,
    /// Those whose settings could not be changed, and whether that has been said.
    refused: BTreeMap<u32, bool>,
    look_at: Instant,
}

impl Bystanders {
    /// Goes on from what an earlier agent changed.
    pub(super) fn open(runtime_dir: &Path) -> Self {
        Self { quiet: Quiet::open(runtime_dir), refused: BTreeMap::new(), look_at: Instant::ZERO }
    }

    /// What keeps the kernel quiet, on the VIPs' own links too where raw sockets answer.
    pub(super) fn quiet(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    /// Links have come or gone.
    pub(super) fn look_again(&mut self) {
        self.look_at = Instant::ZERO;
    }

    /// When to look at them.
    pub(super) fn due(&self) -> Instant {
        self.look_at
    }

    /// Gives everything back.
    pub(super) fn close(mut self) {
        self.retain(&BTreeSet::new());
    }

    fn hush(&mut self, link: &Link, now: Instant) {
        let Err(error) = self.quiet.hush(link.index, &link.name) else {
            self.refused.remove(&link.index);
            return;
        };
        let Some(is_said) = self.refused.insert(link.index, true) else {
            self.refused.insert(link.index, false);
            self.look_at = self.look_at.min(now + FIRST_RETRY);
            return;
        };
        if !is_said {
            tracing::error!(
                link = link.name,
                "{error}; should this link be in the network of a VIP, the kernel answers for that here too"
            );
        }
        self.look_at = self.look_at.min(now + RETRY);
    }

    /// Gives the settings of all links back but for these.
    fn retain(&mut self, wanted: &BTreeSet<u32>) {
        self.refused.retain(|index, _| wanted.contains(index));
        if let Err(error) = self.quiet.retain(wanted) {
            tracing::error!("a link's settings stay changed: {error}");
        }
    }
}

impl Hands {
    /// Keeps the kernel quiet about the VIPs on every link but theirs.
    pub(super) fn hush_bystanders(&mut self, now: Instant) {
        if now < self.bystanders.look_at {
            return;
        }
        self.bystanders.look_at = NEVER;
        let guarded: BTreeSet<u32> = self.guarded.values().map(|guarded| guarded.index).collect();
        let mut quiet: BTreeSet<u32> =
            guarded.iter().copied().filter(|index| self.fence.home(*index) != *index).collect();
        let speaks_arp =
            |link: &&Link| link.mac.is_some() && link.index != HOME && !guarded.contains(&link.index);
        let bystanders = self.links.inventory().links().filter(speaks_arp);
        for link in bystanders.filter(|_| !self.places.is_empty()) {
            self.bystanders.hush(link, now);
            quiet.insert(link.index);
        }
        self.bystanders.retain(&quiet);
    }
}
