//! The links of the VIPs: fenced, or answered on by raw sockets, and announced on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::place::Place;
use super::{Hands, LOOK_EVERY, NEVER};
use crate::announce::{Announcer, Frames};
use crate::link::forwards_ipv6;
use crate::wire::Mac;
use mantle_protocol::Instant;

/// A link that carries VIPs, as it was when its frames were built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guarded {
    /// Its index.
    pub(super) index: u32,
    /// The index of the link that its VIPs' addresses are put on.
    pub(super) home: u32,
    /// Its MAC.
    pub(super) mac: Mac,
    /// Whether the node forwards IPv6 on it.
    pub(super) router: bool,
}

impl Hands {
    /// Fences each link that is there, and builds its frames: once, and anew when its MAC or index
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
            let vips: Vec<IpAddr> =
                self.places.iter().filter(|(_, place)| place.link == link).map(|(ip, _)| *ip).collect();
            self.fence.guard(&found, &vips, self.bystanders.quiet());
            let home = self.fence.home(found.index);
            let guarded = Guarded { index: found.index, home, mac, router: forwards_ipv6(&found.name) };
            match Announcer::open(&found.name, found.index) {
                Ok(announcer) => self.attach(&link, &vips, announcer, guarded, now),
                Err(error) => tracing::error!("{error}"),
            }
        }
        if changed {
            self.fence.retain(&self.guarded.values().map(|guarded| guarded.index).collect());
            self.bystanders.look_again();
        }
    }

    /// Looks every so often whether the kernel program still sees what comes and goes: the kernel tells nobody of programs
    /// that others put before it.
    pub(super) fn look_after_links(&mut self, now: Instant) {
        if now < self.look_at {
            return;
        }
        let guarded: Vec<u32> = self.guarded.values().map(|guarded| guarded.index).collect();
        self.look_at = if self.fence.is_loaded() && !guarded.is_empty() { now + LOOK_EVERY } else { NEVER };
        for index in guarded {
            if let Some(link) = self.links.inventory().link(index).cloned()
                && self.fence.look_after(&link)
            {
                let fence = self.fence.on(index);
                tracing::info!(link = link.name, mode = ?fence.mode, whole = fence.whole, "the fence has changed");
            }
        }
    }

    fn attach(
        &mut self,
        link: &Arc<str>,
        vips: &[IpAddr],
        announcer: Announcer,
        guarded: Guarded,
        now: Instant,
    ) {
        let frames = vips.iter().map(|ip| (*ip, Frames::new(*ip, guarded.mac, guarded.router)));
        self.announcements.attach(link, announcer, frames);
        self.guarded.insert(Arc::clone(link), guarded);
        self.refresh = true;
        self.look_at = self.look_at.min(now + LOOK_EVERY);
        for ip in vips {
            let worn = self.places.get(ip).is_some_and(Place::is_worn);
            if worn && let Err(error) = self.announcements.start(*ip, now) {
                tracing::error!("{error}");
            }
        }
    }
}
