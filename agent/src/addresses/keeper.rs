//! Choices kept over time: what is lost is waited for, and a first choice for things to come to rest. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::candidate::Candidate;
use super::choose::{Choice, choose};
use super::rule::{Purpose, Rule};
use super::wishes::Wishes;
use crate::protocol::Instant;

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A first choice waits until nothing has changed for so long: at boot addresses come one by one.
    pub settle: Duration,
    /// A chosen address is lost when it has been missing for so long: a pulled cable or a renewed lease is no loss.
    pub lost_after: Duration,
    /// And not before this long after the start: at boot the chosen address may be the last to come.
    pub boot: Duration,
}

impl Patience {
    /// The agent's.
    pub const AGENT: Self = Self {
        settle: Duration::from_secs(2),
        lost_after: Duration::from_secs(10),
        boot: Duration::from_secs(30),
    };
    /// Chooses from what there is.
    pub const NONE: Self = Self { settle: Duration::ZERO, lost_after: Duration::ZERO, boot: Duration::ZERO };
}

/// A choice as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is for.
    pub purpose: Purpose,
    /// What it goes by.
    pub rule: Rule,
    /// The choice.
    pub choice: Choice,
    /// Whether it is to be looked at again soon: for things to come to rest, or for what is missing.
    pub waits: bool,
    /// What it was before, if this look changed it.
    pub changed_from: Option<Vec<IpAddr>>,
}

/// The choices, by what they are for.
pub type Choices = BTreeMap<Purpose, Vec<IpAddr>>;

/// Keeps the choices of one node.
#[derive(Clone, Debug)]
pub struct Keeper {
    rules: Vec<(Purpose, Rule)>,
    patience: Patience,
    began: Instant,
    machine: Vec<Candidate>,
    changed: Instant,
    held: BTreeMap<Purpose, Held>,
    deadline: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    addresses: Vec<IpAddr>,
    /// Since when something about them isn't as it should be.
    amiss_since: Option<Instant>,
}

impl Keeper {
    /// A keeper that goes on from the choices an earlier one made.
    pub fn new(wishes: &Wishes, earlier: &Choices, patience: Patience, now: Instant) -> Self {
        let held = |addresses: &Vec<IpAddr>| Held { addresses: addresses.clone(), amiss_since: None };
        let held = earlier.iter().map(|(purpose, addresses)| (purpose.clone(), held(addresses))).collect();
        let (rules, machine) = (wishes.rules(), Vec::new());
        Self { rules, patience, began: now, machine, changed: now, held, deadline: None }
    }

    /// Looks at the node's addresses as they are now; says of every choice how it stands.
    pub fn look(&mut self, now: Instant, machine: &[Candidate], vips: &BTreeSet<IpAddr>) -> Vec<Kept> {
        if self.machine != machine {
            self.machine = machine.to_vec();
            self.changed = now;
        }
        self.deadline = None;
        let mut all = Vec::with_capacity(self.rules.len());
        for (purpose, rule) in &self.rules {
            let held = self.held.entry(purpose.clone()).or_default();
            let until = if held.addresses.is_empty() {
                self.changed + self.patience.settle
            } else {
                let amiss = held.amiss_since.unwrap_or(now);
                (amiss + self.patience.lost_after).max(self.began + self.patience.boot)
            };
            let mut choice = choose(rule, machine, vips, &held.addresses, now < until);
            let waits = now < until && (choice.stale || held.addresses.is_empty());
            if waits {
                self.deadline = Some(self.deadline.map_or(until, |other| other.min(until)));
            }
            held.amiss_since = choice.stale.then(|| held.amiss_since.unwrap_or(now));
            if held.addresses.is_empty() && waits {
                choice.addresses.clear();
            }
            let changed_from = (choice.addresses != held.addresses)
                .then(|| std::mem::replace(&mut held.addresses, choice.addresses.clone()));
            all.push(Kept { purpose: purpose.clone(), rule: rule.clone(), choice, waits, changed_from });
        }
        all
    }

    /// When to look again, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The choices, for the next keeper. Those that the config doesn't ask for now are kept for when it does again.
    pub fn choices(&self) -> Choices {
        let made = self.held.iter().filter(|(_, held)| !held.addresses.is_empty());
        made.map(|(purpose, held)| (purpose.clone(), held.addresses.clone())).collect()
    }
}

#[cfg(test)]
mod tests;
