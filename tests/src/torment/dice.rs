//! Numbers from a seed: the same ones on every machine and with every version of every crate.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Throws.
#[derive(Clone, Debug)]
pub(super) struct Dice(SplitMix64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// A number within a range.
    pub(super) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        // The ranges here are tiny beside 2^64: nobody could tell that the first numbers come a little more often.
        range.start() + self.0.next_u64() % (range.end() - range.start() + 1)
    }

    /// So many milliseconds.
    pub(super) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// Yes, once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.within(1..=times) == 1
    }

    /// One of them; an entry that stands there twice comes twice as often.
    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        let last = u64::try_from(among.len()).expect("a list fits in memory") - 1;
        among[usize::try_from(self.within(0..=last)).expect("it was a list's length")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_used_to_both_its_ends() {
        let mut dice = Dice::new(1);
        let thrown: Vec<_> = (0..100).map(|_| dice.within(2..=4)).collect();
        assert_eq!((thrown.iter().min(), thrown.iter().max()), (Some(&2), Some(&4)));
    }
}
