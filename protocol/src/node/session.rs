//! This node's own session: started, resumed, renewed, lost, ended; and the lease that its renewals give.

use std::collections::BTreeSet;

use super::{Effect, How, Node, Notice, Purpose, Request};
use crate::timing::retry_for;
use crate::{Answer, Compare, Handoffs, Instant, Key, Revision, Session, Txn, Value};

/// How a node stands in etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No session yet, or none any more: one will be started.
    #[default]
    None,
    /// A session is being started.
    Starting,
    /// A predecessor's session is being resumed.
    Resuming(Revision),
    /// The session lives, as far as this node knows.
    Live(Revision),
    /// The node's name is held by another machine's session.
    InUse,
    /// The session is being ended.
    Ending(Revision),
    /// The node has ended.
    Ended,
}

/// A run of acknowledged renewals without a miss.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Acks {
    from: Instant,
    last: Instant,
    /// When the newest of them was decided: what misses an older one says nothing of the run.
    decided: Instant,
}

/// This node's own session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Own {
    standing: Standing,
    /// Whether it has once been decided what a predecessor's addresses are worth.
    decided: bool,
    /// Sessions this node had before and lost: disarmed, so nobody need wait for them.
    past: BTreeSet<Revision>,
    /// When a renewal was last decided.
    renewed: Instant,
    /// The session's value changed: renew without waiting for the interval.
    soon: bool,
    /// When the renewals without an answer were decided, the oldest first.
    under_way: Vec<Instant>,
    retry_at: Instant,
    acks: Option<Acks>,
    counter: u64,
    /// What the session was last made to say of handoffs.
    said: Handoffs,
}

impl Own {
    /// The most renewals under way at once: the 20 that are sent within a lease once it is over, and some out of turn.
    const MOST_UNDER_WAY: usize = 25;
    /// More renewals than a predecessor can have left under way, those within its other transactions included: its successor
    /// counts on from beyond them, as what is counted lower is not listened to.
    const LEFT_UNDER_WAY: u64 = 10_000;

    /// The live session.
    pub(super) fn live(&self) -> Option<Revision> {
        match self.standing {
            Standing::Live(session) => Some(session),
            _ => None,
        }
    }

    /// Whether what a predecessor left may still turn out to be rightly there.
    pub(super) fn undecided(&self) -> bool {
        !self.decided
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether this session was this node's own and is over.
    pub(super) fn is_past(&self, session: Revision) -> bool {
        self.past.contains(&session)
    }

    /// What the node says next is to be counted higher than this.
    pub(super) fn count_on_from(&mut self, counter: u64) {
        self.counter = self.counter.max(counter);
    }

    pub(super) fn renew_soon(&mut self) {
        self.soon = true;
    }

    /// A transaction that renews the session was decided.
    pub(super) fn renewing(&mut self, now: Instant) {
        self.renewed = now;
        self.soon = false;
    }

    /// Sees to it that a renewal is sent that was decided at `since` or later.
    pub(super) fn renew_once_since(&mut self, since: Instant) {
        self.soon |= self.renewed < since;
    }

    /// Since when own renewals have been acknowledged without a miss, and when the last one was.
    pub(super) fn acknowledged_since(&self) -> Option<(Instant, Instant)> {
        self.acks.as_ref().map(|acks| (acks.from, acks.last))
    }

    /// One decided then was acknowledged. If it overtakes an older one etcd lost that, and works again only now: the run
    /// begins anew.
    fn acknowledged(&mut self, now: Instant, decided: Instant) {
        let overtakes = self.under_way.iter().any(|older| *older < decided);
        self.under_way.retain(|other| *other > decided);
        match &mut self.acks {
            Some(acks) if !overtakes => {
                acks.last = now;
                acks.decided = acks.decided.max(decided);
            }
            acks => *acks = Some(Acks { from: now, last: now, decided }),
        }
    }

    /// One decided then was not acknowledged. If a later one was, that is no news: it was lost before the run began.
    fn missed(&mut self, decided: Instant) {
        self.answered(decided);
        self.acks.take_if(|acks| acks.decided < decided);
    }

    fn answered(&mut self, decided: Instant) {
        self.under_way.retain(|other| *other != decided);
    }
}

impl Node {
    /// How this node stands in etcd.
    pub fn standing(&self) -> Standing {
        self.own.standing()
    }

