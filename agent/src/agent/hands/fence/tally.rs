//! What the kernel program counted of each VIP, over all the entries that the VIP has had.
//!
//! The kernel counts by entry: the counts go when a VIP is left, and begin at zero with its next entry. Whoever reads them
//! over time, a metric's rate above all, must not see them go backwards.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dataplane::Counters;

/// The counts of every VIP that has had an entry since the agent started.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<IpAddr, Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Of the entries that are gone.
    past: Counters,
    /// Of the present entry, as last read.
    present: Counters,
}

impl Tally {
    /// The counts of a VIP's present entry, as they are read now. An entry's counts only grow: a lower one was not its own.
    pub(super) fn read(&mut self, vip: IpAddr, found: Counters) {
        let present = &mut self.0.entry(vip).or_default().present;
        *present = merged(*present, found, u64::max);
    }

    /// A VIP's entry is gone, and its counts with it.
    pub(super) fn ended(&mut self, vip: IpAddr) {
        if let Some(counts) = self.0.get_mut(&vip) {
            counts.past = counts.total();
            counts.present = Counters::default();
        }
    }

    /// What was counted of each VIP so far.
    pub(super) fn totals(&self) -> BTreeMap<IpAddr, Counters> {
        self.0.iter().map(|(vip, counts)| (*vip, counts.total())).collect()
    }
}

impl Counts {
    fn total(&self) -> Counters {
        merged(self.past, self.present, u64::saturating_add)
    }
}

fn merged(one: Counters, other: Counters, merge: fn(u64, u64) -> u64) -> Counters {
    let mut merged = one;
    for (count, other) in merged.0.iter_mut().zip(other.0) {
        *count = merge(*count, other);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Counter;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn counted(arp: u64, conflicts: u64) -> Counters {
        let mut counters = Counters::default();
        counters.0[Counter::AnsweredArp as usize] = arp;
        counters.0[Counter::Conflicts as usize] = conflicts;
        counters
    }

    #[test]
    fn the_next_entry_goes_on_where_the_last_one_ended() {
        let mut tally = Tally::default();
        tally.read(VIP, counted(5, 0));
        tally.read(VIP, counted(7, 1));
        assert_eq!(tally.totals()[&VIP], counted(7, 1));
        tally.ended(VIP);
        assert_eq!(tally.totals()[&VIP], counted(7, 1), "what was counted stays");
        tally.read(VIP, counted(0, 0));
        assert_eq!(tally.totals()[&VIP], counted(7, 1));
        tally.read(VIP, counted(2, 3));
        assert_eq!(tally.totals()[&VIP], counted(9, 4));
        tally.ended(VIP);
        tally.ended(VIP);
        assert_eq!(tally.totals()[&VIP], counted(9, 4), "an entry ends once");
    }

    #[test]
    fn an_entry_that_a_predecessor_left_goes_on_from_what_it_has() {
        let mut tally = Tally::default();
        tally.read(VIP, counted(1000, 2));
        assert_eq!(tally.totals()[&VIP], counted(1000, 2));
    }

    #[test]
    fn nothing_that_is_read_makes_a_count_go_backwards() {
        let mut tally = Tally::default();
        tally.read(VIP, counted(5, 5));
        tally.read(VIP, counted(0, 6));
        assert_eq!(tally.totals()[&VIP], counted(5, 6));
    }

    #[test]
    fn a_vip_that_never_had_an_entry_has_no_counts() {
        let mut tally = Tally::default();
        tally.ended(VIP);
        assert_eq!(tally.totals(), BTreeMap::new());
    }
}
