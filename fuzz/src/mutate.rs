//! Mutations without a guide: the same on every run, for the seconds that `cargo test` has.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Draws.
#[derive(Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// The same draws for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    fn byte(&mut self) -> u8 {
        self.0.next_u64().to_le_bytes()[0]
    }

    /// One of so many, which are at least one.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.0.next_u64() % end).unwrap_or(0)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A mutant of one of the inputs, with parts of others and `words` put in.
pub fn mutant(inputs: &[Vec<u8>], words: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut mutant = random.one(inputs).clone();
    for _ in 0..=random.below(5) {
        let at = random.below(mutant.len() + 1);
        let end = (at + 1 + random.below(8)).min(mutant.len());
        match random.below(10) {
            0 if at < mutant.len() => mutant[at] ^= 1 << random.below(8),
            1 if at < mutant.len() => mutant[at] = random.byte(),
            2 => mutant.insert(at, random.byte()),
            3 => drop(mutant.drain(at..end)),
            4 => drop(mutant.splice(at..at, random.one(words).iter().copied())),
            5 => {
                let word = *random.one(words);
                let end = (at + word.len()).min(mutant.len());
                drop(mutant.splice(at..end, word.iter().copied()));
            }
            6 => {
                let other = random.one(inputs);
                let from = random.below(other.len() + 1);
                mutant.truncate(at);
                mutant.extend_from_slice(&other[from..]);
            }
            7 => mutant.truncate(at),
            _ => another_number(&mut mutant, at, random),
        }
    }
    mutant
}

/// Makes another one of the first number from there on: near it, far from it, or at the end of what a type holds.
fn another_number(mutant: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(start) = (at..mutant.len()).find(|place| mutant[*place].is_ascii_digit()) else { return };
    let end = (start..mutant.len()).find(|place| !mutant[*place].is_ascii_digit()).unwrap_or(mutant.len());
    let number = mutant[start..end]
        .iter()
        .fold(0_u128, |number, digit| number.wrapping_mul(10).wrapping_add(u128::from(digit - b'0')));
    let others = [
        0,
        number / 2,
        number.wrapping_sub(1),
        number.wrapping_add(1),
        number.wrapping_mul(2),
        i64::MAX.unsigned_abs().into(),
        u64::MAX.into(),
        u128::from(u64::MAX) + 1,
    ];
    let other = random.one(&others).to_string();
    drop(mutant.splice(start..end, other.into_bytes()));
}