    /// The machine whose session holds this node's name, while it does.
    pub fn name_held_by(&self) -> Option<&str> {
        match (&self.own.standing, &self.view.get(&self.own_key())?.value) {
            (Standing::InUse, Value::Session(session)) => Some(&session.machine),
            _ => None,
        }
    }

    /// Starts, resumes, renews or ends the session, whichever is due.
    pub(super) fn keep_session(&mut self, now: Instant) {
        self.own.decided |= self.stopping;
        match self.own.standing {
            Standing::None | Standing::InUse if self.stopping => self.end_without_session(),
            Standing::None | Standing::InUse => self.seek_session(now),
            Standing::Live(session) if self.stopping && self.has_left(session) => {
                self.end_session(now, session);
            }
            Standing::Live(session) => self.renew_when_due(now, session),
            Standing::Starting | Standing::Resuming(_) | Standing::Ending(_) | Standing::Ended => {}
        }
    }

    fn seek_session(&mut self, now: Instant) {
        if self.links.is_none() || !self.listed {
            return;
        }
        if now < self.own.retry_at {
            return self.wake_at(self.own.retry_at);
        }
        let key = self.own_key();
        let Some(entry) = self.view.get(&key) else {
            self.own.decided = true;
            return self.start_session(now, key);
        };
        let (created, modified) = (entry.created, entry.modified);
        match &entry.value {
            Value::Session(session) if session.machine == self.settings.machine => {
                self.own.count_on_from(session.counter.saturating_add(Own::LEFT_UNDER_WAY));
                self.resume_session(now, key, created);
            }
            value => {
                self.own.decided = true;
                let machine = match value {
                    Value::Session(session) => session.machine.clone(),
                    _ => "unknown".to_owned(),
                };
                let given_up_at = self
                    .peers
                    .given_up_at(&self.settings.name, created, self.settings.timing)
                    .unwrap_or(Instant::ZERO);
                if now >= given_up_at {
                    self.own.retry_at = now + self.settings.timing.renew;
                    self.clear(now, key, modified);
                } else if self.own.standing != Standing::InUse {
                    self.own.standing = Standing::InUse;
                    self.tell(Notice::NameInUse { machine });
                }
                self.wake_at(given_up_at.max(self.own.retry_at));
            }
        }
    }

    fn start_session(&mut self, now: Instant, key: Key) {
        self.own.standing = Standing::Starting;
        let value = self.own_session(now);
        let mut txn = Txn::new();
        txn.put(Compare::Created(key, 0), value);
        self.commit(now, Purpose::Start, txn);
    }

    fn resume_session(&mut self, now: Instant, key: Key, created: Revision) {
        self.own.standing = Standing::Resuming(created);
        let value = self.own_session(now);
        let mut txn = Txn::new();
        txn.put(Compare::Created(key, created), value);
        self.commit(now, Purpose::Resume, txn);
    }

    /// Makes a transaction a renewal too.
    ///
    /// The session's incarnation is compared, not its last renewal: its own node alone writes it, and renewals overtake
    /// each other.
    pub(super) fn renew_within(&mut self, txn: &mut Txn, now: Instant, session: Revision) {
        let value = self.own_session(now);
        txn.put(Compare::Created(self.own_key(), session), value);
    }

