//! The hands: stand to each VIP as the core orders, in the order that I4 asks for, and tell it what the machine allows.
//!
//! They have a thread of their own: a netlink request is carried out within the system call that sends it, and may wait
//! there for whoever else holds the kernel's routing lock. The orders are levels, not steps: each turn compares what is
//! ordered with what stands and does the difference, so a call that fails is tried again until it succeeds or the order
//! changes, and no VIP waits for another (I8).
//!
//! Cancel-safety: the loop awaits a channel, whose orders leave it only as they are received, the links' events and the
//! kernel program's, which are kept likewise, and a sleep that is made anew each turn.

mod bystanders;
mod defence;
mod draining;
mod facts;
mod fence;
mod guarded;
mod leftovers;
mod lifetime;
mod place;
mod standing;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

use self::bystanders::Bystanders;
use self::defence::Defence;
use self::facts::Facts;
use self::fence::Fence;
use self::guarded::Guarded;
use self::leftovers::Strays;
use self::lifetime::Lifeline;
use self::place::Place;
use super::channel::{News, Order};
use crate::announce::Announcements;
use crate::clock;
use crate::config::Mode;
use crate::dataplane::{DataplaneEvent, Kind, RightCell};
use crate::link::{LinkEvent, Links, OpenError};
use crate::observe::Counters;
use mantle_protocol::{Event, Instant, Revision, Role};

/// No deadline: some other event comes first.
const NEVER: Instant = Instant::from_boot(Duration::MAX);

/// How often the kernel program's counters are read while it has any.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How often is looked whether programs of others came before the kernel program.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the kernel program stays at the end when VIPs have just been given up. What waits to leave in their names is
/// dropped meanwhile; and to take programs off is to hold the kernel's routing lock for tens of milliseconds, for which a
/// successor in the same kernel, in another namespace, would wait before it can put the VIPs on.
pub(crate) const PARTING: Duration = Duration::from_millis(250);

/// The hands and what they hold.
pub(super) struct Hands {
    links: Links,
    announcements: Announcements,
    fence: Fence,
    bystanders: Bystanders,
    defence: Defence,
    strays: Strays,
    /// The links of the VIPs that are there, by the configuration's names.
    guarded: BTreeMap<Arc<str>, Guarded>,
    places: BTreeMap<IpAddr, Place>,
    /// The VIPs whose addresses are off, and until when the kernel program still lets nothing leave in their names.
    hushed: BTreeMap<IpAddr, Instant>,
    /// The session whose right it is, and until when that lasts.
    session: Revision,
    right: Instant,
    /// D: what a renewal adds to the right.
    span: Duration,
    lifeline: Lifeline,
    refresh: bool,
    count_at: Instant,
    /// When the connections of what is drained are counted next.
    connections_at: Instant,
    look_at: Instant,
    news: UnboundedSender<News>,
    counters: Arc<Counters>,
    told: Option<Facts>,
}

/// What the hands are given.
pub(super) struct Tools {
    /// The VIPs and their links, as the configuration names them.
    pub(super) vips: BTreeMap<IpAddr, Arc<str>>,
    /// What is announced, and how often.
    pub(super) announcements: Announcements,
    /// By what means the VIPs are fenced.
    pub(super) mode: Mode,
    /// The name that the kernel program is pinned under.
    pub(super) pin_name: String,
    /// Where it is noted what was changed on the links.
    pub(super) runtime_dir: PathBuf,
    /// D: what a renewal adds to the right.
    pub(super) right: Duration,
    /// Where the core is told.
    pub(super) news: UnboundedSender<News>,
    /// What is counted.
    pub(super) counters: Arc<Counters>,
}

