//! What must hold of handoffs: whom a yielding node names, and when it sends on.

use std::net::IpAddr;

use mantle_ebpf::wire::Mac;
use mantle_protocol::{Key, Role, Value};

use super::clock::Micros;
use super::kernel::State;
use super::world::World;

impl World {
    /// I1 for those who ask during a handoff: a yielding node names no other node than one whose kernel has stood prepared
    /// for this very offer. That node may have died since; nobody can know that sooner.
    pub(super) fn yields_to_the_prepared(&mut self, at: usize, ip: IpAddr, role: Role) {
        let Role::Yielding { to, number } = role else { return };
        let offered = std::time::Duration::from_micros(number);
        let offered = self.hosts[at].clock.reaches(mantle_protocol::Instant::from_boot(offered));
        let is_prepared = self.of_mac(to).is_some_and(|successor| {
            let host = &self.hosts[successor];
            let stands = host.kernel.entries.get(&ip).is_some_and(|entry| {
                matches!(entry.state, State::Prepared | State::Forwarding | State::Owner)
            });
            stands || host.unanswered_at.get(&ip).is_some_and(|when| *when + 2 >= offered)
        });
        if !is_prepared {
            let name = self.hosts[at].plan.name.clone();
            self.violated("I1", || {
                format!("{name} names {to} for {ip}, which was never prepared for that offer")
            });
        }
    }

    /// Nobody sends on before the successor answers. A successor whose agent or session is gone by then has an excuse, and so
    /// has a node that has waited for a whole step of the handoff.
    pub(super) fn sends_on_to_the_answering(&mut self, at: usize, ip: IpAddr, role: Role) {
        let Role::Forwarding { to } = role else { return };
        let Some(successor) = self.of_mac(to) else { return };
        let (host, owner) = (&self.hosts[successor], &self.hosts[at]);
        let Some(given) = self.given.get(&ip).filter(|given| given.to == successor) else { return };
        let step = owner.clock.truly(owner.plan.timing.lease / 2);
        let has_answered = host.answered_at.get(&ip).is_some_and(|answered| *answered >= given.when);
        let key = Key::Node(host.plan.name.parse().expect("the plan's names are good"));
        let goes_on =
            self.etcd.store.keys.get(&key).is_some_and(|entry| {
                matches!(&entry.value, Value::Session(_)) && entry.created == given.session
            });
        let is_same = host.agent.is_some() && host.life == given.life && goes_on;
        if !has_answered && is_same && self.now < given.when + step {
            let name = owner.plan.name.clone();
            self.violated("sending on", || format!("{name} sends on what is for {ip} before {to} answers"));
        }
    }

    /// The host that has, or had, this MAC.
    fn of_mac(&self, mac: Mac) -> Option<usize> {
        Some(usize::from(mac.0[5])).filter(|at| *at < self.hosts.len())
    }
}

/// A VIP that was handed over.
pub(super) struct Given {
    pub(super) when: Micros,
    pub(super) to: usize,
    /// The successor's agent and session at that time.
    pub(super) life: u32,
    pub(super) session: mantle_protocol::Revision,
}
