//! Why a VIP is to move, and to whom.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::handing::Successor;
use super::vip::Held;
use super::{NoHandoff, Node, Notice};
use crate::{Entry, Instant, Key, NodeName, Revision, Session, Value};

/// Why and where a VIP is to move, beyond what its node's own state says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wishes {
    /// Somebody asked for it.
    asked: Option<Asked>,
    /// A node that goes before this one is ready for it, and since when.
    preferred: Option<(Successor, Instant)>,
    /// Who was offered it in vain since the wish came up.
    pub(super) tried: Vec<Successor>,
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    /// The node that is to follow; any if it is not said.
    to: Option<NodeName>,
}

/// Why a VIP is to move.
pub(super) enum Urge {
    /// It cannot stay: if nobody follows it is released.
    Must,
    /// It was asked for: to that node, or to any. If nobody follows it stays.
    Asked(Option<NodeName>),
    /// This node goes before its owner. If it does not follow the VIP stays.
    Preferred(NodeName),
}

/// To how many nodes a VIP is offered, one after the other.
const MOST_TRIES: usize = 3;

impl Node {
    /// Somebody wants a VIP handed over.
    pub(super) fn hand_off(&mut self, ip: IpAddr, to: Option<NodeName>) {
        let refusal = match (self.vips.get_mut(&ip), self.own.live()) {
            (None, _) => NoHandoff::UnknownVip,
            (Some(vip), Some(session)) if vip.names(&self.settings.name, session) => {
                if vip.leaving {
                    NoHandoff::Leaving
                } else if to.as_ref() == Some(&self.settings.name) {
                    NoHandoff::OwnerAlready
                } else {
                    vip.wishes.asked = Some(Asked { to });
                    return;
                }
            }
            (Some(vip), _) => match &vip.held {
                Held::By(holder) if holder.node != self.settings.name => {
                    NoHandoff::OwnedBy(holder.node.clone())
                }
                Held::By(_) | Held::Nobody | Held::Unknown => NoHandoff::Unowned,
            },
        };
        self.tell(Notice::NotHandedOver { vip: ip, why: refusal });
    }

    /// Why a VIP of this node's is to move, if it is.
    pub(super) fn urge(&mut self, now: Instant, ip: IpAddr) -> Option<Urge> {
        if self.stopping || self.yields(now, ip) {
            return Some(Urge::Must);
        }
        if let Some(Asked { to }) = self.vips.get(&ip).and_then(|vip| vip.wishes.asked.clone()) {
            return Some(Urge::Asked(to));
        }
        let delay = self.settings.preempt?;
        let own = self.settings.priority;
        let before = self.followers(now, ip).filter(|(_, _, session)| session.priority > own);
        let first = before.min_by_key(|(name, _, session)| (Reverse(session.priority), *name));
        let first = first.map(|(name, created, _)| (name.clone(), created));
        let vip = self.vips.get_mut(&ip)?;
        let Some(first) = first else {
            vip.wishes.preferred = None;
            return None;
        };
        let since = match &vip.wishes.preferred {
            Some((known, since)) if *known == first => *since,
            _ => now,
        };
        let name = first.0.clone();
        vip.wishes.preferred = Some((first, since));
        if now < since + delay {
            self.wake_at(since + delay);
            return None;
        }
        Some(Urge::Preferred(name))
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
    pub(super) fn successor(&self, now: Instant, ip: IpAddr, urge: &Urge) -> Result<Successor, NoHandoff> {
        if !self.macs.contains_key(&ip) {
            return Err(NoHandoff::NotFenced);
        }
        let tried = self.vips.get(&ip).map_or(&[][..], |vip| &vip.wishes.tried);
        let wanted = match urge {
            Urge::Must | Urge::Asked(None) => None,
            Urge::Asked(Some(name)) | Urge::Preferred(name) => Some(name),
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

    /// Nobody follows: what cannot stay is released, what can stays.
    pub(super) fn nobody_follows(&mut self, now: Instant, ip: IpAddr, urge: &Urge, why: NoHandoff) {
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        let was_tried = !std::mem::take(&mut vip.wishes.tried).is_empty();
        let asked = vip.wishes.asked.take().is_some();
        match urge {
            Urge::Must => vip.leaving = true,
            Urge::Asked(_) => {}
            Urge::Preferred(_) => {
                if let Some((_, since)) = &mut vip.wishes.preferred {
                    *since = now;
                }
            }
        }
        if asked || was_tried {
            self.tell(Notice::NotHandedOver { vip: ip, why });
        }
    }

    /// Whoever asked for a VIP to be handed over is told that it is not.
    pub(super) fn stays(&mut self, ip: IpAddr, why: NoHandoff) {
        let asked = self.vips.get_mut(&ip).and_then(|vip| vip.wishes.asked.take());
        if asked.is_some() {
            self.tell(Notice::NotHandedOver { vip: ip, why });
        }
    }
}
