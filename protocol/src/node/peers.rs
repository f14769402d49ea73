//! The other nodes' sessions: when each was last heard of, on this node's own clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Entry, Holder, Instant, NodeName, Revision, Timing, Value};

/// What was last heard of one session, by name and create revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Heard {
    /// When it was last heard of, or listening began anew.
    at: Instant,
    /// When its last renewal was taken in, and the mod revision of that.
    renewed: (Instant, Revision),
    bound: Duration,
    renew: Duration,
    /// When clearing it away may be tried again.
    clear_at: Instant,
}

/// All sessions heard of and still of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Peers {
    heard: BTreeMap<(NodeName, Revision), Heard>,
}

impl Peers {
    /// Takes in what the key of a node's session now holds.
    pub(super) fn key_is(&mut self, now: Instant, name: &NodeName, entry: Option<&Entry>) {
        let Some(entry) = entry else { return };
        let key = (name.clone(), entry.created);
        match &entry.value {
            // Its node was alive when it wrote that.
            Value::Session(session) => {
                let renewed = (now, entry.modified);
                let (bound, renew) = (session.bound, session.renew);
                self.heard.insert(key, Heard { at: now, renewed, bound, renew, clear_at: Instant::ZERO });
            }
            // Its node may be alive, and nobody knows for how long it may go on.
            Value::Record(_) | Value::Garbage => {
                let (bound, renew) = (Timing::LONGEST_BOUND, Timing::LONGEST_LEASE / 10);
                let heard = Heard { at: now, renewed: (now, 0), bound, renew, clear_at: Instant::ZERO };
                self.heard.entry(key).or_insert(heard);
            }
        }
    }

    /// Starts the wait for every session anew.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        for heard in self.heard.values_mut() {
            heard.at = now;
        }
    }

    /// Forgets the sessions that are no longer of interest.
    pub(super) fn retain(&mut self, of_interest: impl Fn(&NodeName, Revision) -> bool) {
        self.heard.retain(|(name, created), _| of_interest(name, *created));
    }

    /// When a holder's session was last heard of, and how long it may go on after that.
    pub(super) fn last_heard(&self, holder: &Holder) -> Option<(Instant, Duration)> {
        self.heard_of(&holder.node, holder.session)
    }

    /// When a session was last heard of, and how long it may go on after that.
    pub(super) fn heard_of(&self, name: &NodeName, created: Revision) -> Option<(Instant, Duration)> {
        let heard = self.heard.get(&(name.clone(), created))?;
        Some((heard.at, heard.bound))
    }

    /// When a holder's last renewal was taken in, if it is the one with this mod revision: no other was carried out since,
    /// whatever was heard meanwhile.
    pub(super) fn renewed(&self, holder: &Holder, modified: Revision) -> Option<Instant> {
        let heard = self.heard.get(&(holder.node.clone(), holder.session))?;
        Some(heard.renewed).filter(|(_, renewal)| *renewal == modified).map(|(at, _)| at)
    }

    /// Until when a session counts as alive: two renewals of a standby were missed then.
    pub(super) fn alive_until(&self, name: &NodeName, created: Revision) -> Option<Instant> {
        Some(self.last_renewal(name, created)?.1)
    }

    /// When a session has been silent for so long that its owner cannot act and a standby would have been heard.
    pub(super) fn given_up_at(&self, name: &NodeName, created: Revision, timing: Timing) -> Option<Instant> {
        let heard = self.heard.get(&(name.clone(), created))?;
        Some(self.alive_until(name, created)?.max(heard.at + timing.silence_for(heard.bound)))
    }

    /// When a session is due to be cleared away: silent for ten times S.
    pub(super) fn clear_at(&self, name: &NodeName, created: Revision, timing: Timing) -> Option<Instant> {
        let heard = self.heard.get(&(name.clone(), created))?;
        Some((heard.at + 10 * timing.silence_for(heard.bound)).max(heard.clear_at))
    }

    /// A session is being cleared away: not again before `retry`.
    pub(super) fn clearing(&mut self, name: &NodeName, created: Revision, retry: Instant) {
        if let Some(heard) = self.heard.get_mut(&(name.clone(), created)) {
            heard.clear_at = retry;
        }
    }

    /// When a session was last heard of, and until when it counts as alive.
    pub(super) fn last_renewal(&self, name: &NodeName, created: Revision) -> Option<(Instant, Instant)> {
        let heard = self.heard.get(&(name.clone(), created))?;
        Some((heard.at, heard.at + 11 * heard.renew))
    }
}
