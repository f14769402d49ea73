//! Who is to own what: claiming, taking over, releasing; and clearing away what is long silent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::handing::Successor;
use super::vip::{Held, Vip};
use super::{Effect, How, NoHandoff, Node, Notice, Purpose, Request};
use crate::timing::retry_for;
use crate::{
    Answer, Compare, Entry, Health, Holder, Instant, Key, NodeName, Record, Revision, Timing, Txn, Value,
    WhenNobodyIsReady,
};

/// What stands between this node and a VIP that another holds.
enum Free {
    /// What is not known: whether the holder has a session. What tells is on its way.
    NotKnown,
    /// Nothing, from this instant on: the holder, if any, has no session.
    From(Instant),
    /// The holder's session, which may be deleted from this instant on, if it is silent until then.
    BehindSession(Holder, Instant),
}

impl Node {
    /// Claims, takes over and releases what is due.
    pub(super) fn move_vips(&mut self, now: Instant) {
        let Some(session) = self.own.live() else { return };
        let mut claims: BTreeMap<Option<NodeName>, Vec<IpAddr>> = BTreeMap::new();
        let mut releases = Vec::new();
        let mut silent: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        let mut handed: BTreeMap<Successor, Vec<IpAddr>> = BTreeMap::new();
        let ips: Vec<IpAddr> = self.vips.keys().copied().collect();
        for ip in ips {
            let mine = self.decide_leaving(now, ip, session);
            let wanted_back = !mine && self.wants_back(now, ip);
            let vip = &self.vips[&ip];
            // A record that promises others a shorter wait than this node's bound is written anew with that.
            let unsound = vip.doubtful || !vip.readable || vip.is_outgrown_by(self.bound);
            let successor = vip.may_be_handed_to().filter(|_| mine && !unsound && !vip.leaving);
            let wants = if mine {
                vip.leaving || unsound || successor.is_some()
            } else {
                (vip.ready || wanted_back) && !self.stopping
            };
            // Nothing is given up while anything of it still stands here (I4), nor taken up anew while it may be answered for.
            let may = !vip.pending && (vip.is_off() || (mine && !vip.leaving) || (!mine && vip.is_silent()));
            if !wants || !may {
                continue;
            }
            if now < vip.retry_at {
                self.wake_at(self.vips[&ip].retry_at);
                continue;
            }
            if mine {
                if vip.leaving {
                    releases.push(ip);
                } else if let Some(successor) = successor {
                    handed.entry(successor).or_default().push(ip);
                } else {
                    claims.entry(None).or_default().push(ip);
                }
                continue;
            }
            match self.free(now, ip, vip) {
                Free::NotKnown => {}
                Free::From(at) if now >= at => {
                    claims.entry(self.absent_holder(ip)).or_default().push(ip);
                }
                Free::From(at) => self.wake_at(at),
                Free::BehindSession(holder, at) => {
                    let is_sure = self.could_have_been_heard(now, &holder, at);
                    if now < at {
                        self.wake_at(at);
                    } else if is_sure {
                        silent.entry(holder.node).or_default().push(ip);
                    }
                }
            }
        }
        for (absent, vips) in claims {
            self.claim(now, session, absent.as_ref(), &vips);
        }
        self.release(now, session, &releases);
        for (to, vips) in handed {
            self.hand_over(now, session, &to, &vips);
        }
        for (node, vips) in silent {
            self.take_over(now, session, &node, &vips);
        }
        self.clear_long_silent(now);
    }

    /// Whether the record names this node, which then moves it on if it cannot serve it, or should not.
    fn decide_leaving(&mut self, now: Instant, ip: IpAddr, session: Revision) -> bool {
        let Some(vip) = self.vips.get_mut(&ip) else { return false };
        let mine = vip.names(&self.settings.name, session);
        if mine {
            vip.held_last = true;
            self.move_on(now, ip, session);
        } else {
            let why = match &vip.held {
                Held::By(holder) => NoHandoff::OwnedBy(holder.node.clone()),
                Held::Nobody | Held::Unknown => NoHandoff::Unowned,
            };
            self.stays(ip, why);
        }
        mine
    }

    /// Whether an owner gives a VIP up for its health: to another node, or to nobody if that was asked for.
    pub(super) fn yields(&mut self, now: Instant, ip: IpAddr) -> bool {
        let Some(vip) = self.vips.get(&ip).filter(|vip| vip.health == Health::Failing) else { return false };
        if self.settings.when_nobody_is_ready == WhenNobodyIsReady::Release {
            return true;
        }
        let keep_until = vip.keep_until;
        if self.another_is_ready_until(now, ip).is_none() {
            return false;
        }
        if now < keep_until {
            self.wake_at(keep_until);
        }
        now >= keep_until
    }

