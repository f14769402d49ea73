//! What happened, for a person to read, and what was done how often.

use std::collections::BTreeMap;

use mantle_protocol::Purpose;

use super::clock::Micros;

/// How often what was done.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Transactions that were carried out, by what they were for.
    pub done: BTreeMap<String, u64>,
    /// Takeovers that were refused.
    pub refused_takeovers: u64,
}

impl Counts {
    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        for (purpose, count) in &other.done {
            *self.done.entry(purpose.clone()).or_default() += count;
        }
        self.refused_takeovers += other.refused_takeovers;
    }
}

/// What happened in a world.
pub(super) struct Story {
    /// Nothing if nobody wants to read it: most worlds are not worth the telling.
    lines: Option<Vec<String>>,
    done: [u64; PURPOSES.len()],
    pub(super) counts: Counts,
}

const PURPOSES: [Purpose; 9] = [
    Purpose::Start,
    Purpose::Resume,
    Purpose::Renew,
    Purpose::Claim,
    Purpose::TakeOver,
    Purpose::HandOver,
    Purpose::Release,
    Purpose::Clear,
    Purpose::End,
];

impl Story {
    pub(super) fn new(told: bool) -> Self {
        Self { lines: told.then(Vec::new), done: [0; PURPOSES.len()], counts: Counts::default() }
    }

    pub(super) fn tell(&mut self, now: Micros, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>5}.{:06} {}", now / 1_000_000, now % 1_000_000, line()));
        }
    }

    pub(super) fn count(&mut self, purpose: Purpose) {
        if let Some(number) = PURPOSES.iter().position(|other| *other == purpose) {
            self.done[number] += 1;
        }
    }

    /// The whole of it.
    pub(super) fn end(mut self) -> (Vec<String>, Counts) {
        for (purpose, count) in PURPOSES.iter().zip(self.done) {
            self.counts.done.insert(format!("{purpose:?}"), count);
        }
        (self.lines.unwrap_or_default(), self.counts)
    }
}
