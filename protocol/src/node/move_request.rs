//! Why a VIP is to move, and to whom.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::vip::{Ownership, Phase};
use super::{NoHandoff, Node, Notice, Successor};
use crate::{Entry, Instant, Key, NodeName, Revision, Session, Value};

/// Why and where a VIP is to move, beyond what its node's own state says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct MoveRequest {
    /// Somebody asked for it.
    asked: Option<Asked>,
    /// A node that goes before this one is ready for it, and since when.
    preferred: Option<(Successor, Instant)>,
    /// The nodes that were offered it in vain since the reason came up.
    pub(super) tried: Vec<Successor>,
}

/// What somebody asked for: a move to this node, or to any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked(Option<NodeName>);

/// Why a VIP is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It cannot stay: if nobody follows it is released.
    Must,
    /// It was asked for: for that node, or for any. If nobody follows it stays.
    Asked(Option<NodeName>),
    /// This node goes before its owner. If it does not follow the VIP stays.
    Preferred(NodeName),
}

/// To how many nodes a VIP is offered, one after the other.
const MOST_TRIES: usize = 3;

impl MoveRequest {
    /// Forgets everything: the VIP has moved.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Nobody follows. Says whether that is worth telling.
    pub(super) fn nobody_follows(&mut self, now: Instant, reason: &Reason) -> bool {
        let was_tried = !std::mem::take(&mut self.tried).is_empty();
        let was_asked = self.asked.take().is_some();
        if let (Reason::Preferred(_), Some((_, since))) = (reason, &mut self.preferred) {
            // The preferred node is tried again after the delay.
            *since = now;
        }
        was_asked || was_tried
    }
}

impl Node {
    /// Somebody asks for a VIP to be handed over.
    pub(super) fn hand_off(&mut self, ip: IpAddr, to: Option<NodeName>) {
        let why = match self.vips.get_mut(&ip) {
            None => NoHandoff::UnknownVip,
            Some(vip) => match &vip.phase {
                Phase::Ours(Ownership::Releasing) => NoHandoff::Leaving,
                Phase::Ours(_) if to.as_ref() == Some(&self.settings.name) => NoHandoff::OwnerAlready,
                Phase::Ours(_) => {
                    vip.request.asked = Some(Asked(to));
                    return;
                }
                Phase::NotOurs | Phase::Draining(_) => match vip.record.holder() {
                    Some(holder) if holder.node != self.settings.name => {
                        NoHandoff::OwnedBy(holder.node.clone())
                    }
                    Some(_) | None => NoHandoff::Unowned,
                },
            },
        };
        self.notify(Notice::NotHandedOver { vip: ip, why });
    }

    /// Whoever asked for a VIP to be handed over is told that it is not.
    pub(super) fn refuse_request(&mut self, ip: IpAddr, why: NoHandoff) {
        let asked = self.vips.get_mut(&ip).and_then(|vip| vip.request.asked.take());
        if asked.is_some() {
            self.notify(Notice::NotHandedOver { vip: ip, why });
        }
    }

    /// Keeps account of how long a node that goes before this one has been ready for a VIP.
    pub(super) fn note_preferred(&mut self, now: Instant, ip: IpAddr) {
        if self.settings.preempt.is_none() {
            return;
        }
        let own = self.settings.priority;
        let before = self.followers(now, ip).filter(|(_, _, session)| session.priority > own);
        let first = before.min_by_key(|(name, _, session)| (Reverse(session.priority), *name));
        let first = first.map(|(name, created, _)| (name.clone(), created));
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        vip.request.preferred = first.map(|first| match vip.request.preferred.take() {
            Some((known, since)) if known == first => (first, since),
            _ => (first, now),
        });
    }

    /// Why a VIP of this node's is to move, if it is.
    pub(super) fn reason_to_move(&mut self, now: Instant, ip: IpAddr) -> Option<Reason> {
        let gives_up_at = self.gives_up_for_health_at(now, ip);
        if let Some(at) = gives_up_at.filter(|at| now < *at) {
            self.wake_at(at);
        }
        if self.stopping || gives_up_at.is_some_and(|at| now >= at) {
            return Some(Reason::Must);
        }
        let request = &self.vips[&ip].request;
        if let Some(Asked(to)) = &request.asked {
            return Some(Reason::Asked(to.clone()));
        }
        let ((name, _), since) = request.preferred.clone()?;
        let at = since + self.settings.preempt?;
        if now < at {
            self.wake_at(at);
            return None;
        }
        Some(Reason::Preferred(name))
    }

    /// The nodes that could follow as owner of a VIP: alive, ready for it and able to take part.
    fn followers(&self, now: Instant, ip: IpAddr) -> impl Iterator<Item = (&NodeName, Revision, &Session)> {
        self.view.iter().filter_map(move |(key, entry)| match (key, &entry.value) {
            (Key::Node(name), Value::Session(session)) if *name != self.settings.name => {
                let alive = self.peers.alive_until(name, entry.created).is_some_and(|until| now < until);
                let follows = alive && session.handoffs.able && session.ready.contains(&ip);
                follows.then_some((name, entry.created, session))
            }
            _ => None,
        })
    }

    /// The best of those that were not tried in vain.
    pub(super) fn successor(
        &self,
        now: Instant,
        ip: IpAddr,
        reason: &Reason,
    ) -> Result<Successor, NoHandoff> {
        if !self.can_hand_over(ip) {
            return Err(NoHandoff::NotFenced);
        }
        let tried = &self.vips[&ip].request.tried;
        let wanted = match reason {
            Reason::Must | Reason::Asked(None) => None,
            Reason::Asked(Some(name)) | Reason::Preferred(name) => Some(name),
        };
        let untried = self.followers(now, ip).filter(|(name, created, _)| {
            wanted.is_none_or(|wanted| wanted == *name)
                && !tried.iter().any(|(tried, session)| (tried, session) == (*name, created))
        });
        let best = untried.min_by_key(|(name, _, session)| (Reverse(session.priority), *name));
        match (best, tried.last()) {
            (Some((name, created, _)), _) if tried.len() < MOST_TRIES => Ok((name.clone(), created)),
            (_, Some((name, _))) => Err(NoHandoff::Unprepared(name.clone())),
            (_, None) => Err(wanted.map_or(NoHandoff::NobodyReady, |name| self.why_not(now, ip, name))),
        }
    }

    /// Why a node cannot follow.
    fn why_not(&self, now: Instant, ip: IpAddr, name: &NodeName) -> NoHandoff {
        match self.view.get(&Key::Node(name.clone())) {
            Some(Entry { value: Value::Session(session), created, .. })
                if self.peers.alive_until(name, *created).is_some_and(|until| now < until) =>
            {
                if session.ready.contains(&ip) {
                    NoHandoff::NotAble(name.clone())
                } else {
                    NoHandoff::NotReady(name.clone())
                }
            }
            _ => NoHandoff::NotAlive(name.clone()),
        }
    }
}
