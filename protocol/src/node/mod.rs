//! A node: one state machine for its session, its lease and all of its VIPs.
//!
//! Everything is level-triggered: an event changes what is known, and [`Node::handle`] then compares what is known with
//! what has been asked for and gives the difference as effects. So a late, doubled or missing event can delay a step,
//! never cause a wrong one.
//!
//! ```text
//!            claim / take over: Txn acknowledged
//!  Off ───────────────────────────────────────────▶ Owner
//!   ▲                                                 │ lease over (I2), session lost,
//!   │                                                 │ release, record names another
//!   └─────────────── confirmed by the kernel ◀────────┘
//!        then, and only then, a release is written (I4)
//! ```
//!
//! A node is owner of a VIP exactly while the record names its live session, its lease lasts and it is not about to leave
//! it. The record is known from a [`View`] that never goes back in time (I6), the lease from acknowledged renewals
//! counted from before they were sent (I3).

mod event;
mod following;
mod handing;
mod inherited;
mod moving;
mod owning;
mod peers;
mod refusal;
mod session;
mod status;
mod vip;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;

pub use event::{Effect, Event, How, Notice, Purpose, Request};
use following::Offers;
use peers::Peers;
pub use refusal::NoHandoff;
use session::Own;
pub use session::Standing;
pub use status::{PeerStatus, VipStatus};
use vip::{Held, Vip};

use crate::{
    Answer, Change, Entry, Health, Instant, Key, NodeName, Revision, Role, Timing, Txn, Value, View,
    WhenNobodyIsReady, Write,
};

/// What a node is given once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Its name.
    pub name: NodeName,
    /// The machine and this boot of it; see [`Session::machine`](super::Session::machine).
    pub machine: String,
    /// Its timing.
    pub timing: Timing,
    /// Who goes first.
    pub priority: u32,
    /// What it does with a VIP whose check fails on it while no other node is ready for it.
    pub when_nobody_is_ready: WhenNobodyIsReady,
    /// How long it serves the connections of a VIP that it has handed over; zero if not at all.
    pub drain: Duration,
    /// After how long it hands a VIP over to a node of higher priority that is ready for it; never, if there is none.
    pub preempt: Option<Duration>,
    /// The VIPs it competes for.
    pub vips: BTreeSet<IpAddr>,
}

/// One running agent, as the protocol sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    settings: Settings,
    view: View,
    /// The revision up to which everything has been heard, in order: by a list and the watch, and by nothing else.
    heard: Revision,
    /// Whether the keys have been listed once.
    listed: bool,
    own: Own,
    /// Until when this node may act as owner of what is recorded as its own.
    lease: Instant,
    peers: Peers,
    /// What is offered to this node.
    offers: Offers,
    /// The machine's facts; nothing is begun before they are known.
    links: Option<BTreeMap<String, Mac>>,
    /// The addresses that it publishes as its own.
    addresses: Vec<IpAddr>,
    /// The MACs of the VIPs of which the kernel program can carry a handoff.
    macs: BTreeMap<IpAddr, Mac>,
    /// How long it may at worst go on answering after it sent a renewal: what its slowest fence allows.
    bound: Duration,
    vips: BTreeMap<IpAddr, Vip>,
    stopping: bool,
    /// How many VIPs are recorded as this node's own while its lease is over.
    lapsed: usize,
    /// A session came or went, or a record changed hands: some session may be of no interest any more.
    sessions_changed: bool,
    /// When something is due next.
    wake: Instant,
    effects: Vec<Effect>,
}

