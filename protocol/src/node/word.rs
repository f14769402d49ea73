//! What this node's session says of handoffs.

use std::net::IpAddr;

use mantle_ebpf::wire::Mac;

use super::Node;
use super::offers::Offered;
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
            if let Some((offered, mac)) = live.and_then(|session| self.prepared_for(*ip, vip, session)) {
                let word = Preparation { session: offered.by, number: offered.offer.number, mac };
                said.prepared.insert(*ip, word);
            }
        }
        said
    }

    /// The offer that this node is prepared for, by the kernel's word, and the MAC it will answer with. A node that the record
    /// has made owner says so until its kernel answers.
    fn prepared_for(&self, ip: IpAddr, vip: &Vip, session: Revision) -> Option<(&Offered, Mac)> {
        if !vip.kernel.stands_unanswered() {
            return None;
        }
        let timing = self.settings.timing;
        let holder = vip.record.holder()?;
        let (offered, _) = match &vip.phase {
            Phase::Ours(_) => self.offers.drained(ip, session, &self.peers, timing)?,
            Phase::NotOurs | Phase::Draining(_) if vip.kernel.is_to_stand_unanswered() => {
                self.offers.of_holder(ip, holder, session, timing)?
            }
            Phase::NotOurs | Phase::Draining(_) => return None,
        };
        Some((offered, *self.machine.macs.get(&ip)?))
    }
}
