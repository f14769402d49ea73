//! This node's own session: where it stands, and what its renewals tell of etcd.

use std::collections::BTreeSet;

use crate::{Handoffs, Instant, Revision};

/// The state of a node's session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No session yet, or none any more: one will be started.
    #[default]
    None,
    /// A session is being started.
    Starting,
    /// An earlier agent's session is being resumed.
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
    /// Whether it has once been decided what an earlier agent's addresses are worth.
    decided: bool,
    /// Sessions this node had before and lost: disarmed, so nobody need wait for them.
    past: BTreeSet<Revision>,
    /// When a renewal was last decided.
    renewed: Instant,
    /// The session's value changed: renew without waiting for the interval.
    soon: bool,
    /// When the renewals without an answer were decided, the oldest first.
    under_way: Vec<Instant>,
    /// When the session may be started, resumed or ended again.
    pub(super) retry_at: Instant,
    acks: Option<Acks>,
    counter: u64,
    /// What the session was last made to say of handoffs.
    said: Handoffs,
}

impl Own {
    /// The most renewals under way at once: the 20 that are sent within a lease once it is over, and some out of turn.
    const MOST_UNDER_WAY: usize = 25;
    /// More renewals than an earlier agent can have left under way, those within its other transactions included: the next
    /// agent counts on from beyond them, as what is counted lower is not listened to.
    const LEFT_UNDER_WAY: u64 = 10_000;

    /// Where the session stands.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// The live session.
    pub(super) fn live(&self) -> Option<Revision> {
        match self.standing {
            Standing::Live(session) => Some(session),
            Standing::None
            | Standing::Starting
            | Standing::Resuming(_)
            | Standing::InUse
            | Standing::Ending(_)
            | Standing::Ended => None,
        }
    }

    /// Where the session stands now.
    pub(super) fn stands(&mut self, standing: Standing) {
        self.standing = standing;
    }

    /// Whether what an earlier agent left may still turn out to be rightly there.
    pub(super) fn is_undecided(&self) -> bool {
        !self.decided
    }

    /// What an earlier agent left is not rightly there, unless the session that is live now says so.
    pub(super) fn decides(&mut self) {
        self.decided = true;
    }

    /// The session is live, since a request was acknowledged just now.
    pub(super) fn goes_live(&mut self, now: Instant, session: Revision) {
        self.standing = Standing::Live(session);
        self.decided = true;
        self.under_way.clear();
        self.acks = Some(Acks { from: now, last: now, decided: now });
    }

    /// The session is over.
    pub(super) fn is_lost(&mut self, session: Revision) {
        self.standing = Standing::None;
        self.past.insert(session);
        self.under_way.clear();
        self.acks = None;
        self.retry_at = Instant::ZERO;
    }

    /// The session was ended in order.
    pub(super) fn has_ended(&mut self, session: Revision) {
        self.past.insert(session);
        self.standing = Standing::Ended;
    }

    /// Whether this session was this node's own and is over.
    pub(super) fn is_past(&self, session: Revision) -> bool {
        self.past.contains(&session)
    }

    /// What the node says next is to be counted higher than this.
    pub(super) fn count_on_from(&mut self, counter: u64) {
        self.counter = self.counter.max(counter);
    }

    /// What the node says next is to be counted higher than whatever an earlier agent, last heard to count this far, may
    /// have left under way.
    pub(super) fn count_on_beyond(&mut self, counter: u64) {
        self.count_on_from(counter.saturating_add(Self::LEFT_UNDER_WAY));
    }

    /// The session is to be renewed without waiting for the interval.
    pub(super) fn renew_soon(&mut self) {
        self.soon = true;
    }

    /// Sees to it that a renewal is sent that was decided at `since` or later.
    pub(super) fn renew_once_since(&mut self, since: Instant) {
        self.soon |= self.renewed < since;
    }

    /// Renews at once where a handoff waits for this node's word.
    pub(super) fn renew_if_news(&mut self, handoffs: &Handoffs) {
        self.soon |= self.live().is_some() && *handoffs != self.said;
    }

    /// A transaction that renews the session is decided, and says this of handoffs; gives its number.
    pub(super) fn renews(&mut self, now: Instant, handoffs: &Handoffs) -> u64 {
        self.renewed = now;
        self.soon = false;
        self.said = handoffs.clone();
        self.counter = self.counter.saturating_add(1);
        self.counter
    }

    /// A renewal is under way that was decided now.
    pub(super) fn sends(&mut self, now: Instant) {
        self.under_way.push(now);
    }

    /// Whether as many renewals are under way as may be.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.len() >= Self::MOST_UNDER_WAY
    }

    /// When the next renewal is due: at once if there is news, else by the interval from the last one.
    pub(super) fn due(&self, now: Instant, by_interval: impl FnOnce(Instant) -> Instant) -> Instant {
        if self.soon { now } else { by_interval(self.renewed) }
    }

    /// Since when own renewals have been acknowledged without a miss, and when the last one was.
    pub(super) fn acknowledged_since(&self) -> Option<(Instant, Instant)> {
        self.acks.as_ref().map(|acks| (acks.from, acks.last))
    }

    /// A renewal decided then was acknowledged. If it overtakes an older one, etcd lost that and works again only now: the
    /// run begins anew.
    pub(super) fn acknowledged(&mut self, now: Instant, decided: Instant) {
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

    /// A renewal decided then was not acknowledged. If a later one was, that is no news: it was lost before the run began.
    pub(super) fn missed(&mut self, decided: Instant) {
        self.answered(decided);
        self.acks.take_if(|acks| acks.decided < decided);
    }

    /// A renewal decided then was answered, but renewed nothing.
    pub(super) fn answered(&mut self, decided: Instant) {
        self.under_way.retain(|other| *other != decided);
    }
}
