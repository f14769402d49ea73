//! What owners offer to this node: the successor's side of a handoff.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::peers::Peers;
use crate::{Holder, Instant, NodeName, Offer, Revision, Session, Timing};

/// An offer to this node, as its owner's session has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Offered {
    /// E of the offering session.
    pub(super) by: Revision,
    pub(super) offer: Offer,
    /// When it was first heard of.
    pub(super) since: Instant,
}

/// All offers to this node, by VIP and by who makes them: the owner, or a former one that still drains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Offers(BTreeMap<IpAddr, BTreeMap<NodeName, Offered>>);

impl Offers {
    /// Takes in what a session offers to the node `own`; nothing, if it is gone.
    pub(super) fn are(
        &mut self,
        now: Instant,
        own: &NodeName,
        name: &NodeName,
        session: Option<(Revision, &Session)>,
    ) {
        let stands = |ip: &IpAddr, known: &Offered| {
            session.is_some_and(|(by, session)| {
                known.by == by && session.handoffs.offers.get(ip) == Some(&known.offer)
            })
        };
        self.0.retain(|ip, offers| {
            if offers.get(name).is_some_and(|known| !stands(ip, known)) {
                offers.remove(name);
            }
            !offers.is_empty()
        });
        let Some((by, session)) = session else { return };
        for (ip, offer) in session.handoffs.offers.iter().filter(|(_, offer)| offer.to == *own) {
            let offered = || Offered { by, offer: offer.clone(), since: now };
            self.0.entry(*ip).or_default().entry(name.clone()).or_insert_with(offered);
        }
    }

    /// Whether anything is offered to this session.
    pub(super) fn are_there(&self, session: Revision) -> bool {
        self.0.values().flat_map(BTreeMap::values).any(|offered| offered.offer.session == session)
    }

    /// What a VIP's holder offers to this session, and until when that is worth being prepared for: an owner that is not
    /// done within a silence is not about to be.
    pub(super) fn of_holder(
        &self,
        ip: IpAddr,
        holder: &Holder,
        session: Revision,
        timing: Timing,
    ) -> Option<(&Offered, Instant)> {
        let offered = self.0.get(&ip)?.get(&holder.node)?;
        let is_meant = offered.by == holder.session && offered.offer.session == session;
        is_meant.then(|| (offered, offered.since + timing.silence_for(holder.bound)))
    }

    /// Who handed the VIP to this session and still drains it, and until when it can by what was heard of it.
    pub(super) fn drained(
        &self,
        ip: IpAddr,
        session: Revision,
        peers: &Peers,
        timing: Timing,
    ) -> Option<(&Offered, Instant)> {
        let meant = self.0.get(&ip)?.iter().filter(|(_, offered)| offered.offer.session == session);
        let (name, offered) = meant.max_by_key(|(_, offered)| offered.since)?;
        let (heard, bound) = peers.heard_of(name, offered.by)?;
        Some((offered, heard + timing.silence_for(bound)))
    }

    /// Whether that node offered the VIP to this session.
    pub(super) fn came_from(&self, ip: IpAddr, name: &NodeName, session: Revision) -> bool {
        let offered = self.0.get(&ip).and_then(|offers| offers.get(name));
        offered.is_some_and(|offered| offered.offer.session == session)
    }
}
