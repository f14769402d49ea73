//! Standing to the VIPs: what is given up, and what is taken up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::Hands;
use super::guarded::Guarded;
use super::place::Place;
use crate::clock;
use crate::dataplane::{Entry, State};
use crate::link::{Address, Fitness, Lifetime, PutError};
use crate::wire::Mac;
use mantle_protocol::{Event, Instant, Role};

/// How long nothing leaves with a VIP as its source after the address is off: answers made while the fence kept the
/// neighbour from being asked for wait in the kernel for its MAC, for three tries a second apart.
const HUSH: Duration = Duration::from_secs(4);

/// How often the kernel is asked whether it takes in what is sent to an address that it has acknowledged.
const TAKEN_IN: Duration = Duration::from_millis(1);

/// Nothing is held up by a kernel that does not say.
fn cannot_tell(ip: IpAddr, errno: Errno) -> bool {
    tracing::warn!(vip = %ip, "cannot ask whether the kernel takes in what is sent to the VIP: {errno}");
    true
}

impl Hands {
    /// Does the difference between what is ordered and what stands: first what is to be given up.
    pub(super) fn settle(&mut self, now: Instant) {
        self.remove_strays(now);
        self.give_up(now);
        self.take_off_unfenced(now);
        self.take_up(now);
        self.end_hush(now);
    }

    /// Silence first, of what answers on the link; then the address, and with the kernel's word that it is off the
    /// confirmation (I4).
    fn give_up(&mut self, now: Instant) {
        let given_up: Vec<IpAddr> = self
            .places
            .iter()
            .filter(|(_, place)| place.is_ordered && place.ordered == Role::Off && place.retry_at <= now)
            .map(|(ip, _)| *ip)
            .collect();
        let mut standing = Vec::new();
        for ip in &given_up {
            self.announcements.stop(*ip);
            let place = &self.places[ip];
            if let Some((index, _)) = place.put_on {
                if let Some(guarded) = self.guarded.get(&place.link).copied() {
                    self.set(*ip, (State::Prepared, None), guarded);
                }
                standing.push((index, *ip));
            }
        }
        let removed = self.links.remove_all(&standing);
        for ((_, ip), removed) in standing.into_iter().zip(removed) {
            let Some(place) = self.places.get_mut(&ip) else { continue };
            match removed {
                Ok(()) => {
                    place.cleared();
                    if self.fence.is_loaded() {
                        self.hushed.insert(ip, now + HUSH);
                    }
                }
                Err(error) => place.failed(now, &error),
            }
        }
        for ip in given_up {
            if self.places[&ip].put_on.is_none() && !self.strays.hold(ip) {
                if !self.hushed.contains_key(&ip) {
                    self.leave(ip);
                }
                self.confirm(ip);
            }
        }
    }

    /// Leaves to the kernel's own stack what was hushed for long enough.
    fn end_hush(&mut self, now: Instant) {
        for ip in self.hushed.extract_if(.., |_, until| now >= *until).map(|(ip, _)| ip).collect::<Vec<_>>() {
            self.leave(ip);
        }
    }

    /// Takes off what was put for longer than a right, as the kernel program fenced it, and is fenced by that no more (I2).
    fn take_off_unfenced(&mut self, now: Instant) {
        let longest = self.lifeline.lifetime(false);
        let outlasts = |place: &Place| place.put_on.is_some_and(|(_, lifetime)| lifetime > longest);
        let outlasting = self.places.iter().filter(|(_, place)| place.retry_at <= now && outlasts(place));
        let unfenced = outlasting.filter_map(|(ip, place)| {
            let guarded = *self.guarded.get(&place.link)?;
            (!self.fence.is_whole(guarded.index)).then_some((*ip, guarded))
        });
        for (ip, guarded) in unfenced.collect::<Vec<_>>() {
            self.take_off(ip, guarded);
        }
    }

    /// Takes an address off for as long as the fences do not allow it.
    fn take_off(&mut self, ip: IpAddr, guarded: Guarded) {
        self.announcements.stop(ip);
        self.set(ip, (State::Prepared, None), guarded);
        let Some(place) = self.places.get_mut(&ip) else { return };
        let Some((index, _)) = place.put_on else { return };
        match self.links.remove(index, ip) {
            Ok(()) => place.cleared(),
            Err(error) => place.failed(clock::now(), &error),
        }
    }