    fn renew_when_due(&mut self, now: Instant, session: Revision) {
        if self.own.under_way.len() >= Own::MOST_UNDER_WAY {
            return;
        }
        let is_quick = self.must_be_quick(now, session);
        let due = if self.own.soon { now } else { self.renewal_due(is_quick) };
        if now < due {
            return self.wake_at(due);
        }
        let mut txn = Txn::new();
        self.renew_within(&mut txn, now, session);
        self.own.under_way.push(now);
        self.commit(now, Purpose::Renew, txn);
        self.wake_at(self.renewal_due(is_quick));
    }

    /// When the next renewal is due. Once the lease of a node that has to be quick is over it tries more often: etcd may be
    /// back at any moment, and how soon an owner is heard then is how long standbys have to wait for it.
    fn renewal_due(&self, is_quick: bool) -> Instant {
        let (timing, renewed) = (self.settings.timing, self.own.renewed);
        if is_quick {
            (renewed + timing.renew).min((renewed + retry_for(timing.lease)).max(self.lease))
        } else {
            renewed + timing.standby_renew()
        }
    }

    /// Renews at once where a handoff waits for this node's word.
    pub(super) fn say(&mut self) {
        if self.own.live().is_some() && self.handoffs() != self.own.said {
            self.own.renew_soon();
        }
    }

    fn own_session(&mut self, now: Instant) -> Value {
        self.own.renewing(now);
        self.own.said = self.handoffs();
        self.own.counter = self.own.counter.saturating_add(1);
        Value::Session(Session {
            machine: self.settings.machine.clone(),
            bound: self.bound,
            renew: self.settings.timing.renew,
            links: self.links.clone().unwrap_or_default(),
            addresses: self.addresses.clone(),
            ready: self.vips.iter().filter(|(_, vip)| vip.ready).map(|(ip, _)| *ip).collect(),
            priority: self.settings.priority,
            handoffs: self.own.said.clone(),
            counter: self.own.counter,
        })
    }

    fn end_session(&mut self, now: Instant, session: Revision) {
        if now < self.own.retry_at {
            return self.wake_at(self.own.retry_at);
        }
        let key = self.own_key();
        let mut txn = Txn::new();
        txn.delete(Compare::Created(key, session));
        self.commit(now, Purpose::End, txn);
        self.own.standing = Standing::Ending(session);
    }

    /// Whether no record names the session any more and nothing of any VIP stands here.
    fn has_left(&self, session: Revision) -> bool {
        let left =
            |vip: &super::Vip| vip.is_off() && !vip.pending && !vip.names(&self.settings.name, session);
        self.vips.values().all(left)
    }

    fn end_without_session(&mut self) {
        if self.vips.values().all(super::Vip::is_off) {
            self.own.standing = Standing::Ended;
            self.effects.push(Effect::Ended);
        }
    }

    /// The key of this node's session now has this create revision; none if it is gone.
    pub(super) fn own_key_is(&mut self, created: Option<Revision>) {
        match self.own.standing {
            Standing::Live(session) if created != Some(session) => self.lose_session(session),
            _ => {}
        }
    }

    /// Disarms everything at once; every pending operation of the session is void (I6).
    fn lose_session(&mut self, session: Revision) {
        self.lease = Instant::ZERO;
        self.own.past.insert(session);
        self.own.standing = Standing::None;
        self.own.under_way.clear();
        self.own.acks = None;
        self.own.retry_at = Instant::ZERO;
        for vip in self.vips.values_mut() {
            vip.pending = false;
            vip.leaving = false;
            vip.handing = None;
        }
        self.effects.push(Effect::Revoke(session));
        self.tell(Notice::SessionLost(session));
    }

