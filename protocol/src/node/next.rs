//! Which transaction is due for a VIP: a pure decision.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use super::commit::Batches;
use super::vip::{Inflight, Owner, Ownership, Phase, Vip};
use super::{Node, Successor};
use crate::timing::retry_for;
use crate::{Entry, Health, Holder, Instant, Key, NodeName, Revision, Timing, Value, WhenNobodyIsReady};

/// What is next for a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until something new is heard.
    Nothing,
    /// Nothing before this instant.
    WakeAt(Instant),
    /// A renewal that is decided at `since` or later must be acknowledged first.
    Confirm {
        /// That instant.
        since: Instant,
        /// When the silence ends.
        until: Instant,
    },
    /// Take a VIP that nobody owns, or whose owner's session is not there.
    Claim {
        /// The node of that owner; it must have no such session, or none at all.
        absent: Option<NodeName>,
    },
    /// Write the record of this node's own VIP anew.
    Rewrite,
    /// Give the VIP up to nobody.
    Release,
    /// Hand the VIP over.
    HandOver(Successor),
    /// Take the VIP from a silent owner, whose session is deleted with that.
    TakeOver(NodeName),
}

/// Whether a node takes back what it owned last though its health speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TakesBack {
    No,
    /// Not before this instant.
    NotBefore(Instant),
    /// At once: nobody else is ready any more.
    Yes,
    /// At once: the node that says to be ready has not taken it for a whole silence.
    NobodyCame,
}

impl Node {
    /// Brings each VIP's phase up to date and commits what is due.
    pub(super) fn move_vips(&mut self, now: Instant) {
        let Some(session) = self.own.live() else { return };
        let mut due = Batches::default();
        let ips: Vec<IpAddr> = self.vips.keys().copied().collect();
        for ip in ips {
            self.advance(now, ip, session);
            match self.next(now, ip) {
                Next::WakeAt(at) => self.wake_at(at),
                Next::Confirm { since, until } => {
                    self.own.renew_once_since(since);
                    if now < until {
                        self.wake_at(until);
                    }
                }
                next => due.add(ip, next),
            }
        }
        self.commit_all(now, session, due);
        self.clear_long_silent(now);
    }

    /// What is next for a VIP.
    pub(super) fn next(&self, now: Instant, ip: IpAddr) -> Next {
        let vip = &self.vips[&ip];
        let next = match &vip.phase {
            Phase::Ours(ownership) => self.next_of_owner(vip, ownership),
            Phase::NotOurs | Phase::Draining(_) => self.next_of_standby(now, ip, vip),
        };
        match (vip.inflight, &next) {
            (_, Next::Nothing) | (Inflight::UnderWay, _) => Next::Nothing,
            (Inflight::None { retry_at }, _) if now < retry_at => Next::WakeAt(retry_at),
            (Inflight::None { .. }, _) => next,
        }
    }

    fn next_of_owner(&self, vip: &Vip, ownership: &Ownership) -> Next {
        if *ownership == Ownership::Releasing {
            // Nothing is given up while anything of it still stands here (I4).
            return if vip.kernel.is_off() { Next::Release } else { Next::Nothing };
        }
        // A record that promises others a shorter wait than this node's bound is written anew with that.
        let outgrown = vip.record.holder().is_some_and(|holder| holder.bound < self.machine.bound);
        if vip.phase.is_in_doubt() || vip.record.is_spoiled() || outgrown {
            return Next::Rewrite;
        }
        match ownership {
            // Nothing is handed over before the kernel has confirmed that it yields, to this very successor (I4).
            Ownership::Yielding { handoff, to, .. } if vip.kernel.is_in(Phase::yielding(*to, handoff)) => {
                Next::HandOver(handoff.successor())
            }
            Ownership::Yielding { .. }
            | Ownership::Serving
            | Ownership::MustRewrite
            | Ownership::Offered { .. }
            | Ownership::Releasing => Next::Nothing,
        }
    }

    fn next_of_standby(&self, now: Instant, ip: IpAddr, vip: &Vip) -> Next {
        let wants = match self.takes_back(now, ip, vip) {
            _ if self.stopping => false,
            TakesBack::Yes | TakesBack::NobodyCame => true,
            TakesBack::No | TakesBack::NotBefore(_) => vip.local.is_ready(),
        };
        // Nothing is taken up while it may still be answered for under an earlier record.
        if !wants || !vip.kernel.is_silent() {
            return Next::Nothing;
        }
        let timing = self.settings.timing;
        let turn = self.rank(now, ip, vip) * (timing.renew / 4);
        let since = vip.record.since;
        let (absent, from) = match &vip.record.owner {
            Owner::Nobody => (None, since + turn),
            // It could be any node, with any bound.
            Owner::Unknown => (None, since + timing.silence_for(Timing::LONGEST_BOUND) + turn),
            Owner::Named(holder) | Owner::Presumed(holder) => {
                let is_own = holder.node == self.settings.name;
                // A session that this node lost is disarmed: nobody need wait for it.
                if is_own && self.own.is_past(holder.session) {
                    (None, since)
                } else {
                    let at = self.unrenewed_since(holder, since) + self.patience_with(holder) + turn;
                    if self.view.session(&holder.node, holder.session).is_some() {
                        return self.next_behind_session(now, holder, at);
                    }
                    // Whether the owner has a session is not known yet. What tells is on its way.
                    if self.heard < vip.record.modified && self.peers.last_heard(holder).is_none() {
                        return Next::Nothing;
                    }
                    (Some(holder.node.clone()).filter(|_| !is_own), at)
                }
            }
        };
        if now < from { Next::WakeAt(from) } else { Next::Claim { absent } }
    }

