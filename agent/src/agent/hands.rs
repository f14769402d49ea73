//! The hands: stand to each VIP as the core orders, in the order that I4 asks for, and tell it what the machine allows.
//!
//! They have a thread of their own: a netlink request is carried out within the system call that sends it, and may wait
//! there for whoever else holds the kernel's routing lock. The orders are levels, not steps: each turn compares what is
//! ordered with what stands and does the difference, so a call that fails is tried again until it succeeds or the order
//! changes, and no VIP waits for another (I8).
//!
//! Cancel-safety: the loop awaits a channel, whose orders leave it only as they are received, the links' events, which
//! are kept likewise, and a sleep that is made anew each turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

use super::channel::{News, Order};
use super::lifetime::Lifeline;
use super::place::Place;
use crate::announce::{Announcements, Announcer, Frames};
use crate::clock;
use crate::link::{LinkEvent, Links, OpenError, PutError, forwards_ipv6};
use crate::observe::Counters;
use crate::protocol::{Event, Instant, Stance};
use crate::wire::Mac;

/// No deadline: some other event comes first.
const NEVER: Instant = Instant::from_boot(Duration::MAX);

/// How often the removal of what an earlier agent left is tried.
const STRAY_RETRY: Duration = Duration::from_secs(1);

/// The hands and what they hold.
pub(super) struct Hands {
    links: Links,
    announcements: Announcements,
    /// Addresses that no VIP of the config accounts for and that could not be removed yet.
    strays: Vec<(u32, IpAddr)>,
    strays_due: Instant,
    /// The links that are announced on, by the configuration's names, and what their frames were built for.
    attached: BTreeMap<Arc<str>, (u32, Mac)>,
    places: BTreeMap<IpAddr, Place>,
    right: Instant,
    lifeline: Lifeline,
    refresh: bool,
    news: UnboundedSender<News>,
    counters: Arc<Counters>,
    told: Option<Facts>,
}

/// What the core was last told of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    links: BTreeMap<String, Mac>,
    waits: Vec<(IpAddr, Arc<str>)>,
}

impl Hands {
    /// Opens the links, removes what no VIP of the config accounts for, and tells the core what stands.
    pub(super) fn open(
        vips: impl IntoIterator<Item = (IpAddr, Arc<str>)>,
        announcements: Announcements,
        lifeline: Lifeline,
        news: UnboundedSender<News>,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        let links = Links::open()?;
        let places = vips.into_iter().map(|(ip, link)| (ip, Place::new(link))).collect();
        let mut hands = Self {
            links,
            announcements,
            strays: Vec::new(),
            strays_due: Instant::ZERO,
            attached: BTreeMap::new(),
            places,
            right: Instant::ZERO,
            lifeline,
            refresh: false,
            news,
            counters,
            told: None,
        };
        hands.find_leftovers()?;
        Ok(hands)
    }

