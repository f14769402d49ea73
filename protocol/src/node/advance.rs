//! How far a handoff or a drain has come: the phase changes that time and the other nodes' words bring about.

use std::net::IpAddr;

use mantle_ebpf::wire::Mac;

use super::move_request::Reason;
use super::vip::{Draining, Handoff, Input, Owner, Ownership, Phase};
use super::{NoHandoff, Node, Notice, Successor};
use crate::{Entry, Instant, Offer, Preparation, Revision, Value};

/// Whether a handoff that has begun goes on.
enum Progress {
    /// It waits until this instant.
    WaitsUntil(Instant),
    /// The successor is prepared, and answers with this MAC.
    Prepared(Mac),
    /// It is too late, or the successor is gone.
    Over,
}

impl Node {
    /// Goes on with what was handed over: sends on once the successor answers, and ends the drains whose time is over.
    pub(super) fn advance_drains(&mut self, now: Instant) {
        let live = self.own.live();
        let ips: Vec<IpAddr> = self.vips.keys().copied().collect();
        for ip in ips {
            let Phase::Draining(Draining { handoff, limits, opened, .. }) = &self.vips[&ip].phase else {
                continue;
            };
            let offer = &handoff.offer;
            // A successor whose session is gone will say nothing more.
            let is_there = self.view.session(&offer.to, offer.session).is_some();
            let word = live.and_then(|session| self.word_of_successor(ip, offer, session));
            let says_so = word.is_some_and(|word| word.answers);
            let answers = *opened || says_so || !is_there || now >= limits.opens_by;
            let limits = *limits;
            if !self.can_hand_over(ip) || (answers && now >= limits.until) {
                self.step(ip, Input::DrainOver);
                self.notify(Notice::DrainEnded { vip: ip });
            } else if answers {
                self.step(ip, Input::SuccessorAnswers);
                self.wake_at(limits.until);
            } else {
                self.wake_at(limits.opens_by);
            }
        }
    }

    /// Brings a VIP's phase up to date.
    pub(super) fn advance(&mut self, now: Instant, ip: IpAddr, session: Revision) {
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        if vip.phase.is_ours() {
            vip.hold.owned_last = true;
            self.advance_own(now, ip, session);
            return;
        }
        let why = match &vip.record.owner {
            Owner::Named(holder) | Owner::Presumed(holder) => NoHandoff::OwnedBy(holder.node.clone()),
            Owner::Nobody | Owner::Unknown => NoHandoff::Unowned,
        };
        self.refuse_request(ip, why);
        self.note_take_back(now, ip);
    }

    /// Takes a VIP of this node's a step further on its way to another node, if it is to go there.
    fn advance_own(&mut self, now: Instant, ip: IpAddr, session: Revision) {
        self.note_preferred(now, ip);
        let reason = self.reason_to_move(now, ip);
        let vip = &self.vips[&ip];
        if !vip.local.servable || vip.phase == Phase::Ours(Ownership::Releasing) {
            self.step(ip, Input::GiveUp);
            self.refuse_request(ip, NoHandoff::Leaving);
            return;
        }
        let is_under_way = vip.inflight.is_under_way();
        let Some(reason) = reason else {
            if !is_under_way {
                self.step(ip, Input::Withdraw);
            }
            if let Some(vip) = self.vips.get_mut(&ip) {
                vip.request.tried.clear();
            }
            return;
        };
        // Nothing is begun before what is under way is decided.
        if is_under_way || vip.phase.is_in_doubt() {
            return;
        }
        match self.progress(ip, session) {
            Some(Progress::WaitsUntil(until)) if now < until => return self.wake_at(until),
            Some(Progress::Prepared(to)) => {
                let until = now + self.step_limit();
                self.step(ip, Input::Prepared { to, until });
                return self.wake_at(until);
            }
            Some(Progress::WaitsUntil(_) | Progress::Over) | None => {}
        }
        self.begin_handoff(now, ip, &reason);
    }

    /// How far the handoff of a VIP of this node's has come, if there is one.
    fn progress(&self, ip: IpAddr, session: Revision) -> Option<Progress> {
        let (handoff, until) = match &self.vips[&ip].phase {
            Phase::Ours(
                Ownership::Offered { handoff, until } | Ownership::Yielding { handoff, until, .. },
            ) => (handoff, *until),
            Phase::NotOurs
            | Phase::Draining(_)
            | Phase::Ours(Ownership::Serving | Ownership::MustRewrite | Ownership::Releasing) => return None,
        };
        let offer = &handoff.offer;
        let entry = self.view.session(&offer.to, offer.session);
        let Some(Entry { value: Value::Session(successor), .. }) = entry.filter(|_| self.can_hand_over(ip))
        else {
            return Some(Progress::Over);
        };
        // That it answers is the word of a node that has not heard yet who owns the VIP now.
        let word = self.word_of_successor(ip, offer, session).filter(|word| !word.answers);
        Some(match (&self.vips[&ip].phase, word.map(|word| word.mac)) {
            (Phase::Ours(Ownership::Offered { .. }), Some(to)) => Progress::Prepared(to),
            (Phase::Ours(Ownership::Offered { .. }), None) if !successor.ready.contains(&ip) => {
                Progress::Over
            }
            _ => Progress::WaitsUntil(until),
        })
    }

    /// Offers a VIP to the best node that was not tried in vain. If there is none, what cannot stay is released and what can
    /// stay stays.
    fn begin_handoff(&mut self, now: Instant, ip: IpAddr, reason: &Reason) {
        let given_up = self.vips[&ip].phase.handoff().map(Handoff::successor);
        if let Some(vip) = self.vips.get_mut(&ip) {
            vip.request.tried.extend(given_up);
            vip.step(Input::Withdraw);
        }
        let why = match self.successor(now, ip, reason) {
            Ok(to) => return self.offer(now, ip, to),
            Err(why) => why,
        };
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        let tells = vip.request.nobody_follows(now, reason);
        if *reason == Reason::Must {
            vip.step(Input::GiveUp);
        }
        if tells {
            self.notify(Notice::NotHandedOver { vip: ip, why });
        }
    }

    fn offer(&mut self, now: Instant, ip: IpAddr, (to, session): Successor) {
        let Some(mac) = self.machine.macs.get(&ip).copied() else { return };
        // By the clock: so that neither an earlier offer nor one of an earlier agent has the same number.
        let number = u64::try_from(now.since_boot().as_micros()).unwrap_or(u64::MAX);
        let handoff = Handoff { offer: Offer { to: to.clone(), session, number, mac }, began: now };
        let until = now + self.step_limit();
        self.step(ip, Input::Offer { handoff, until });
        self.wake_at(until);
        self.notify(Notice::Offered { vip: ip, to });
    }

    /// What the successor says of this offer of this node's session.
    fn word_of_successor(&self, ip: IpAddr, offer: &Offer, session: Revision) -> Option<&Preparation> {
        let entry = self.view.session(&offer.to, offer.session)?;
        let Value::Session(other) = &entry.value else { return None };
        let word = other.handoffs.prepared.get(&ip)?;
        ((word.session, word.number) == (session, offer.number)).then_some(word)
    }

    fn step(&mut self, ip: IpAddr, input: Input) {
        if let Some(vip) = self.vips.get_mut(&ip) {
            vip.step(input);
        }
    }
}