    /// What is next where the owner's session is there: it may be deleted from `at` on, if it is silent until then.
    ///
    /// Before that, etcd must have answered this node for a while: for stability, not for safety. An outage silences the
    /// owner too, and this node may be the first to notice its end. So it waits for as long as the owner takes to try twice,
    /// and then for one more acknowledgement.
    fn next_behind_session(&self, now: Instant, holder: &Holder, at: Instant) -> Next {
        let chance = 2 * retry_for(self.bound_of(holder));
        // Without an acknowledgement after the last miss, renewals are under way, and their answers will tell.
        let Some((from, last)) = self.own.acknowledged_since() else {
            return if now < at { Next::WakeAt(at) } else { Next::Nothing };
        };
        let due = (from + chance).max(at - chance);
        if now < due {
            Next::WakeAt(if now < at { due.min(at) } else { due })
        } else if last < due {
            Next::Confirm { since: due, until: at }
        } else if now < at {
            Next::WakeAt(at)
        } else {
            Next::TakeOver(holder.node.clone())
        }
    }

    /// Whether this node takes back what it owned last though its health speaks against it: it gave the VIP up to a node
    /// that then did not take it.
    fn takes_back(&self, now: Instant, ip: IpAddr, vip: &Vip) -> TakesBack {
        let holds = self.settings.when_nobody_is_ready == WhenNobodyIsReady::Hold;
        if !holds || !vip.hold.owned_last || !vip.local.servable || vip.local.is_ready() {
            return TakesBack::No;
        }
        let Some(until) = self.another_is_ready_until(now, ip) else { return TakesBack::Yes };
        let nobody_came = vip.record.since + self.settings.timing.silence;
        if now < nobody_came { TakesBack::NotBefore(until.min(nobody_came)) } else { TakesBack::NobodyCame }
    }

    /// Notes what a standby's decision to take a VIP back rests on.
    pub(super) fn note_take_back(&mut self, now: Instant, ip: IpAddr) {
        match self.takes_back(now, ip, &self.vips[&ip]) {
            TakesBack::No | TakesBack::Yes => {}
            TakesBack::NotBefore(at) => self.wake_at(at),
            // That node only says to be ready: for a while nothing is given up for its word again.
            TakesBack::NobodyCame => {
                let keep_until = now + 10 * self.settings.timing.silence;
                if let Some(vip) = self.vips.get_mut(&ip) {
                    vip.hold.keep_until = keep_until;
                }
            }
        }
    }

    /// From when on an owner gives a VIP up for its health: to another node, or to nobody if that was asked for.
    pub(super) fn gives_up_for_health_at(&self, now: Instant, ip: IpAddr) -> Option<Instant> {
        let vip = &self.vips[&ip];
        if vip.local.health != Health::Failing {
            return None;
        }
        match self.settings.when_nobody_is_ready {
            WhenNobodyIsReady::Release => Some(Instant::ZERO),
            WhenNobodyIsReady::Hold => self.another_is_ready_until(now, ip).map(|_| vip.hold.keep_until),
        }
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

    /// How long an owner must be silent before this node may take its VIPs.
    fn patience_with(&self, holder: &Holder) -> Duration {
        self.settings.timing.silence_for(self.bound_of(holder))
    }

    /// How long an owner may go on answering after its last renewal: by that renewal and by the record, whichever says
    /// longer.
    fn bound_of(&self, holder: &Holder) -> Duration {
        self.peers.last_heard(holder).map_or(holder.bound, |(_, bound)| bound.max(holder.bound))
    }

    /// Since when an owner has not renewed: from the processing of its last renewal, or from when this node first saw it as
    /// the owner, whichever is later.
    ///
    /// While its session is still as its last renewal left it, which a takeover compares, that renewal counts, however long
    /// nothing was heard of anybody. A session that is gone or overwritten may have been renewed unheard before.
    fn unrenewed_since(&self, holder: &Holder, since: Instant) -> Instant {
        let session = self.view.session(&holder.node, holder.session);
        let renewed = session.and_then(|entry| self.peers.renewed(holder, entry.modified));
        let heard = || self.peers.last_heard(holder).map_or(Instant::ZERO, |(at, _)| at);
        renewed.unwrap_or_else(heard).max(since)
    }

    /// How many others go before this node: alive, ready for the VIP, of higher priority or earlier name.
    fn rank(&self, now: Instant, ip: IpAddr, vip: &Vip) -> u32 {
        let own = (Reverse(self.settings.priority), &self.settings.name);
        let goes_before = |(key, entry): (&Key, &Entry)| {
            let (Key::Node(name), Value::Session(session)) = (key, &entry.value) else { return false };
            let owns = vip.record.holder().is_some_and(|holder| holder.node == *name);
            let alive = self.peers.alive_until(name, entry.created).is_some_and(|until| now < until);
            !owns && alive && session.ready.contains(&ip) && (Reverse(session.priority), name) < own
        };
        u32::try_from(self.view.iter().filter(|pair| goes_before(*pair)).count()).unwrap_or(u32::MAX)
    }

    /// From when on this node renews at an owner's pace, if it does: it owns something, is about to, or suspects by then that
    /// an owner is gone.
    pub(super) fn renews_quickly_from(&self, session: Revision) -> Option<Instant> {
        let suspects_at = |vip: &Vip| {
            let holder = vip.record.holder().filter(|_| vip.local.is_ready())?;
            let half = self.patience_with(holder) / 2;
            Some(self.unrenewed_since(holder, vip.record.since) + half)
        };
        let is_busy = |vip: &Vip| vip.inflight.is_under_way() || !matches!(vip.phase, Phase::NotOurs);
        if self.offers.are_there(session) || self.vips.values().any(is_busy) {
            return Some(Instant::ZERO);
        }
        self.vips.values().filter_map(suspects_at).min()
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
}
