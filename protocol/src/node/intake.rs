//! How events change what a node knows. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::vip::{DrainLimits, Input, Names, Owner, Phase};
use super::{Effect, Event, How, Node, Notice};
use crate::{Change, Entry, Health, Holder, Instant, Key, Revision, Value};

impl Node {
    pub(super) fn take_in(&mut self, now: Instant, event: Event) {
        match event {
            Event::Tick => {}
            Event::Found { standing, halfway } => self.found(&standing, &halfway),
            Event::Facts { links, ready, bound, macs } => {
                let mut news = self.machine.links.as_ref() != Some(&links) || self.machine.bound != bound;
                self.machine.links = Some(links);
                self.machine.bound = bound;
                self.machine.macs = macs;
                for (ip, vip) in &mut self.vips {
                    let before = vip.local.is_ready();
                    vip.local.servable = ready.contains(ip);
                    news |= vip.local.is_ready() != before;
                }
                self.renew_soon_if(news);
            }
            Event::Addresses(addresses) => self.machine.addresses = addresses,
            Event::Health(judged) => self.judge(&judged),
            Event::RoleConfirmed(ip, role) => {
                if let Some(vip) = self.vips.get_mut(&ip) {
                    vip.kernel.confirms(role);
                }
            }
            Event::Listed(revision, changes) => self.list(now, revision, changes),
            Event::Changed(changes) => {
                let heard = changes.iter().map(|change| change.revision).max();
                self.changes(now, changes);
                self.hear(now, heard.unwrap_or(0));
            }
            Event::Answered { request, sent, answer } => self.answered(now, &request, sent, &answer),
            Event::AcknowledgedToo { session, sent } => self.acknowledged_too(session, sent),
            Event::HandOff { vip, to } => self.hand_off(vip, to),
            Event::Drained(ip) => {
                if let Some(vip) = self.vips.get_mut(&ip) {
                    vip.step(Input::ConnectionsGone(now));
                }
            }
            Event::Stop => {
                self.stopping = true;
                self.own.renew_soon();
            }
        }
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

    fn judge(&mut self, judged: &BTreeMap<IpAddr, Health>) {
        let mut news = false;
        for (ip, vip) in &mut self.vips {
            let before = vip.local.is_ready();
            vip.local.health = judged.get(ip).copied().unwrap_or_default();
            news |= vip.local.is_ready() != before;
        }
        self.renew_soon_if(news);
    }

    fn renew_soon_if(&mut self, news: bool) {
        if news {
            self.own.renew_soon();
        }
    }

    fn list(&mut self, now: Instant, revision: Revision, changes: Vec<Change>) {
        let missing = self.view.missing_from(&changes, revision);
        self.listed = true;
        self.changes(now, changes.into_iter().chain(missing));
        // While nothing was heard, nobody's silence could be told from this node's own deafness.
        self.peers.wait_anew(now);
        self.hear(now, revision);
    }

    /// Everything up to a revision is heard now. Of a record that was learnt before, from a refusal, this is the first
    /// moment at which its owner's session is known not to be there, if it is not: until just now it may have been renewed.
    fn hear(&mut self, now: Instant, revision: Revision) {
        for vip in self.vips.values_mut() {
            let record = &mut vip.record;
            let is_heard = record.modified > self.heard && record.modified <= revision;
            if is_heard && record.holder().is_some_and(|holder| self.peers.last_heard(holder).is_none()) {
                record.since = now;
            }
        }
        self.heard = self.heard.max(revision);
    }

    pub(super) fn changes(&mut self, now: Instant, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.change(now, change);
        }
    }

    /// Takes in one key's news; what is not news is nothing (I6).
    pub(super) fn change(&mut self, now: Instant, change: Change) {
        let key = change.key.clone();
        if !self.view.apply(change) {
            return;
        }
        let entry = self.view.get(&key).cloned();
        if matches!(entry, Some(Entry { value: Value::Garbage, .. })) {
            self.effects.push(Effect::Notify(Notice::Garbage(key.clone())));
        }
        match &key {
            Key::Node(name) if *name == self.settings.name => self.own_key_is(now, entry.as_ref()),
            Key::Node(name) => self.peers_key_is(now, name, entry.as_ref()),
            Key::Vip(ip) => {
                self.inherit(now, *ip, entry.as_ref());
                self.record_is(now, *ip, entry.as_ref());
            }
        }
    }