impl Node {
    /// A node that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        let vips = settings.vips.iter().map(|ip| (*ip, Vip::default())).collect();
        Self {
            settings,
            view: View::default(),
            heard: 0,
            listed: false,
            own: Own::default(),
            lease: Instant::ZERO,
            peers: Peers::default(),
            offers: Offers::default(),
            macs: BTreeMap::new(),
            links: None,
            addresses: Vec::new(),
            bound: Timing::LONGEST_BOUND,
            vips,
            stopping: false,
            lapsed: 0,
            sessions_changed: false,
            wake: Instant::ZERO,
            effects: Vec::new(),
        }
    }

    /// Takes in an event at `now` and gives what is to be done.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        self.handle_all(now, [event])
    }

    /// Takes in all events that have come by `now`, in their order, and gives what is to be done about them together: VIPs
    /// that are given up or come free at the same time move in one transaction.
    pub fn handle_all(&mut self, now: Instant, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        for event in events {
            self.take_in(now, event);
        }
        self.wake = Instant::from_boot(Duration::MAX);
        self.drain(now);
        self.move_vips(now);
        self.say();
        self.keep_session(now);
        self.stand(now);
        self.forget_inherited();
        if std::mem::take(&mut self.sessions_changed) {
            self.forget_sessions();
        }
        std::mem::take(&mut self.effects)
    }

    fn take_in(&mut self, now: Instant, event: Event) {
        match event {
            Event::Tick => {}
            Event::Found { standing, halfway } => self.found(&standing, &halfway),
            Event::Facts { links, ready, bound, macs } => self.learn(links, &ready, bound, macs),
            Event::Addresses(addresses) => self.addresses = addresses,
            Event::Health(judged) => self.judge(&judged),
            Event::RoleConfirmed(ip, role) => {
                if let Some(vip) = self.vips.get_mut(&ip) {
                    vip.stood = Some(role);
                }
            }
            Event::Listed(revision, changes) => self.list(now, revision, changes),
            Event::Changed(changes) => {
                let heard = changes.iter().map(|change| change.revision).max();
                self.changed(now, changes);
                self.hear(now, heard.unwrap_or(0));
            }
            Event::Answered { request, sent, answer } => self.answered(now, &request, sent, &answer),
            Event::AcknowledgedToo { session, sent } => self.acknowledged_too(session, sent),
            Event::HandOff { vip, to } => self.hand_off(vip, to),
            Event::Drained(ip) => self.is_drained(now, ip),
            Event::Stop => self.stopping = true,
        }
    }

    /// When to call again with [`Event::Tick`], whatever else happens.
    pub fn deadline(&self) -> Instant {
        self.wake
    }

    /// Until when this node may act as owner.
    pub fn lease(&self) -> Instant {
        self.lease
    }

    /// How long this node may at worst go on answering after it sent a renewal.
    pub fn bound(&self) -> Duration {
        self.bound
    }

    /// The addresses that this node publishes as its own.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// What this node knows of etcd's keys.
    pub fn view(&self) -> &View {
        &self.view
    }

    fn found(&mut self, standing: &BTreeSet<IpAddr>, halfway: &BTreeSet<IpAddr>) {
        for (ip, vip) in &mut self.vips {
            vip.found(standing.contains(ip), halfway.contains(ip));
        }
        // What stands though the config knows nothing of it could not be taken off yet.
        for ip in standing {
            self.vips.entry(*ip).or_default();
        }
    }

    fn learn(
        &mut self,
        links: BTreeMap<String, Mac>,
        ready: &BTreeSet<IpAddr>,
        bound: Duration,
        macs: BTreeMap<IpAddr, Mac>,
    ) {
        let mut news = self.links.as_ref() != Some(&links) || self.bound != bound;
        self.links = Some(links);
        self.bound = bound;
        self.macs = macs;
        for (ip, vip) in &mut self.vips {
            news |= vip.can_be_served(ready.contains(ip));
        }
        if news {
            self.own.renew_soon();
        }
    }

    fn judge(&mut self, judged: &BTreeMap<IpAddr, Health>) {
        let mut news = false;
        for (ip, vip) in &mut self.vips {
            news |= vip.is_judged(judged.get(ip).copied().unwrap_or_default());
        }
        if news {
            self.own.renew_soon();
        }
    }

    fn list(&mut self, now: Instant, revision: Revision, changes: Vec<Change>) {
        let missing = self.view.missing_from(&changes, revision);
        self.listed = true;
        for change in changes.into_iter().chain(missing) {
            self.change(now, change);
        }
        // While nothing was heard nobody's silence could be told from our own deafness.
        self.peers.wait_anew(now);
        self.hear(now, revision);
    }

    /// Everything up to a revision is heard now. Of a record that was learnt before, from a refusal, this is the first
    /// moment at which its holder's session is known not to be there, if it is not: until just now it may have been renewed.
    fn hear(&mut self, now: Instant, revision: Revision) {
        for vip in self.vips.values_mut() {
            if vip.modified > self.heard && vip.modified <= revision {
                vip.is_heard(now, &self.peers);
            }
        }
        self.heard = self.heard.max(revision);
    }

    fn changed(&mut self, now: Instant, changes: Vec<Change>) {
        for change in changes {
            self.change(now, change);
        }
    }

    /// Takes in one key's news; what is not news is nothing (I6).
    fn change(&mut self, now: Instant, change: Change) {
        let key = change.key.clone();
        if !self.view.apply(change) {
            return;
        }
        let entry = self.view.get(&key);
        if matches!(entry, Some(Entry { value: Value::Garbage, .. })) {
            self.effects.push(Effect::Notify(Notice::Garbage(key.clone())));
        }
        match &key {
            Key::Node(name) => {
                self.sessions_changed = true;
                let session = match entry {
                    Some(Entry { created, value: Value::Session(session), .. }) => Some((*created, session)),
                    _ => None,
                };
                if *name != self.settings.name {
                    self.offers.are(now, &self.settings.name, name, session);
                }
                match entry {
                    Some(entry @ Entry { value: Value::Session(session), .. }) => {
                        self.peers.heard(now, name, entry, session);
                    }
                    Some(Entry { created, .. }) => self.peers.unreadable(now, name, *created),
                    None => {}
                }
                if *name == self.settings.name {
                    // A foreign hand may have written it.
                    self.own.count_on_from(session.map_or(0, |(_, session)| session.counter));
                    let created = entry.map(|entry| entry.created);
                    self.own_key_is(created);
                }
            }
            Key::Vip(ip) => {
                let (ip, entry) = (*ip, entry.cloned());
                self.inherit(now, ip, entry.as_ref());
                self.record_is(now, ip, entry.as_ref());
            }
        }
    }

    fn answered(&mut self, now: Instant, request: &Request, sent: Instant, answer: &Answer) {
        let current = request.session == self.own.live();
        match answer {
            Answer::Done(revision) => self.done(now, &request.txn, *revision),
            Answer::Refused { found, .. } => self.changed(now, found.clone()),
            Answer::Failed | Answer::Unknown => {}
        }
        self.session_answered(now, request, sent, answer);
        // Answers of an older session change nothing but the view (I6).
        if current {
            self.vips_answered(now, request, answer);
        }
    }

    /// Takes in what our own transaction wrote, as the watch will show it again later.
    fn done(&mut self, now: Instant, txn: &Txn, revision: Revision) {
        for write in txn.writes() {
            let change = match write {
                Write::Put(key, value) => {
                    let created = self.view.get(key).map_or(revision, |entry| entry.created);
                    let entry = Entry { created, modified: revision, value: value.clone() };
                    Change { key: key.clone(), revision, entry: Some(entry) }
                }
                Write::Delete(key) => Change { key: key.clone(), revision, entry: None },
            };
            self.change(now, change);
        }
    }

    fn commit(&mut self, now: Instant, purpose: Purpose, txn: Txn) {
        let request = Request { purpose, session: self.own.live(), txn, decided: now };
        self.effects.push(Effect::Commit(request));
    }

    fn tell(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }

    fn wake_at(&mut self, at: Instant) {
        self.wake = self.wake.min(at);
    }

    fn own_key(&self) -> Key {
        Key::Node(self.settings.name.clone())
    }

    /// Gives each VIP the role it is due, and says when the lease ends.
    fn stand(&mut self, now: Instant) {
        let live = self.own.live();
        let entitled = live.filter(|_| now < self.lease);
        let (mut served, mut standing, mut lapsed) = (0, false, 0);
        let mut wake = self.wake;
        for (ip, vip) in &mut self.vips {
            let name = &self.settings.name;
            lapsed += usize::from(entitled.is_none() && vip.role_under(name, live).is_some());
            let due = if let Some(role) = vip.role_under(name, entitled) {
                served += 1;
                match (role, entitled) {
                    (Role::Owner { epoch, bound, .. }, Some(session)) => {
                        let drained = self.offers.drained(*ip, session, &self.peers, self.settings.timing);
                        let drained = drained.filter(|(_, until)| now < *until);
                        wake = drained.map_or(wake, |(_, until)| wake.min(until));
                        Role::Owner { epoch, bound, drain: drained.map(|(drained, _)| drained.offer.mac) }
                    }
                    (role, _) => role,
                }
            } else if self.own.undecided() {
                // A predecessor's address stands under its own lifetime until it is decided whose it is.
                continue;
            } else if let Some(session) = entitled.filter(|_| self.macs.contains_key(ip)) {
                // What still drains here is prepared for as it is: its address is in place.
                let offered = match &vip.held {
                    Held::By(holder) if vip.ready && !self.stopping && holder.node != *name => {
                        self.offers.of_holder(*ip, holder, session, self.settings.timing)
                    }
                    _ => None,
                };
                let offered = offered.filter(|(_, until)| now < *until);
                wake = offered.map_or(wake, |(_, until)| wake.min(until));
                let prepared = offered.map(|(offered, _)| Role::Prepared { from: offered.offer.mac });
                vip.forwarding().or(prepared).unwrap_or(Role::Off)
            } else {
                Role::Off
            };
            standing |= due != Role::Off;
            if vip.order(due) {
                self.effects.push(Effect::AssumeRole(*ip, due));
            }
        }
        self.wake = wake;
        if standing {
            self.wake_at(self.lease);
        }
        match std::mem::replace(&mut self.lapsed, lapsed) {
            0 if lapsed > 0 => self.tell(Notice::LeaseExpired { vips: lapsed }),
            before if before > 0 && lapsed == 0 && served > 0 => {
                self.tell(Notice::LeaseRegained { vips: served });
            }
            _ => {}
        }
    }
}
