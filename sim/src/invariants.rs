//! What must hold after every step, judged from outside: by true time, by what stands in the kernels and in etcd.

use std::net::IpAddr;

use mantle_protocol::{
    Change, Compare, Instant, Key, Purpose, Record, Request, Revision, Role, Standing, Value, Write,
};

use super::clock::Micros;
use super::etcd::Try;
use super::host::Host;
use super::world::World;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl World {
    pub(super) fn violated(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        if self.judged.is_some_and(|judged| judged != invariant) {
            return;
        }
        if self.violation.is_none() {
            let what = what();
            self.story.tell(self.now, || format!("** {invariant}: {what}"));
            self.violation = Some(Violation { invariant, what });
        }
    }

    /// I1: at most one node is heard to answer for a VIP, at one true time.
    ///
    /// To be asked whenever something is armed or a lease moves: from then on answering only ends.
    pub(super) fn one_answers_at_most(&mut self) {
        for number in 0..self.plan.vips.len() {
            let ip = self.plan.vips[number];
            let heard = (0..self.hosts.len()).filter(|at| self.hosts[*at].is_heard(ip, self.now)).count();
            if heard > 1 {
                self.violated("I1", || format!("{heard} nodes answer for {ip}"));
            }
        }
    }

    /// I2 and I6: past the lease nothing is ordered to be served, and the timer is set for its end; the view never goes back.
    pub(super) fn agent_is_in_order(&mut self, at: usize, view_may_have_moved: bool) {
        let now = self.hosts[at].clock.at(self.now);
        let Some(agent) = &mut self.hosts[at].agent else { return };
        let lease = agent.node.lease();
        let is_worn = agent.ordered.values().any(|(role, _)| *role != Role::Off);
        let (past, unset) = (is_worn && now >= lease, is_worn && agent.node.deadline() > lease);
        let mut back = None;
        if view_may_have_moved {
            for (key, entry) in agent.node.view().iter() {
                match agent.shown.get_mut(key) {
                    Some(shown) if *shown > entry.modified => back = Some(key.clone()),
                    Some(shown) => *shown = entry.modified,
                    None => {
                        agent.shown.insert(key.clone(), entry.modified);
                    }
                }
            }
        }
        // Without a session of its own that lives, or is being ended, it has no lease, and its kernel none of its session.
        let has_none = match agent.node.standing() {
            Standing::None | Standing::Starting | Standing::Resuming(_) | Standing::InUse => true,
            Standing::Live(_) | Standing::Ending(_) | Standing::Ended => false,
        };
        let mark = agent.mark;
        let kernel = &self.hosts[at].kernel;
        let granted = mark != 0 && kernel.mark == mark && now < kernel.until;
        let goes_on = has_none && (lease > Instant::ZERO || granted);
        if goes_on {
            self.violated("I2", || format!("a lease goes on until {lease:?} though its session is lost"));
        }
        if past {
            self.violated("I2", || "something is ordered to be served past the lease".to_owned());
        }
        if unset {
            self.violated("I2", || format!("no timer is set for the end of the lease at {lease:?}"));
        }
        if let Some(key) = back {
            self.violated("I6", || format!("the view of {key} went back"));
        }
    }

    /// I3: a lease lasts no longer than D from before a renewal was sent that etcd carried out for this session.
    /// Under one session it never moves back.
    pub(super) fn lease_is_backed(&mut self, at: usize, session: Revision, until: Instant) {
        // The next agent of a session may have another timing, and a shorter lease with it.
        let granted = self.hosts[at].agent.as_ref().map(|agent| agent.granted);
        let moves_back =
            until > Instant::ZERO && granted.is_some_and(|(of, before)| of == session && until < before);
        if moves_back {
            self.violated("I3", || format!("the lease of {session} moves back to {until:?}"));
        }
        let host = &self.hosts[at];
        let backed = host.renewed.get(&session).map_or(Instant::ZERO, |sent| *sent + host.plan.timing.lease);
        if until > backed {
            self.violated("I3", || format!("a lease until {until:?} where {backed:?} is what was renewed"));
        }
    }

    /// I4: no release, and no end of a session, is carried out while the address stands.
    pub(super) fn released_what_was_off(&mut self, attempt: &Try) {
        let host = &self.hosts[attempt.at];
        let now = host.clock.at(self.now);
        let nobody = Value::Record(Record { owner: None });
        let released = |write: &Write| match write {
            Write::Put(Key::Vip(ip), value) if *value == nobody => Some(*ip),
            _ => None,
        };
        let standing = match attempt.request.purpose {
            Purpose::End => host.kernel.entries.keys().copied().find(|ip| host.kernel.stands(*ip, now)),
            _ => attempt
                .request
                .txn
                .writes()
                .iter()
                .filter_map(released)
                .find(|ip| host.kernel.stands(*ip, now)),
        };
        if let Some(ip) = standing {
            self.violated("I4", || format!("{ip} is given up while it stands"));
        }
    }

    /// I4 for a handoff: nothing is handed over while its giver's kernel answers for it with its own MAC. And nothing is taken
    /// while its taker's kernel still answers for it by an earlier record; who rewrites its own record takes nothing.
    pub(super) fn silent_where_it_changes_hands(&mut self, attempt: &Try) {
        let host = &self.hosts[attempt.at];
        let is_own = |ip: &IpAddr| {
            let before = self.owners.get(ip);
            before.is_some_and(|(node, session)| {
                node.as_str() == host.plan.name && attempt.request.session == Some(*session)
            })
        };
        let changes_hands = |ip: &IpAddr| match attempt.request.purpose {
            Purpose::HandOver => true,
            Purpose::Claim | Purpose::TakeOver => !is_own(ip),
            _ => false,
        };
        let answered = attempt.request.txn.writes().iter().find_map(|write| match write {
            Write::Put(Key::Vip(ip), _) if host.is_heard(*ip, self.now) => Some(*ip),
            _ => None,
        });
        if let Some(ip) = answered.filter(changes_hands) {
            let purpose = attempt.request.purpose;
            self.violated("I4", || format!("{purpose:?} of {ip} while its node answers for it"));
        }
    }

    /// I4 again: an agent that has ended leaves nothing standing.
    pub(super) fn nothing_stands(&mut self, at: usize) {
        let host = &self.hosts[at];
        let now = host.clock.at(self.now);
        if let Some(ip) = host.kernel.entries.keys().find(|ip| host.kernel.stands(**ip, now)) {
            let ip: IpAddr = *ip;
            self.violated("I4", || format!("{ip} stands after the agent has ended"));
        }
    }

    /// I5: every key that is written or deleted is compared: a record, and the session of another node, by the revision that
    /// was seen last; the node's own session, which nobody else writes, by its creation.
    pub(super) fn compares_what_it_writes(&mut self, at: usize, request: &Request) {
        let name = self.hosts[at].plan.name.clone();
        let is_own = |key: &Key| matches!(key, Key::Node(node) if node.as_str() == name);
        let compares = self.compares(request);
        for write in request.txn.writes() {
            let (Write::Put(key, _) | Write::Delete(key)) = write;
            let is_compared = compares.iter().any(|compare| match compare {
                Compare::Modified(seen, _) => seen == key,
                Compare::Created(seen, _) => seen == key && is_own(key),
            });
            if !is_compared {
                self.violated("I5", || format!("{name} writes {key} without comparing what it saw last"));
            }
        }
    }

    /// I5 again: a record that is written names nobody, or a session that is there: its owner could not serve the VIP otherwise,
    /// and everybody else would have to wait for it.
    pub(super) fn names_what_is_there(&mut self, attempt: &Try) {
        for write in attempt.request.txn.writes() {
            let Write::Put(Key::Vip(ip), Value::Record(Record { owner: Some(owner) })) = write else {
                continue;
            };
            let session = self.etcd.store.keys.get(&Key::Node(owner.node.clone()));
            if session.is_none_or(|entry| entry.created != owner.session) {
                let (node, ip) = (owner.node.clone(), *ip);
                self.violated("I5", || format!("{ip} goes to a session of {node} that is gone"));
            }
        }
    }

    /// I8: whatever happens to one VIP, the others are served without a break, also while they are handed over.
    pub(super) fn others_do_not_notice(&mut self) {
        let Some((alone, from)) = self.plan.alone else { return };
        if self.now < from {
            return;
        }
        for number in 0..self.plan.vips.len() {
            let ip = self.plan.vips[number];
            if ip != alone && !self.hosts.iter().any(|host| host.serves(ip, self.now)) {
                self.violated("I8", || format!("nobody serves {ip} though only {alone} is in trouble"));
            }
        }
    }

    /// Liveness: once everything has been well for the plan's bound, every VIP that anybody wants is answered for, and every
    /// agent has a session. Of those that share a name one has.
    pub(super) fn all_is_well(&mut self) {
        let since = Duration(self.plan.well - self.plan.schedule.over);
        for number in 0..self.plan.vips.len() {
            let ip = self.plan.vips[number];
            // Of those that share a name only the one with the session may take it up.
            let may = |host: &Host| host.is_live() || !self.has_live_namesake(host);
            let wanted = self.hosts.iter().any(|host| host.wants(ip) && may(host));
            if wanted && !self.hosts.iter().any(|host| host.is_heard(ip, self.now)) {
                self.violated("liveness", || {
                    format!("nobody answers for {ip}, {since} s after the last fault")
                });
            }
        }
        for at in 0..self.hosts.len() {
            let name = self.hosts[at].plan.name.clone();
            if self.hosts[at].agent.is_some() && !self.has_live_namesake(&self.hosts[at]) {
                self.violated("liveness", || {
                    format!("{name} has no session, {since} s after the last fault")
                });
            }
        }
    }

    /// Whether a session lives under a host's name, its own or another's.
    fn has_live_namesake(&self, host: &Host) -> bool {
        self.hosts.iter().any(|other| other.plan.name == host.plan.name && other.is_live())
    }

    /// An owner changes for a cause, or not at all: once all is well again, and in a world in which another VIP alone is in
    /// trouble. A node that gives way to one of higher priority has a cause.
    pub(super) fn owners_stay(&mut self, changes: &[Change]) {
        let is_well = self.now >= self.plan.well;
        let alone = self.plan.alone.filter(|(_, from)| self.now >= *from).map(|(vip, _)| vip);
        if (!is_well && alone.is_none()) || self.hosts.iter().any(|host| host.plan.preempt.is_some()) {
            return;
        }
        for change in changes {
            let (Key::Vip(ip), Some(entry)) = (&change.key, &change.entry) else { continue };
            let Value::Record(Record { owner: Some(holder) }) = &entry.value else { continue };
            let before = self.owners.get(ip).filter(|_| is_well || alone != Some(*ip));
            if before.is_some_and(|before| *before != (holder.node.clone(), holder.session)) {
                let name = holder.node.clone();
                self.violated("cause", || format!("{ip} goes to {name} without a cause"));
            }
        }
    }

    /// Keeps who owns what, as etcd has it.
    pub(super) fn note_owners(&mut self, changes: &[Change]) {
        for change in changes {
            let Key::Vip(ip) = &change.key else { continue };
            match change.entry.as_ref().map(|entry| &entry.value) {
                Some(Value::Record(Record { owner: Some(holder) })) => {
                    self.owners.insert(*ip, (holder.node.clone(), holder.session));
                }
                Some(Value::Record(Record { owner: None })) => {
                    self.owners.remove(ip);
                }
                // Whoever it named last is presumed to go on.
                _ => {}
            }
        }
    }
}

/// A span of true time.
struct Duration(Micros);

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}