    fn peers_key_is(&mut self, now: Instant, name: &crate::NodeName, entry: Option<&Entry>) {
        self.sessions_changed = true;
        let session = match entry {
            Some(Entry { created, value: Value::Session(session), .. }) => Some((*created, session)),
            _ => None,
        };
        self.offers.are(now, &self.settings.name, name, session);
        self.peers.key_is(now, name, entry);
    }

    fn own_key_is(&mut self, now: Instant, entry: Option<&Entry>) {
        self.sessions_changed = true;
        self.peers.key_is(now, &self.settings.name, entry);
        if let Some(Entry { value: Value::Session(session), .. }) = entry {
            // Somebody else may have written it.
            self.own.count_on_from(session.counter);
        }
        self.session_is(entry.map(|entry| entry.created));
    }

    /// Takes in a record.
    pub(super) fn record_is(&mut self, now: Instant, ip: IpAddr, entry: Option<&Entry>) {
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        let before = vip.record.clone();
        let news = vip.record.is(now, entry);
        if vip.record.modified != before.modified {
            self.phase_follows_record(now, ip);
        }
        let Some(vip) = self.vips.get_mut(&ip).filter(|_| news) else { return };
        if vip.record.holder().is_some_and(|holder| holder.node != self.settings.name) {
            vip.hold = super::vip::Hold::default();
        }
        let notice = self.notice_of(now, ip, before.holder(), before.since);
        self.notify(notice);
    }

    /// A record has changed: the handover that compared it was carried out, or never will be.
    fn phase_follows_record(&mut self, now: Instant, ip: IpAddr) {
        let live = self.own.live();
        let limits = DrainLimits { until: now + self.settings.drain, opens_by: now + self.step_limit() };
        let drain = self.can_hand_over(ip).then_some(limits);
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        let record = &vip.record;
        let handoff = vip.phase.handoff().cloned();
        let follows = |(node, session)| record.names(&node, session);
        let names = if live.is_some_and(|session| record.names(&self.settings.name, session)) {
            Names::Us
        } else if handoff.as_ref().is_some_and(|handoff| follows(handoff.successor())) {
            Names::Successor { drain }
        } else {
            Names::Another
        };
        let yielded = matches!(&vip.phase, Phase::Ours(super::vip::Ownership::Yielding { .. }));
        let (epoch, before) = (record.epoch, vip.phase.clone());
        vip.step(Input::Record(names));
        let Some(handoff) = handoff else { return };
        match names {
            // The record was rewritten under the handoff, which can be carried out no more.
            Names::Us if before.is_ours() => vip.request.tried.push(handoff.successor()),
            Names::Successor { drain } if yielded => {
                vip.request.clear();
                let took = now.since(handoff.began);
                self.notify(Notice::HandedOver { vip: ip, to: handoff.offer.to, epoch, took });
                if drain.is_none() {
                    self.notify(Notice::DrainEnded { vip: ip });
                }
            }
            Names::Us | Names::Successor { .. } | Names::Another => {}
        }
    }

    /// What to tell of a record whose owner changed.
    fn notice_of(&self, now: Instant, ip: IpAddr, before: Option<&Holder>, known_since: Instant) -> Notice {
        let record = &self.vips[&ip].record;
        let epoch = record.epoch;
        let is_own = |holder: Option<&Holder>| holder.is_some_and(|it| it.node == self.settings.name);
        match (before, record.holder()) {
            (Some(from), Some(own))
                if is_own(Some(own)) && self.offers.came_from(ip, &from.node, own.session) =>
            {
                Notice::BecameOwner { vip: ip, epoch, how: How::HandedOver { from: from.node.clone() } }
            }
            (Some(from), Some(own)) if is_own(Some(own)) && !is_own(Some(from)) => {
                let heard = self.peers.last_heard(from).map_or(Instant::ZERO, |(at, _)| at);
                let silence = now.since(heard.max(known_since));
                let how = How::TookOver { from: from.node.clone(), silence };
                Notice::BecameOwner { vip: ip, epoch, how }
            }
            (_, Some(own)) if is_own(Some(own)) => Notice::BecameOwner { vip: ip, epoch, how: How::Claimed },
            (before, None) if is_own(before) && record.owner == Owner::Nobody => {
                Notice::Released { vip: ip, epoch }
            }
            (_, holder) => {
                let owner = holder.map(|holder| holder.node.clone());
                Notice::OwnerIs { vip: ip, owner, epoch }
            }
        }
    }
}
