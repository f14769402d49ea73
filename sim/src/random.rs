//! Chance, drawn from a seed: the same seed gives the same world on every machine and with every compiler.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Small, and good enough to shake a protocol.
pub(super) struct Random(SplitMix64);

impl Random {
    /// The seed is mixed first, so that neighbouring seeds give worlds that have nothing to do with each other.
    pub(super) fn new(seed: u64) -> Self {
        let mixed = SplitMix64::seed_from_u64(seed ^ 0x6d61_6e74_6c65).next_u64();
        Self(SplitMix64::seed_from_u64(mixed))
    }

    /// One of `from` to `to`, both included.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.next_u64() % (to - from + 1)
    }

    /// One of `0..count`.
    pub(super) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u64() % count as u64).expect("less than a usize")
    }

    /// Whether what happens so often in a hundred cases happens now.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.0.next_u64() % 100 < percent
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.index(among.len())]
    }
}
