//! The links of the VIPs: fenced by the kernel program, and announced on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::Hands;
use super::place::Place;
use crate::announce::{Announcer, Frames};
use crate::link::forwards_ipv6;
use crate::protocol::Instant;
use crate::wire::Mac;

/// A link that carries VIPs, as it was when its frames were built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guarded {
    /// Its index.
    pub(super) index: u32,
    /// Its MAC.
    pub(super) mac: Mac,
    /// Whether the node forwards IPv6 on it.
    pub(super) router: bool,
}

impl Hands {
    /// Has the kernel program fence each link that is there, and builds its frames: once, and anew when its MAC or index
    /// changes; what is worn on it is then announced anew.
    pub(super) fn guard_links(&mut self, now: Instant) {
        let mut changed = false;
        for link in self.places.values().map(|place| Arc::clone(&place.link)).collect::<BTreeSet<_>>() {
            let found = self.links.inventory().find(&link).ok();
            let Some((found, mac)) = found.and_then(|found| Some((found.clone(), found.mac?))) else {
                if self.guarded.remove(&link).is_some() {
                    self.announcements.detach(&link);
                    changed = true;
                }
                continue;
            };
            if self.guarded.get(&link).is_some_and(|known| (known.index, known.mac) == (found.index, mac)) {
                continue;
            }
            changed = true;
            self.fence.guard(&found);
            let guarded = Guarded { index: found.index, mac, router: forwards_ipv6(&found.name) };
            match Announcer::open(&found.name, found.index) {
                Ok(announcer) => self.attach(&link, announcer, guarded, now),
                Err(error) => tracing::error!("{error}"),
            }
        }
        if changed {
            self.fence.retain(&self.guarded.values().map(|guarded| guarded.index).collect());
        }
    }

    fn attach(&mut self, link: &Arc<str>, announcer: Announcer, guarded: Guarded, now: Instant) {
        let vips: Vec<IpAddr> =
            self.places.iter().filter(|(_, place)| place.link == *link).map(|(ip, _)| *ip).collect();
        let frames = vips.iter().map(|ip| (*ip, Frames::new(*ip, guarded.mac, guarded.router)));
        self.announcements.attach(link, announcer, frames);
        self.guarded.insert(Arc::clone(link), guarded);
        self.refresh = true;
        for ip in vips {
            let worn = self.places.get(&ip).is_some_and(Place::is_worn);
            if worn && let Err(error) = self.announcements.start(ip, now) {
                tracing::error!("{error}");
            }
        }
    }
}
