//! Choices kept over time: what is lost is waited for, and a first choice for things to come to rest. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use super::candidate::Candidate;
use super::choose::{Choice, choose};
use super::rule::{Purpose, Rule};
use super::wishes::Wishes;
use mantle_protocol::Instant;

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A first choice waits until it would have been the same for so long: at boot addresses come one by one, and an IPv6
    /// address is checked for duplicates for up to two seconds.
    pub settle: Duration,
    /// A chosen address is lost when it has been missing for so long: a pulled cable or a renewed lease is no loss.
    pub lost_after: Duration,
    /// And not before this long after the start: at boot the chosen address may be the last to come. A first choice waits no
    /// longer than that either, however restless the machine is.
    pub boot: Duration,
}

impl Patience {
    /// The agent's.
    pub const AGENT: Self = Self {
        settle: Duration::from_secs(3),
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
    held: BTreeMap<Purpose, Held>,
    deadline: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    addresses: Vec<IpAddr>,
    /// Since when something about them isn't as it should be.
    amiss_since: Option<Instant>,
    /// The first choice, while there is none yet.
    first: Option<First>,
}

/// A first choice that is about to be made.
#[derive(Clone, Debug)]
struct First {
    addresses: Vec<IpAddr>,
    /// Since when it would be this one.
    since: Instant,
    /// Since when there has been any.
    began: Instant,
}

impl Keeper {
    /// A keeper that goes on from the choices an earlier one made.
    pub fn new(wishes: &Wishes, earlier: &Choices, patience: Patience, now: Instant) -> Self {
        let held = |addresses: &Vec<IpAddr>| Held { addresses: addresses.clone(), ..Held::default() };
        let held = earlier.iter().map(|(purpose, addresses)| (purpose.clone(), held(addresses))).collect();
        Self { rules: wishes.rules(), patience, began: now, held, deadline: None }
    }

    /// Looks at the node's addresses as they are now; says of every choice how it stands.
    pub fn look(&mut self, now: Instant, machine: &[Candidate], vips: &BTreeSet<IpAddr>) -> Vec<Kept> {
        self.deadline = None;
        let mut all = Vec::with_capacity(self.rules.len());
        for (purpose, rule) in &self.rules {
            let held = self.held.entry(purpose.clone()).or_default();
            let (choice, until) = if held.addresses.is_empty() {
                held.choose_first(now, self.patience, choose(rule, machine, vips, &[], false))
            } else {
                let until = (held.amiss_since.unwrap_or(now) + self.patience.lost_after)
                    .max(self.began + self.patience.boot);
                let choice = choose(rule, machine, vips, &held.addresses, now < until);
                held.amiss_since = choice.stale.then(|| held.amiss_since.unwrap_or(now));
                let waits = choice.stale && now < until;
                (choice, waits.then_some(until))
            };
            self.deadline = self.deadline.into_iter().chain(until).min();
            let changed_from = (choice.addresses != held.addresses)
                .then(|| mem::replace(&mut held.addresses, choice.addresses.clone()));
            let (purpose, rule) = (purpose.clone(), rule.clone());
            all.push(Kept { purpose, rule, choice, waits: until.is_some(), changed_from });
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

impl Held {
    /// A first choice, or when it will be made.
    fn choose_first(
        &mut self,
        now: Instant,
        patience: Patience,
        choice: Choice,
    ) -> (Choice, Option<Instant>) {
        if choice.addresses.is_empty() {
            self.first = None;
            return (choice, None);
        }
        let addresses = choice.addresses.clone();
        let first =
            self.first.get_or_insert_with(|| First { addresses: addresses.clone(), since: now, began: now });
        if first.addresses != addresses {
            (first.addresses, first.since) = (addresses, now);
        }
        let until = (first.since + patience.settle).min(first.began + patience.boot);
        if now < until {
            return (Choice { addresses: Vec::new(), ..choice }, Some(until));
        }
        self.first = None;
        (choice, None)
    }
}

#[cfg(test)]
mod tests;