    /// Takes in what an answer says about the session.
    pub(super) fn session_answered(
        &mut self,
        now: Instant,
        request: &Request,
        sent: Instant,
        answer: &Answer,
    ) {
        match (self.own.standing, request.purpose, answer) {
            (Standing::Starting, Purpose::Start, Answer::Done(revision)) => {
                self.go_live(now, *revision, sent);
                self.tell(Notice::SessionStarted(*revision));
            }
            (Standing::Resuming(session), Purpose::Resume, Answer::Done(_)) => {
                self.go_live(now, session, sent);
                self.tell(Notice::SessionResumed(session));
                self.resume_vips(now, session);
            }
            (Standing::Starting, Purpose::Start, _) | (Standing::Resuming(_), Purpose::Resume, _) => {
                self.own.standing = Standing::None;
                // A refusal told what is there: that can be acted on at once. Anything else is tried again.
                let pause = if matches!(answer, Answer::Refused { .. }) { 1 } else { 4 };
                self.own.retry_at = now + self.settings.timing.renew * pause / 4;
            }
            (Standing::Ending(session), Purpose::End, _) if request.session == Some(session) => {
                match answer {
                    Answer::Done(_) | Answer::Refused { .. } => {
                        self.own.past.insert(session);
                        self.own.standing = Standing::Ended;
                        self.effects.push(Effect::Ended);
                    }
                    Answer::Failed | Answer::Unknown => {
                        self.own.standing = Standing::Live(session);
                        self.own.retry_at = now + self.settings.timing.renew;
                    }
                }
            }
            (
                Standing::Live(session),
                Purpose::Renew | Purpose::Claim | Purpose::TakeOver | Purpose::HandOver,
                _,
            ) if request.session == Some(session) => {
                self.renewal_answered(now, session, request.decided, sent, answer);
            }
            _ => {}
        }
    }

    fn renewal_answered(
        &mut self,
        now: Instant,
        session: Revision,
        decided: Instant,
        sent: Instant,
        answer: &Answer,
    ) {
        match answer {
            Answer::Done(_) => {
                self.extend_right(session, sent);
                self.own.acknowledged(now, decided);
            }
            // etcd answered, but renewed nothing.
            Answer::Refused { .. } => self.own.answered(decided),
            Answer::Failed | Answer::Unknown => self.own.missed(decided),
        }
    }

    /// A further try of a renewal was acknowledged: it was sent later than the one that was answered first, perhaps. Of an
    /// older session it means nothing (I6).
    pub(super) fn acknowledged_too(&mut self, session: Option<Revision>, sent: Instant) {
        if let Some(live) = self.own.live()
            && session == Some(live)
        {
            self.extend_right(live, sent);
        }
    }

    fn go_live(&mut self, now: Instant, session: Revision, sent: Instant) {
        self.own.standing = Standing::Live(session);
        self.own.decided = true;
        self.own.under_way.clear();
        self.own.acks = Some(Acks { from: now, last: now, decided: now });
        self.extend_right(session, sent);
    }

    /// The lease counts from before the acknowledged request was sent (I3), and never moves back.
    fn extend_right(&mut self, session: Revision, sent: Instant) {
        let lease = sent + self.settings.timing.lease;
        if lease > self.lease {
            self.lease = lease;
            self.effects.push(Effect::Grant(session, lease));
        }
    }

    /// Deletes a session's key that has been silent, if it still is (I5).
    pub(super) fn clear(&mut self, now: Instant, key: Key, modified: Revision) {
        let mut txn = Txn::new();
        txn.delete(Compare::Modified(key, modified));
        self.commit(now, Purpose::Clear, txn);
    }

    /// What a resumed session owns and still stands goes on; what does not stand, or halfway in a handoff, may be under a
    /// release or a handover that a predecessor sent, so it is armed only once its record has changed.
    fn resume_vips(&mut self, now: Instant, session: Revision) {
        let mut resumed = Vec::new();
        for (ip, vip) in &mut self.vips {
            if !vip.names(&self.settings.name, session) {
                continue;
            }
            vip.doubtful = vip.is_off() || vip.halfway;
            resumed.push(Notice::BecameOwner { vip: *ip, epoch: vip.epoch, how: How::Resumed });
        }
        for notice in resumed {
            self.tell(notice);
        }
        self.inherit_all(now, session);
    }
}
