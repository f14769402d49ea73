//! When this node's session is started, resumed, renewed and ended.

use super::own::Standing;
use super::{Effect, Node, Notice, Purpose};
use crate::timing::retry_for;
use crate::{Compare, Instant, Key, Revision, Session, Txn, Value};

impl Node {
    /// Where this node's session stands.
    pub fn standing(&self) -> Standing {
        self.own.standing()
    }

    /// The machine whose session holds this node's name, while it does.
    pub fn name_held_by(&self) -> Option<&str> {
        match (self.own.standing(), &self.view.get(&self.own_key())?.value) {
            (Standing::InUse, Value::Session(session)) => Some(&session.machine),
            _ => None,
        }
    }

    /// Starts, resumes, renews or ends the session, whichever is due.
    pub(super) fn keep_session(&mut self, now: Instant) {
        if self.stopping {
            self.own.decides();
        }
        let said = self.handoffs();
        self.own.renew_if_news(&said);
        match self.own.standing() {
            Standing::None | Standing::InUse if self.stopping => self.end_without_session(),
            Standing::None | Standing::InUse => self.seek_session(now),
            Standing::Live(session) if self.stopping && self.has_left() => self.end_session(now, session),
            Standing::Live(session) => self.renew_when_due(now, session),
            Standing::Starting | Standing::Resuming(_) | Standing::Ending(_) | Standing::Ended => {}
        }
    }

    fn seek_session(&mut self, now: Instant) {
        if self.machine.links.is_none() || !self.listed {
            return;
        }
        if now < self.own.retry_at {
            return self.wake_at(self.own.retry_at);
        }
        let key = self.own_key();
        let Some(entry) = self.view.get(&key) else {
            self.own.decides();
            return self.begin_session(now, Standing::Starting, Purpose::Start, Compare::Created(key, 0));
        };
        let (created, modified) = (entry.created, entry.modified);
        let machine = match &entry.value {
            Value::Session(session) if session.machine == self.settings.machine => {
                self.own.count_on_beyond(session.counter);
                let seen = Compare::Created(key, created);
                return self.begin_session(now, Standing::Resuming(created), Purpose::Resume, seen);
            }
            Value::Session(session) => session.machine.clone(),
            Value::Record(_) | Value::Garbage => "unknown".to_owned(),
        };
        self.own.decides();
        let silent_at = self.peers.given_up_at(&self.settings.name, created, self.settings.timing);
        let silent_at = silent_at.unwrap_or(Instant::ZERO);
        if now >= silent_at {
            self.own.retry_at = now + self.settings.timing.renew;
            self.clear(now, key, modified);
        } else if self.own.standing() != Standing::InUse {
            self.own.stands(Standing::InUse);
            self.notify(Notice::NameInUse { machine });
        }
        self.wake_at(silent_at.max(self.own.retry_at));
    }

    fn begin_session(&mut self, now: Instant, standing: Standing, purpose: Purpose, seen: Compare) {
        self.own.stands(standing);
        let mut txn = Txn::new();
        txn.put(seen, self.own_session(now));
        self.commit(now, purpose, txn);
    }

    fn renew_when_due(&mut self, now: Instant, session: Revision) {
        if self.own.is_busy() {
            return;
        }
        let quick_from = self.renews_quickly_from(session);
        let is_quick = quick_from.is_some_and(|from| now >= from);
        if let Some(from) = quick_from.filter(|_| !is_quick) {
            self.wake_at(from);
        }
        if now >= self.own.due(now, |renewed| self.renewal_due(renewed, is_quick)) {
            let mut txn = Txn::new();
            self.renew_within(&mut txn, now, session);
            self.own.sends(now);
            self.commit(now, Purpose::Renew, txn);
        }
        self.wake_at(self.own.due(now, |renewed| self.renewal_due(renewed, is_quick)));
    }

    /// When the next renewal is due. Once the lease of a node that has to be quick is over it tries more often: etcd may be
    /// back at any moment, and how soon an owner is heard then is how long standbys have to wait for it.
    fn renewal_due(&self, renewed: Instant, is_quick: bool) -> Instant {
        let timing = self.settings.timing;
        if is_quick {
            (renewed + timing.renew).min((renewed + retry_for(timing.lease)).max(self.lease))
        } else {
            renewed + timing.standby_renew()
        }
    }

    /// Makes a transaction a renewal too.
    ///
    /// The session's incarnation is compared, not its last renewal: its own node alone writes it, and renewals overtake
    /// each other.
    pub(super) fn renew_within(&mut self, txn: &mut Txn, now: Instant, session: Revision) {
        let value = self.own_session(now);
        txn.put(Compare::Created(self.own_key(), session), value);
    }

    fn own_session(&mut self, now: Instant) -> Value {
        let handoffs = self.handoffs();
        let counter = self.own.renews(now, &handoffs);
        // A node that ends takes nothing up: two that end at the same time would hand a VIP to and fro.
        let ready = self.vips.iter().filter(|(_, vip)| vip.local.is_ready() && !self.stopping);
        Value::Session(Session {
            machine: self.settings.machine.clone(),
            bound: self.machine.bound,
            renew: self.settings.timing.renew,
            links: self.machine.links.clone().unwrap_or_default(),
            addresses: self.machine.addresses.clone(),
            ready: ready.map(|(ip, _)| *ip).collect(),
            priority: self.settings.priority,
            handoffs,
            counter,
        })
    }

    fn end_session(&mut self, now: Instant, session: Revision) {
        if now < self.own.retry_at {
            return self.wake_at(self.own.retry_at);
        }
        let mut txn = Txn::new();
        txn.delete(Compare::Created(self.own_key(), session));
        self.commit(now, Purpose::End, txn);
        self.own.stands(Standing::Ending(session));
    }

    /// Whether no record names the session any more and nothing of any VIP stands here.
    fn has_left(&self) -> bool {
        self.vips
            .values()
            .all(|vip| vip.kernel.is_off() && !vip.inflight.is_under_way() && !vip.phase.is_ours())
    }

    fn end_without_session(&mut self) {
        if self.vips.values().all(|vip| vip.kernel.is_off()) {
            self.own.stands(Standing::Ended);
            self.effects.push(Effect::Ended);
        }
    }

    /// Deletes a session's key that has been silent, if it still is.
    pub(super) fn clear(&mut self, now: Instant, key: Key, modified: Revision) {
        let mut txn = Txn::new();
        txn.delete(Compare::Modified(key, modified));
        self.commit(now, Purpose::Clear, txn);
    }
}
