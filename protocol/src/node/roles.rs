//! What the kernel is to do for each VIP.
//!
//! | phase | role while the lease lasts |
//! |---|---|
//! | `Serving`, `Offered` | owner |
//! | `Yielding`, `Draining` until the successor answers | yielding |
//! | `Draining` from then on | forwarding |
//! | `NotOurs`, offered by the VIP's owner | prepared |
//! | `NotOurs` otherwise, `MustRewrite`, `Releasing` | off |
//!
//! Without a lease, or without a session, every VIP is off (I2).

use std::net::IpAddr;

use super::vip::{Draining, Ownership, Phase, Vip};
use super::{Effect, Node, Notice};
use crate::{Instant, Revision, Role};

/// A role, and until when it stays the same if nothing is heard.
type Due = (Role, Option<Instant>);

impl Node {
    /// Orders each VIP's role, and sees to it that the node is woken when the lease ends.
    pub(super) fn assign_roles(&mut self, now: Instant) {
        let live = self.own.live();
        let entitled = live.filter(|_| now < self.lease);
        let (mut served, mut lapsed, mut stands) = (0, 0, false);
        let ips: Vec<IpAddr> = self.vips.keys().copied().collect();
        for ip in ips {
            let vip = &self.vips[&ip];
            if serves(&vip.phase) {
                *(if entitled.is_some() { &mut served } else { &mut lapsed }) += 1;
            }
            let (due, until) = match entitled {
                Some(session) => self.due_role(now, ip, vip, session),
                // An address that an earlier agent left stands under its own lifetime until it is decided whose it is.
                None if self.own.is_undecided() => continue,
                None => (Role::Off, None),
            };
            if let Some(until) = until {
                self.wake_at(until);
            }
            stands |= due != Role::Off;
            if self.vips.get_mut(&ip).is_some_and(|vip| vip.kernel.order(due)) {
                self.effects.push(Effect::AssumeRole(ip, due));
            }
        }
        if stands {
            self.wake_at(self.lease);
        }
        match std::mem::replace(&mut self.lapsed, lapsed) {
            0 if lapsed > 0 => self.notify(Notice::LeaseExpired { vips: lapsed }),
            before if before > 0 && lapsed == 0 && served > 0 => {
                self.notify(Notice::LeaseRegained { vips: served });
            }
            _ => {}
        }
    }

    /// The role that a VIP's phase asks for while the lease of `session` lasts.
    fn due_role(&self, now: Instant, ip: IpAddr, vip: &Vip, session: Revision) -> Due {
        match &vip.phase {
            Phase::Ours(Ownership::Serving | Ownership::Offered { .. }) => {
                let Some(holder) = vip.record.holder() else { return (Role::Off, None) };
                let drained = self.offers.drained(ip, session, &self.peers, self.settings.timing);
                let drained = drained.filter(|(_, until)| now < *until);
                let drain = drained.map(|(drained, _)| drained.offer.mac);
                let role = Role::Owner { epoch: vip.record.epoch, bound: holder.bound, drain };
                (role, drained.map(|(_, until)| until))
            }
            Phase::Ours(Ownership::Yielding { handoff, to, .. }) => (Phase::yielding(*to, handoff), None),
            Phase::Ours(Ownership::MustRewrite | Ownership::Releasing) => (Role::Off, None),
            Phase::Draining(_) | Phase::NotOurs if !self.can_hand_over(ip) => (Role::Off, None),
            Phase::Draining(Draining { handoff, to, opened: false, .. }) => {
                (Phase::yielding(*to, handoff), None)
            }
            Phase::Draining(Draining { to, opened: true, .. }) => (Role::Forwarding { to: *to }, None),
            Phase::NotOurs => self.prepared_role(now, ip, vip, session).unwrap_or((Role::Off, None)),
        }
    }

    /// Prepared, if this node is ready for the VIP and its owner offers it.
    fn prepared_role(&self, now: Instant, ip: IpAddr, vip: &Vip, session: Revision) -> Option<Due> {
        let holder = vip.record.holder().filter(|holder| holder.node != self.settings.name)?;
        if !vip.local.is_ready() || self.stopping {
            return None;
        }
        let (offered, until) = self.offers.of_holder(ip, holder, session, self.settings.timing)?;
        (now < until).then_some((Role::Prepared { from: offered.offer.mac }, Some(until)))
    }
}

/// Whether a VIP is served, as owner, in a phase.
fn serves(phase: &Phase) -> bool {
    match phase {
        Phase::Ours(Ownership::Serving | Ownership::Offered { .. } | Ownership::Yielding { .. }) => true,
        Phase::Ours(Ownership::MustRewrite | Ownership::Releasing) | Phase::NotOurs | Phase::Draining(_) => {
            false
        }
    }
}
