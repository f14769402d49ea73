//! What this node's session says of handoffs.

use std::net::IpAddr;

use super::Node;
use super::vip::{Phase, Vip};
use crate::{Handoffs, Preparation, Revision};

impl Node {
    /// What the session is to say now.
    pub(super) fn handoffs(&self) -> Handoffs {
        let can = |ip: &IpAddr| self.can_hand_over(*ip);
        let mut said = Handoffs {
            able: !self.machine.macs.is_empty()
                && self.vips.iter().all(|(ip, vip)| !vip.local.is_ready() || can(ip)),
            ..Handoffs::default()
        };
        let live = self.own.live();
        for (ip, vip) in &self.vips {
            if let Some(handoff) = vip.phase.handoff() {
                said.offers.insert(*ip, handoff.offer.clone());
            }
            if let Some(word) = live.and_then(|session| self.word_to_giver(*ip, vip, session)) {
                said.prepared.insert(*ip, word);
            }
        }
        said
    }

    /// What this node says to the owner that offers it a VIP, or that handed it over and still drains.
    fn word_to_giver(&self, ip: IpAddr, vip: &Vip, session: Revision) -> Option<Preparation> {
        let timing = self.settings.timing;
        let holder = vip.record.holder()?;
        let ((offered, _), answers) = match &vip.phase {
            Phase::Ours(_) if vip.kernel.answers() => {
                (self.offers.drained(ip, session, &self.peers, timing)?, true)
            }
            Phase::NotOurs | Phase::Draining(_) if vip.kernel.stays_unanswered() && !self.stopping => {
                (self.offers.of_holder(ip, holder, session, timing)?, false)
            }
            // An owner says nothing before it answers: it may not have heard yet that another owns the VIP by now.
            Phase::Ours(_) | Phase::NotOurs | Phase::Draining(_) => return None,
        };
        let mac = *self.machine.macs.get(&ip)?;
        Some(Preparation { session: offered.by, number: offered.offer.number, mac, answers })
    }
}
