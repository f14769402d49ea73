//! What an earlier agent left on the links.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::Hands;
use crate::clock;
use crate::dataplane::Dataplane;
use crate::link::{Lifetime, OpenError};
use mantle_protocol::{Event, Instant, Role};

/// How often the removal is tried.
const RETRY: Duration = Duration::from_secs(1);

/// Addresses that no VIP of the config accounts for and that could not be removed yet.
#[derive(Debug, Default)]
pub(super) struct Strays {
    addresses: Vec<(u32, IpAddr)>,
    /// The kernel program that fences them goes with the last of them: pinned by an agent that had one, of no use to
    /// this one, which has none.
    pinned: Option<String>,
    retry_at: Instant,
}

impl Strays {
    /// When the removal is tried next.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.addresses.is_empty() || self.pinned.is_some()).then_some(self.retry_at)
    }

    /// Whether an address of this VIP may still stand where it does not belong.
    pub(super) fn hold(&self, vip: IpAddr) -> bool {
        self.addresses.iter().any(|(_, ip)| *ip == vip)
    }
}

impl Hands {
    /// Tells the core what stands. An agent without the kernel program takes off what one with it left: those addresses
    /// are fenced only while its program is there, and that would drop what comes for them.
    pub(super) fn find_leftovers(&mut self, pin_name: &str) -> Result<(), OpenError> {
        let fenced = !self.fence.is_loaded() && Dataplane::is_pinned(pin_name);
        self.strays.pinned = fenced.then(|| pin_name.to_owned());
        let mut found = BTreeSet::new();
        for (index, ip) in self.links.leftovers()? {
            let rightful = self.places.get(&ip).is_some_and(|place| {
                self.links
                    .inventory()
                    .find(&place.link)
                    .is_ok_and(|link| self.fence.home(link.index) == index)
            });
            match self.places.get_mut(&ip) {
                Some(place) if rightful && !fenced => {
                    place.put(index, Lifetime::LONGEST);
                    place.placed(index);
                    found.insert(ip);
                }
                _ => self.strays.addresses.push((index, ip)),
            }
        }
        self.remove_strays(clock::now());
        found.extend(self.strays.addresses.iter().map(|(_, ip)| *ip));
        for vip in self.fence.known() {
            if !found.contains(&vip) {
                self.leave(vip);
            }
        }
        let halfway = self.fence.halfway();
        let halfway = found.iter().copied().filter(|vip| halfway.contains(vip)).collect();
        self.tell(Event::Found { standing: found, halfway });
        Ok(())
    }

    pub(super) fn remove_strays(&mut self, now: Instant) {
        if self.strays.due().is_none_or(|due| now < due) {
            return;
        }
        self.strays.retry_at = now + RETRY;
        let strays = std::mem::take(&mut self.strays.addresses);
        let removed = self.links.remove_all(&strays);
        for ((index, ip), removed) in strays.into_iter().zip(removed) {
            match removed {
                Ok(()) => {
                    tracing::info!(vip = %ip, "removed what an earlier agent left");
                    // A VIP of the config has an order of its own, whose confirmation is another.
                    if !self.places.contains_key(&ip) {
                        self.leave(ip);
                        self.tell(Event::RoleConfirmed(ip, Role::Off));
                    }
                }
                Err(error) => {
                    tracing::error!("what an earlier agent left stays until its lifetime ends: {error}");
                    self.strays.addresses.push((index, ip));
                }
            }
        }
        if self.strays.addresses.is_empty()
            && let Some(name) = self.strays.pinned.take()
            && let Err(error) = Dataplane::discard(&name)
        {
            tracing::error!("an earlier agent's kernel program stays: {error}");
            self.strays.pinned = Some(name);
        }
    }

    /// Leaves a VIP whose address is off to the kernel's own stack.
    pub(super) fn leave(&mut self, vip: IpAddr) {
        if let Err(error) = self.fence.leave(vip) {
            tracing::error!("{error}");
        }
    }
}