    /// Whether this node takes back what it held last though its health speaks against it: it gave the VIP up to a node
    /// that then did not take it. At once if nobody else is ready any more. Otherwise when a silence has passed: then that
    /// node only says to be ready, and nothing is given up for its word again for a while.
    fn wants_back(&mut self, now: Instant, ip: IpAddr) -> bool {
        let vip = &self.vips[&ip];
        let hold = self.settings.when_nobody_is_ready == WhenNobodyIsReady::Hold;
        if !hold || !vip.held_last || !vip.servable || vip.ready {
            return false;
        }
        let silence = self.settings.timing.silence;
        let spurned_at = vip.since + silence;
        let Some(until) = self.another_is_ready_until(now, ip) else { return true };
        if now < spurned_at {
            self.wake_at(until.min(spurned_at));
            return false;
        }
        if let Some(vip) = self.vips.get_mut(&ip) {
            vip.keep_until = now + 10 * silence;
        }
        true
    }

    /// Until when some other node that is ready for the VIP counts as alive, if there is any.
    fn another_is_ready_until(&self, now: Instant, ip: IpAddr) -> Option<Instant> {
        let ready_until = |(key, entry): (&Key, &Entry)| match (key, &entry.value) {
            (Key::Node(name), Value::Session(session)) if *name != self.settings.name => {
                let ready = session.ready.contains(&ip);
                self.peers.alive_until(name, entry.created).filter(|until| ready && now < *until)
            }
            _ => None,
        };
        self.view.iter().filter_map(ready_until).max()
    }

    /// Whether a holder that is silent until `at` could have been heard, as far as etcd is concerned: for stability, not for
    /// safety. An outage silences the holder too, and this node may be the first to notice its end. So it waits for as long
    /// as the holder takes to try twice, and then for one more acknowledgement.
    fn could_have_been_heard(&mut self, now: Instant, holder: &Holder, at: Instant) -> bool {
        let chance = 2 * retry_for(self.bound_of(holder));
        // Without an acknowledgement after the last miss, renewals are under way.
        let Some((from, last)) = self.own.acknowledged_since() else { return false };
        let due = (from + chance).max(at - chance);
        if now < due {
            self.wake_at(due);
            return false;
        }
        if last < due {
            self.own.renew_once_since(due);
        }
        last >= due
    }

    /// From when on this node may take the VIP.
    fn free(&self, now: Instant, ip: IpAddr, vip: &Vip) -> Free {
        let timing = self.settings.timing;
        let turn = self.rank(now, ip, &vip.held) * (timing.renew / 4);
        match &vip.held {
            Held::Nobody => Free::From(vip.since + turn),
            Held::Unknown => Free::From(vip.since + timing.silence_for(Timing::LONGEST_BOUND) + turn),
            Held::By(holder) if holder.node == self.settings.name && self.own.is_past(holder.session) => {
                Free::From(vip.since)
            }
            Held::By(holder) => {
                let at = self.unrenewed_since(holder, ip) + timing.silence_for(self.bound_of(holder)) + turn;
                if self.view.session(&holder.node, holder.session).is_some() {
                    Free::BehindSession(holder.clone(), at)
                } else if self.heard < vip.modified && self.peers.last_heard(holder).is_none() {
                    Free::NotKnown
                } else {
                    Free::From(at)
                }
            }
        }
    }

    /// Since when a holder has been silent: from the processing of its last renewal, or from when it was first seen as
    /// holder, whichever is later.
    fn silent_since(&self, holder: &Holder, ip: IpAddr) -> Instant {
        let heard = self.peers.last_heard(holder).map_or(Instant::ZERO, |(at, _)| at);
        heard.max(self.vips[&ip].since)
    }

    /// Since when a holder has not renewed, however long nothing was heard of anybody: while its session is still as its last
    /// renewal left it, which a takeover compares, that renewal counts. A session that is gone or overwritten may have been
    /// renewed unheard before.
    fn unrenewed_since(&self, holder: &Holder, ip: IpAddr) -> Instant {
        let session = self.view.session(&holder.node, holder.session);
        let renewed = session.and_then(|entry| self.peers.renewed(holder, entry.modified));
        renewed.map_or_else(|| self.silent_since(holder, ip), |at| at.max(self.vips[&ip].since))
    }

    fn bound_of(&self, holder: &Holder) -> Duration {
        self.peers.last_heard(holder).map_or(holder.bound, |(_, bound)| bound.max(holder.bound))
    }