    fn take_up(&mut self, now: Instant) {
        let refresh = std::mem::take(&mut self.refresh);
        if now >= self.right {
            return;
        }
        let (mut ordered, mut wanted) = (Vec::new(), BTreeMap::<Lifetime, Vec<_>>::new());
        for (ip, place) in &mut self.places {
            if place.ordered == Role::Off || place.retry_at > now {
                continue;
            }
            let Some(guarded) = self.guarded.get(&place.link) else { continue };
            // An acknowledgement that came late leaves the address no full lifetime within the bound (I2), and a record
            // that promises a faster fence than there is leaves it none. Only the program can take part in a handoff.
            let fenced = self.fence.is_whole(guarded.index);
            let bounded = match place.ordered {
                Role::Owner { bound, .. } => {
                    bound >= self.lifeline.bound() && self.lifeline.allows(now, self.right)
                }
                _ => false,
            };
            if !fenced && !bounded {
                place.kept_off(now, self.span);
                continue;
            }
            let stands = place.stands_on == Some(guarded.home);
            // Nobody waits for the kernel's routing lock where only the program has to be told.
            if fenced && stands && place.stood.is_none() {
                ordered.push((*ip, *guarded));
            }
            if !stands || refresh || (place.stood.is_none() && !fenced) {
                wanted.entry(self.lifeline.lifetime(fenced)).or_default().push((*ip, *guarded));
            }
        }
        for (ip, guarded) in ordered {
            self.hushed.remove(&ip);
            self.placed(ip, guarded, now);
        }
        for (lifetime, wanted) in wanted {
            self.put(wanted, lifetime, now);
        }
    }

    /// Puts addresses on their links, or begins their lifetime anew.
    fn put(&mut self, wanted: Vec<(IpAddr, Guarded)>, lifetime: Lifetime, now: Instant) {
        // What comes before everything is in place is dropped rather than half answered.
        for (ip, guarded) in &wanted {
            self.hushed.remove(ip);
            if self.places[ip].stands_on != Some(guarded.home) {
                self.set(*ip, (State::Prepared, None), *guarded);
            }
        }
        let addresses: Vec<_> = wanted.iter().map(|(ip, guarded)| (guarded.home, *ip)).collect();
        let put = self.links.put_all(&addresses, lifetime);
        for ((ip, guarded), put) in wanted.into_iter().zip(put) {
            let Some(place) = self.places.get_mut(&ip) else { continue };
            match put {
                Ok(()) => {
                    place.put(guarded.home, lifetime);
                    self.placed(ip, guarded, now);
                }
                Err(error) => {
                    if matches!(error, PutError::Unanswered { .. }) {
                        place.maybe_put(guarded.home, lifetime);
                    }
                    place.failed(now, &error);
                }
            }
        }
    }

    /// The address is there: stood to as ordered from now on, announced if worn, and confirmed to the core.
    fn placed(&mut self, ip: IpAddr, guarded: Guarded, now: Instant) {
        let Some(place) = self.places.get_mut(&ip) else { return };
        place.placed(guarded.home);
        let Some(state) = place.state() else { return };
        // The request may have waited in the kernel: a lifetime that began too late would end too late (I2).
        if !self.fence.is_whole(guarded.index) && !self.lifeline.allows(clock::now(), self.right) {
            self.take_off(ip, guarded);
            return;
        }
        if !self.set(ip, state, guarded) {
            return;
        }
        let Some(place) = self.places.get_mut(&ip) else { return };
        // On this node's word that it is prepared the VIP moves, and nothing is to be lost then.
        if matches!(place.ordered, Role::Prepared { .. })
            && !self.links.takes_in(ip).unwrap_or_else(|errno| cannot_tell(ip, errno))
        {
            place.retry_at = now + TAKEN_IN;
            return;
        }
        place.succeeded();
        match place.ordered {
            Role::Owner { epoch, .. } if place.announced != Some(epoch) => {
                match self.announcements.start(ip, now) {
                    Ok(()) => place.announced = Some(epoch),
                    Err(error) => place.failed(now, &error),
                }
            }
            Role::Owner { .. } => {}
            _ => self.announcements.stop(ip),
        }
        self.confirm(ip);
    }

    /// Tells what answers on the link how to stand to a VIP; says whether it does.
    fn set(&mut self, ip: IpAddr, (state, peer): (State, Option<Mac>), guarded: Guarded) -> bool {
        let entry = Entry {
            link: guarded.index,
            mac: guarded.mac,
            state,
            peer,
            router: guarded.router,
            session: self.session,
            asks_as: self.asks_as(ip, guarded.index),
        };
        let Err(error) = self.fence.set(ip, entry) else { return true };
        if let Some(place) = self.places.get_mut(&ip) {
            place.failed(clock::now(), &error);
        }
        false
    }

    /// An address of the link's own, in whose name the node can ask for its neighbours while it hands the VIP over.
    fn asks_as(&self, vip: IpAddr, index: u32) -> Option<IpAddr> {
        let fits = |address: &&Address| {
            address.ip.is_ipv4() == vip.is_ipv4()
                && !address.ours
                && address.fitness < Fitness::Tentative
                && !self.places.contains_key(&address.ip)
        };
        let addresses = self.links.inventory().addresses(index).filter(fits);
        addresses.min_by_key(|address| address.fitness).map(|address| address.ip)
    }

    /// Tells the core once that a VIP stands as ordered.
    fn confirm(&mut self, ip: IpAddr) {
        let Some(place) = self.places.get_mut(&ip) else { return };
        if place.stood != Some(place.ordered) {
            place.stood = Some(place.ordered);
            let stance = place.ordered;
            self.tell(Event::RoleConfirmed(ip, stance));
        }
    }
}
