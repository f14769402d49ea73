//! What the core is told of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{COUNT_EVERY, Hands, NEVER};
use crate::agent::channel::{LinkFence, News};
use crate::wire::Mac;
use mantle_protocol::{Event, Instant};

/// What the core was last told of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    links: BTreeMap<String, Mac>,
    waits: Vec<(IpAddr, Arc<str>)>,
    fences: BTreeMap<Arc<str>, LinkFence>,
    bound: Duration,
    macs: BTreeMap<IpAddr, Mac>,
}

impl Hands {
    /// Tells the core which VIPs could be worn, what the others wait for, and the bound of the slowest fence, if any of it
    /// has changed.
    pub(super) fn tell_facts(&mut self, now: Instant) {
        let mut facts = Facts {
            links: BTreeMap::new(),
            waits: Vec::new(),
            fences: BTreeMap::new(),
            bound: self.span,
            macs: BTreeMap::new(),
        };
        let mut ready = BTreeSet::new();
        for (ip, place) in &mut self.places {
            let found = self.links.inventory().find(&place.link);
            if let Ok(link) = &found {
                let fence = self.fence.on(link.index);
                facts.fences.insert(Arc::clone(&place.link), fence);
                if !fence.whole {
                    facts.bound = self.lifeline.bound();
                }
                if let Some(mac) = link.mac {
                    // Only the program can tell one connection from another.
                    if fence.whole {
                        facts.macs.insert(*ip, mac);
                    }
                    facts.links.insert(place.link.to_string(), mac);
                }
            }
            match place.waits_for(now, found) {
                Some(reason) => facts.waits.push((*ip, reason)),
                None => {
                    ready.insert(*ip);
                }
            }
        }
        if self.told.as_ref() == Some(&facts) {
            return;
        }
        let (links, bound, macs) = (facts.links.clone(), facts.bound, facts.macs.clone());
        self.send(News::Waits(facts.waits.clone()));
        self.send(News::Fences(facts.fences.clone()));
        self.told = Some(facts);
        self.tell(Event::Facts { links, ready, bound, macs });
    }

    /// Tells the core what the kernel program counted: every so often while it counts, and once more when that is over.
    pub(super) fn tell_counts(&mut self, now: Instant) {
        let counts = self.fence.counts();
        let begins = counts && self.count_at == NEVER;
        if now < self.count_at && !begins {
            return;
        }
        let counted = self.fence.counters();
        self.send(News::Counts(counted));
        self.count_at = if counts { now + COUNT_EVERY } else { NEVER };
    }
}
