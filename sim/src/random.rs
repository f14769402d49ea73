//! Chance, drawn from a seed: the same seed gives the same world on every machine and with every compiler.

/// `SplitMix64`: small, and good enough to shake a protocol.
pub(super) struct Random(u64);

impl Random {
    /// The seed is mixed first, so that neighbouring seeds give worlds that have nothing to do with each other.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed ^ 0x6d61_6e74_6c65);
        random.0 = random.draw();
        random
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `from` to `to`, both included.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to - from + 1)
    }

    /// One of `0..count`.
    pub(super) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.draw() % count as u64).expect("less than a usize")
    }

    /// Whether what happens so often in a hundred cases happens now.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.index(among.len())]
    }
}