    /// How many others go before this node: alive, ready for the VIP, of higher priority or earlier name.
    fn rank(&self, now: Instant, ip: IpAddr, held: &Held) -> u32 {
        let own = (std::cmp::Reverse(self.settings.priority), &self.settings.name);
        let goes_before = |(key, entry): (&Key, &Entry)| {
            let (Key::Node(name), Value::Session(session)) = (key, &entry.value) else { return false };
            let holds = matches!(held, Held::By(holder) if holder.node == *name);
            let alive = self.peers.alive_until(name, entry.created).is_some_and(|until| now < until);
            !holds
                && alive
                && session.ready.contains(&ip)
                && (std::cmp::Reverse(session.priority), name) < own
        };
        u32::try_from(self.view.iter().filter(|pair| goes_before(*pair)).count()).unwrap_or(u32::MAX)
    }

    /// Whether this node renews at an owner's pace: it owns something, is about to, or suspects that an owner is gone.
    pub(super) fn must_be_quick(&mut self, now: Instant, session: Revision) -> bool {
        if self.offers.are_there(session) {
            return true;
        }
        let mut suspect_at = None;
        for (ip, vip) in &self.vips {
            if vip.pending || vip.handing.is_some() || vip.names(&self.settings.name, session) {
                return true;
            }
            if let Held::By(holder) = &vip.held
                && vip.ready
            {
                let half = self.settings.timing.silence_for(self.bound_of(holder)) / 2;
                let at = self.unrenewed_since(holder, *ip) + half;
                suspect_at = Some(suspect_at.map_or(at, |earlier: Instant| earlier.min(at)));
            }
        }
        let Some(at) = suspect_at else { return false };
        if now < at {
            self.wake_at(at);
        }
        now >= at
    }

    /// The holder that is to have no session for the VIP to be free: another node's, by the record.
    fn absent_holder(&self, ip: IpAddr) -> Option<NodeName> {
        match &self.vips[&ip].held {
            Held::By(holder) if holder.node != self.settings.name => Some(holder.node.clone()),
            Held::By(_) | Held::Nobody | Held::Unknown => None,
        }
    }

    /// Takes what is free. That a holder's session is not there is compared too (I5).
    fn claim(&mut self, now: Instant, session: Revision, absent: Option<&NodeName>, vips: &[IpAddr]) {
        for batch in vips.chunks(Txn::MOST_VIPS) {
            let mut txn = self.taking(now, session, batch);
            if let Some(name) = absent {
                let key = Key::Node(name.clone());
                let created = self.view.get(&key).map_or(0, |entry| entry.created);
                txn.require(Compare::Created(key, created));
            }
            self.commit(now, Purpose::Claim, txn);
        }
    }

    /// Deletes the silent node's session and takes what it held. That one delete fences the node for all its VIPs: those
    /// beyond one transaction's size are free from then on and follow without waiting.
    fn take_over(&mut self, now: Instant, session: Revision, node: &NodeName, vips: &[IpAddr]) {
        let key = Key::Node(node.clone());
        let batch = &vips[..vips.len().min(Txn::MOST_VIPS)];
        let modified = self.view.modified(&key);
        let mut txn = self.taking(now, session, batch);
        txn.delete(Compare::Modified(key, modified));
        self.commit(now, Purpose::TakeOver, txn);
    }

    /// Compares the records as seen, puts this node into them and renews its session.
    fn taking(&mut self, now: Instant, session: Revision, vips: &[IpAddr]) -> Txn {
        let holder = Holder { node: self.settings.name.clone(), session, bound: self.bound };
        let record = Value::Record(Record { owner: Some(holder) });
        let mut txn = self.writing(vips, &record);
        self.renew_within(&mut txn, now, session);
        txn
    }

    fn release(&mut self, now: Instant, session: Revision, vips: &[IpAddr]) {
        for batch in vips.chunks(Txn::MOST_VIPS) {
            let mut txn = self.writing(batch, &Value::Record(Record { owner: None }));
            txn.require(Compare::Created(self.own_key(), session));
            self.commit(now, Purpose::Release, txn);
        }
    }

    /// Compares the records as seen (I5) and writes `record` into each.
    pub(super) fn writing(&mut self, vips: &[IpAddr], record: &Value) -> Txn {
        let mut txn = Txn::new();
        for ip in vips {
            let Some(vip) = self.vips.get_mut(ip) else { continue };
            vip.pending = true;
            txn.put(Compare::Modified(Key::Vip(*ip), vip.modified), record.clone());
        }
        txn
    }