    /// Runs until the core is gone.
    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        loop {
            let now = clock::now();
            self.attach_links(now);
            self.tell_facts(now);
            self.settle(now);
            let next = self.announce().min(self.next_retry(now));
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                event = self.links.next() => self.notice(&event),
                () = sleep(next.since(clock::now())) => {}
            }
            // What has come in meanwhile is done in one go.
            while let Ok(order) = orders.try_recv() {
                self.take(order);
            }
            while let Some(event) = self.links.next().now_or_never() {
                self.notice(&event);
            }
        }
    }

    fn find_leftovers(&mut self) -> Result<(), OpenError> {
        let mut found = BTreeSet::new();
        for (index, ip) in self.links.leftovers()? {
            let rightful = self.places.get(&ip).is_some_and(|place| {
                self.links.inventory().find(&place.link).is_ok_and(|link| link.index == index)
            });
            match self.places.get_mut(&ip) {
                Some(place) if rightful => {
                    place.placed(index);
                    found.insert(ip);
                }
                _ => self.strays.push((index, ip)),
            }
        }
        self.remove_strays(clock::now());
        found.extend(self.strays.iter().map(|(_, ip)| *ip));
        self.tell(Event::Found(found));
        Ok(())
    }

    fn remove_strays(&mut self, now: Instant) {
        if self.strays.is_empty() || now < self.strays_due {
            return;
        }
        self.strays_due = now + STRAY_RETRY;
        let removed = self.links.remove_all(&self.strays);
        for ((index, ip), removed) in std::mem::take(&mut self.strays).into_iter().zip(removed) {
            match removed {
                Ok(()) => {
                    tracing::info!(vip = %ip, "removed what an earlier agent left");
                    // A VIP of the config has an order of its own, whose confirmation is another.
                    if !self.places.contains_key(&ip) {
                        self.tell(Event::Stood(ip, Stance::Off));
                    }
                }
                Err(error) => {
                    tracing::error!("what an earlier agent left stays until its lifetime ends: {error}");
                    self.strays.push((index, ip));
                }
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Stand(ip, stance) => {
                if let Some(place) = self.places.get_mut(&ip) {
                    place.order(stance);
                }
            }
            Order::Right(_, until) => {
                self.refresh |= until > self.right;
                self.right = until;
            }
        }
    }

    fn notice(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Gone(index) => {
                for place in self.places.values_mut().filter(|place| place.put_on == Some(*index)) {
                    place.cleared();
                }
            }
            LinkEvent::Address { index, address, present: false } if address.ours => {
                if let Some(place) = self.places.get_mut(&address.ip)
                    && place.stands_on == Some(*index)
                {
                    place.vanished();
                    if matches!(place.ordered, Stance::Owner { .. }) {
                        self.counters.address_restored.inc();
                        tracing::warn!(vip = %address.ip, link = %place.link, "somebody took the VIP's address off: putting it back");
                    }
                }
            }
            LinkEvent::Changed(_) | LinkEvent::Address { .. } => {}
        }
    }

    /// Does the difference between what is ordered and what stands: first what is to be given up.
    fn settle(&mut self, now: Instant) {
        self.remove_strays(now);
        self.give_up(now);
        self.take_up(now);
    }

    fn give_up(&mut self, now: Instant) {
        let mut standing = Vec::new();
        for (ip, place) in &mut self.places {
            if place.is_ordered && place.ordered == Stance::Off && place.retry_at <= now {
                self.announcements.stop(*ip);
                if let Some(index) = place.put_on {
                    standing.push((index, *ip));
                }
            }
        }
        let removed = self.links.remove_all(&standing);
        for ((_, ip), removed) in standing.into_iter().zip(removed) {
            let Some(place) = self.places.get_mut(&ip) else { continue };
            match removed {
                Ok(()) => place.cleared(),
                Err(error) => place.failed(now, &error),
            }
        }
        for ip in self.places.keys().copied().collect::<Vec<_>>() {
            self.confirm(ip, |place| place.ordered == Stance::Off && place.put_on.is_none());
        }
    }

    fn take_up(&mut self, now: Instant) {
        let refresh = std::mem::take(&mut self.refresh);
        // An acknowledgement that came late leaves the address no full lifetime within the bound (I2).
        if !self.lifeline.allows(now, self.right) {
            return;
        }
        let mut wanted = Vec::new();
        for (ip, place) in &mut self.places {
            if !matches!(place.ordered, Stance::Owner { .. }) || place.retry_at > now {
                continue;
            }
            if let Ok(link) = self.links.inventory().find(&place.link)
                && (place.stands_on != Some(link.index) || refresh)
            {
                wanted.push((link.index, *ip));
            }
        }
        let put = self.links.put_all(&wanted, self.lifeline.lifetime());
        for ((index, ip), put) in wanted.into_iter().zip(put) {
            let Some(place) = self.places.get_mut(&ip) else { continue };
            match put {
                Ok(()) => {
                    let news = place.stands_on != Some(index) || place.stood.is_none();
                    place.placed(index);
                    place.succeeded();
                    if news && let Err(error) = self.announcements.start(ip, now) {
                        place.failed(now, &error);
                    }
                }
                Err(error) => {
                    if matches!(error, PutError::Unanswered { .. }) {
                        place.put_on = Some(index);
                    }
                    place.failed(now, &error);
                }
            }
        }
        for ip in self.places.keys().copied().collect::<Vec<_>>() {
            self.confirm(ip, |place| {
                matches!(place.ordered, Stance::Owner { .. }) && place.stands_on.is_some()
            });
        }
    }

    /// Tells the core once that a VIP stands as ordered.
    fn confirm(&mut self, ip: IpAddr, stands: impl Fn(&Place) -> bool) {
        let Some(place) = self.places.get_mut(&ip) else { return };
        if place.stood != Some(place.ordered) && place.is_ordered && stands(place) {
            place.stood = Some(place.ordered);
            let stance = place.ordered;
            self.tell(Event::Stood(ip, stance));
        }
    }

    fn announce(&mut self) -> Instant {
        let round = self.announcements.poll(self.right, clock::now);
        self.counters.announcements.inc_by(round.sent);
        self.counters.announce_retries.inc_by(round.failed);
        round.next.unwrap_or(NEVER)
    }

    /// Builds the frames of each link that is there, once, and anew when its MAC or index changes; what is worn on it is
    /// then announced anew.
    fn attach_links(&mut self, now: Instant) {
        for link in self.places.values().map(|place| Arc::clone(&place.link)).collect::<BTreeSet<_>>() {
            let found = self.links.inventory().find(&link).ok();
            let Some((index, mac)) = found.and_then(|found| Some((found.index, found.mac?))) else {
                if self.attached.remove(&link).is_some() {
                    self.announcements.detach(&link);
                }
                continue;
            };
            if self.attached.get(&link) == Some(&(index, mac)) {
                continue;
            }
            let name = found.map_or_else(|| link.to_string(), |found| found.name.clone());
            match Announcer::open(&name, index) {
                Ok(announcer) => self.attach(&link, announcer, forwards_ipv6(&name), index, mac, now),
                Err(error) => tracing::error!("{error}"),
            }
        }
    }

    fn attach(
        &mut self,
        link: &Arc<str>,
        announcer: Announcer,
        router: bool,
        index: u32,
        mac: Mac,
        now: Instant,
    ) {
        let vips: Vec<IpAddr> =
            self.places.iter().filter(|(_, place)| place.link == *link).map(|(ip, _)| *ip).collect();
        let frames = vips.iter().map(|ip| (*ip, Frames::new(*ip, mac, router)));
        self.announcements.attach(link, announcer, frames);
        self.attached.insert(Arc::clone(link), (index, mac));
        for ip in vips {
            let worn = self.places.get(&ip).is_some_and(Place::is_worn);
            if worn && let Err(error) = self.announcements.start(ip, now) {
                tracing::error!("{error}");
            }
        }
    }

    fn next_retry(&self, now: Instant) -> Instant {
        let retries = self.places.values().filter_map(|place| place.next_retry(now));
        let strays = (!self.strays.is_empty()).then_some(self.strays_due);
        retries.chain(strays).min().unwrap_or(NEVER)
    }

    /// Tells the core which VIPs could be worn, and what the others wait for, if that has changed.
    fn tell_facts(&mut self, now: Instant) {
        let mut facts = Facts { links: BTreeMap::new(), waits: Vec::new() };
        let mut ready = BTreeSet::new();
        for (ip, place) in &mut self.places {
            let found = self.links.inventory().find(&place.link);
            if let Ok(link) = &found
                && let Some(mac) = link.mac
            {
                facts.links.insert(place.link.to_string(), mac);
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
        let links = facts.links.clone();
        self.send(News::Waits(facts.waits.clone()));
        self.told = Some(facts);
        self.tell(Event::Facts { links, ready, bound: self.lifeline.bound() });
    }

    fn tell(&self, event: Event) {
        self.send(News::Event(event));
    }

    fn send(&self, news: News) {
        // The core is gone only when the agent ends; then nobody needs the news.
        let _ = self.news.send(news);
    }
}
