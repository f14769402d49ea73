//! A value that is hashed once: a step of the model changes one part of a state, and each state is hashed as a whole.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A shared value with its hash.
#[derive(Debug)]
pub(super) struct Hashed<T>(Arc<(u64, T)>);

impl<T> Clone for Hashed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Hash> Hashed<T> {
    pub(super) fn new(value: T) -> Self {
        let mut hasher = Mixer(0x9e37_79b9_7f4a_7c15);
        value.hash(&mut hasher);
        Self(Arc::new((hasher.finish(), value)))
    }

    /// Changes it in a copy of its own.
    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone,
    {
        let mut value = self.0.1.clone();
        let result = change(&mut value);
        *self = Self::new(value);
        result
    }
}

impl<T> Deref for Hashed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.1
    }
}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.0);
    }
}

impl<T: PartialEq> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0 && self.0.1 == other.0.1
    }
}

/// A hasher that is quick, and without random keys: the same state has the same hash in every thread and every run.
struct Mixer(u64);

impl Mixer {
    /// Multiplies to twice the width and folds it: each bit moves about half of the others.
    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        let (high, low) = (wide >> 64, wide & u128::from(u64::MAX));
        self.0 = u64::try_from(high ^ low).expect("both are halves").rotate_left(23) ^ 0x2d35_8dcc_aa6c_78a5;
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