impl Hands {
    /// Opens the links and the kernel program, removes what no VIP of the config accounts for, and tells the core what
    /// stands.
    pub(super) fn open(tools: Tools) -> Result<Self, OpenError> {
        let links = Links::open()?;
        let mut fence = Fence::open(&tools.pin_name, tools.mode);
        let places = tools.vips.into_iter().map(|(ip, link)| (ip, Place::new(link))).collect();
        let mut hands = Self {
            links,
            announcements: tools.announcements,
            defence: Defence::new(fence.events()),
            fence,
            bystanders: Bystanders::open(&tools.runtime_dir),
            strays: Strays::default(),
            guarded: BTreeMap::new(),
            places,
            hushed: BTreeMap::new(),
            session: 0,
            right: Instant::ZERO,
            span: tools.right,
            lifeline: Lifeline::covering(tools.right),
            refresh: false,
            count_at: Instant::ZERO,
            connections_at: NEVER,
            look_at: NEVER,
            news: tools.news,
            counters: tools.counters,
            told: None,
        };
        if hands.fence.is_raw() {
            // Where an address belongs follows from who answers on its link; and the kernel is kept quiet from the start.
            hands.guard_links(clock::now());
        }
        hands.find_leftovers(&tools.pin_name)?;
        hands.guard_links(clock::now());
        hands.hush_bystanders(clock::now());
        Ok(hands)
    }

    /// The right, as what answers for the VIPs sees it.
    pub(super) fn right(&self) -> Option<RightCell> {
        self.fence.right()
    }

    /// Runs until the core has ended, with everything off; then nothing of the kernel program stays.
    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        loop {
            let now = clock::now();
            self.guard_links(now);
            self.hush_bystanders(now);
            self.look_after_links(now);
            self.tell_facts(now);
            self.settle(now);
            self.tell_counts(now);
            self.count_connections(now);
            let counts_at = self.count_at.min(self.connections_at);
            let next = self.announce().min(self.next_retry(now)).min(counts_at).min(self.look_at);
            let next = next.min(self.bystanders.due());
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => break,
                },
                event = self.links.next() => self.notice(&event),
                event = self.defence.next() => self.hear(&event, clock::now()),
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
        if !self.hushed.is_empty() {
            sleep(PARTING).await;
        }
        self.fence.close();
        self.bystanders.close();
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Stand(ip, stance) => {
                if let Some(place) = self.places.get_mut(&ip) {
                    place.order(stance, clock::now());
                }
            }
            Order::Right(session, until) => {
                self.refresh |= until > self.right;
                (self.session, self.right) = (session, until);
            }
        }
    }

    fn notice(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Gone(index) => {
                self.bystanders.look_again();
                for place in self.places.values_mut().filter(|place| place.is_put_on(*index)) {
                    place.cleared();
                }
            }
            LinkEvent::Address { index, address, present: false } if address.ours => {
                if let Some(place) = self.places.get_mut(&address.ip)
                    && place.stands_on == Some(*index)
                {
                    place.vanished();
                    if matches!(place.ordered, Role::Owner { .. }) {
                        self.counters.address_restored.inc();
                        tracing::warn!(vip = %address.ip, link = %place.link, "somebody took the VIP's address off: putting it back");
                    }
                }
            }
            LinkEvent::Changed(_) => self.bystanders.look_again(),
            LinkEvent::Address { .. } => {}
        }
    }

    /// Takes in what the kernel program saw. A conflict is answered by announcing the VIP anew, while it is worn; the fence is
    /// told of in any case, as by then the VIP has mostly been given up.
    fn hear(&mut self, event: &DataplaneEvent, now: Instant) {
        if event.kind == Kind::Conflict && !self.places.get(&event.vip).is_some_and(Place::is_worn) {
            return;
        }
        if self.defence.is_due(event, now)
            && let Err(error) = self.announcements.start(event.vip, now)
        {
            tracing::error!("{error}");
        }
    }

    fn announce(&mut self) -> Instant {
        let round = self.announcements.poll(self.right, clock::now);
        self.counters.announcements.inc_by(round.sent);
        self.counters.announce_retries.inc_by(round.failed);
        round.next.unwrap_or(NEVER)
    }

    fn next_retry(&self, now: Instant) -> Instant {
        let retries = self.places.values().filter_map(|place| place.next_retry(now));
        retries.chain(self.strays.due()).chain(self.hushed.values().copied()).min().unwrap_or(NEVER)
    }

    fn tell(&self, event: Event) {
        self.send(News::Event(event));
    }

    fn send(&self, news: News) {
        // The core is gone only when the agent ends; then nobody needs the news.
        let _ = self.news.send(news);
    }
}
