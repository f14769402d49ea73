//! Tenures: the times for which the records name a host.

use std::time::Duration;

use mantle_protocol::Instant;

use super::verdict::Wrong;
use crate::history::Change;

/// How much later than a new owner's first frame the lab may learn of its record: the watch goes through two busy
/// processes. A wider one would only excuse a node that acts before its time, while nobody else does.
const WATCH_DELAY: Duration = Duration::from_millis(500);

/// The default drain, and what a busy machine adds.
const LONGEST_DRAIN: Duration = Duration::from_secs(12);

/// A time for which the records name one host.
#[derive(Debug)]
struct Tenure {
    owner: Option<String>,
    from: Instant,
    /// When it was known to be over.
    until: Option<Instant>,
    /// Whether it ended by a handoff.
    handed: bool,
}

/// The tenures of a VIP, and how far its frames have come in them.
#[derive(Debug)]
pub(super) struct Tenures {
    all: Vec<Tenure>,
    /// The tenure of the last frame that had its place, and that frame.
    reached: usize,
    last: Option<(String, Instant)>,
}

impl Tenures {
    pub(super) fn of(changes: &[Change]) -> Self {
        let mut all: Vec<Tenure> = Vec::new();
        for change in changes {
            match all.last_mut() {
                // A new session, or a record written anew: the same node goes on.
                Some(last) if last.owner == change.owner => continue,
                Some(last) => (last.until, last.handed) = (Some(change.at), change.handed),
                None => {}
            }
            all.push(Tenure { owner: change.owner.clone(), from: change.at, until: None, handed: false });
        }
        Self { all, reached: 0, last: None }
    }

    /// To whom a host handed the VIP over whose connections it may still be serving.
    pub(super) fn successors(&self, host: &str, at: Instant) -> impl Iterator<Item = &str> {
        let drains = move |until: Instant| until - WATCH_DELAY <= at && at <= until + LONGEST_DRAIN;
        let handed = move |tenure: &Tenure| {
            tenure.handed && tenure.owner.as_deref() == Some(host) && tenure.until.is_some_and(drains)
        };
        let pairs = self.all.iter().zip(self.all.iter().skip(1));
        pairs.filter(move |(before, _)| handed(before)).filter_map(|(_, after)| after.owner.as_deref())
    }

    /// Finds the place of a host's frame: the first tenure of the host, not before the last frame's, that it fits.
    pub(super) fn place(&mut self, host: &str, at: Instant) -> Result<(), Wrong> {
        let fits = |tenure: &Tenure| {
            tenure.owner.as_deref() == Some(host)
                && tenure.from - WATCH_DELAY <= at
                && tenure.until.is_none_or(|until| at <= until)
        };
        let Some(offset) = self.all[self.reached..].iter().position(fits) else {
            return Err(self.wrong(host, at, fits));
        };
        // The first frame of a host is where an overlap with it begins.
        if self.last.as_ref().is_none_or(|(last, _)| last != host) {
            self.last = Some((host.to_owned(), at));
        }
        self.reached += offset;
        Ok(())
    }

    fn wrong(&self, host: &str, at: Instant, fits: impl Fn(&Tenure) -> bool) -> Wrong {
        let of_host = |tenure: &&Tenure| tenure.owner.as_deref() == Some(host);
        let over = |tenure: &Tenure| tenure.until.filter(|until| *until < at);
        // It would fit, had not another host's frame come that belongs later.
        if let Some((other, since)) = &self.last
            && self.all[..self.reached].iter().any(fits)
        {
            return Wrong::Overlap { other: other.clone(), since: *since };
        }
        let ended = self.all.iter().filter(of_host).filter_map(over).next_back();
        if let Some(ended) = ended {
            let successor = self.all.iter().find(|tenure| tenure.from == ended);
            return Wrong::PastRight { ended, successor: successor.and_then(|tenure| tenure.owner.clone()) };
        }
        match self.all.iter().find(of_host) {
            Some(tenure) => Wrong::TooEarly { owner_from: tenure.from },
            None => Wrong::NeverOwner,
        }
    }
}