    fn clear_long_silent(&mut self, now: Instant) {
        let timing = self.settings.timing;
        let mut due = Vec::new();
        let mut next = None;
        for (key, entry) in self.view.iter() {
            let Key::Node(name) = key else { continue };
            if *name == self.settings.name {
                continue;
            }
            match self.peers.clear_at(name, entry.created, timing) {
                Some(at) if now >= at => due.push((name.clone(), entry.created, entry.modified)),
                Some(at) => next = Some(next.map_or(at, |earlier: Instant| earlier.min(at))),
                None => {}
            }
        }
        if let Some(at) = next {
            self.wake_at(at);
        }
        for (name, created, modified) in due {
            self.peers.clearing(&name, created, now + timing.silence);
            self.clear(now, Key::Node(name), modified);
        }
    }

    /// Takes in what an answer says about the VIPs it was about.
    pub(super) fn vips_answered(&mut self, now: Instant, request: &Request, answer: &Answer) {
        let renew = self.settings.timing.renew;
        for compare in request.txn.compares() {
            if let Key::Vip(ip) = compare.key()
                && let Some(vip) = self.vips.get_mut(ip)
            {
                vip.pending = false;
                vip.retry_at = match answer {
                    Answer::Done(_) => Instant::ZERO,
                    Answer::Refused { .. } => now + renew / 4,
                    Answer::Failed | Answer::Unknown => now + renew,
                };
                // It may be carried out late, as long as the record is the one that it compares.
                let open = request.purpose == Purpose::HandOver && *answer == Answer::Unknown;
                vip.doubtful |= open && *compare == Compare::Modified(Key::Vip(*ip), vip.modified);
            }
        }
        match (request.purpose, answer) {
            // The other was not silent: the watch is. What it kept from this node is no silence of anybody, also where
            // the session is gone by now: its owner may have renewed it until just before.
            (Purpose::TakeOver | Purpose::Clear, Answer::Refused { .. }) => {
                self.peers.wait_anew(now);
                self.effects.push(Effect::Relist);
            }
            (Purpose::Clear, Answer::Done(_)) => {
                if let Some(Key::Node(name)) = request.txn.compares().first().map(Compare::key) {
                    self.tell(Notice::Cleared(name.clone()));
                }
            }
            _ => {}
        }
    }

    /// Takes in a record.
    pub(super) fn record_is(&mut self, now: Instant, ip: IpAddr, entry: Option<&Entry>) {
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        let (before, known_since, modified) = (vip.held.clone(), vip.since, vip.modified);
        let news = vip.record_is(now, entry);
        if vip.modified != modified {
            self.handing_is_decided(now, ip);
        }
        let Some(vip) = self.vips.get_mut(&ip).filter(|_| news) else { return };
        if matches!(&vip.held, Held::By(holder) if holder.node != self.settings.name) {
            (vip.held_last, vip.keep_until) = (false, Instant::ZERO);
        }
        let (after, epoch) = (vip.held.clone(), vip.epoch);
        let is_own = |held: &Held| matches!(held, Held::By(holder) if holder.node == self.settings.name);
        let notice = match (&before, &after) {
            (Held::By(from), Held::By(own))
                if is_own(&after) && self.offers.came_from(ip, &from.node, own.session) =>
            {
                let how = How::HandedOver { from: from.node.clone() };
                Notice::BecameOwner { vip: ip, epoch, how }
            }
            (Held::By(holder), after) if is_own(after) && !is_own(&before) => {
                let heard = self.peers.last_heard(holder).map_or(Instant::ZERO, |(at, _)| at);
                let silence = now.since(heard.max(known_since));
                let how = How::TookOver { from: holder.node.clone(), silence };
                Notice::BecameOwner { vip: ip, epoch, how }
            }
            (_, after) if is_own(after) => Notice::BecameOwner { vip: ip, epoch, how: How::Claimed },
            (before, Held::Nobody) if is_own(before) => Notice::Released { vip: ip, epoch },
            (_, Held::By(holder)) => Notice::OwnerIs { vip: ip, owner: Some(holder.node.clone()), epoch },
            (_, Held::Nobody | Held::Unknown) => Notice::OwnerIs { vip: ip, owner: None, epoch },
        };
        self.tell(notice);
    }

    /// Forgets sessions that are neither there nor named by a record.
    pub(super) fn forget_sessions(&mut self) {
        let (view, vips) = (&self.view, &self.vips);
        self.peers.retain(|name, created| {
            view.session(name, created).is_some() || vips.values().any(|vip| vip.names(name, created))
        });
    }
}
