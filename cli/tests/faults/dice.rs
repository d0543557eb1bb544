//! Random numbers from a seed that a failed test shows and that the environment can give again.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The environment variable that repeats a randomised test.
const SEED: &str = "LLMCL_FAULTS_SEED";

/// A source of random numbers, xorshift64*.
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice with the seed of the environment, or with a new one. The seed is printed, which shows if the test fails.
    pub(crate) fn new(test: &str) -> Self {
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().unwrap(),
            Err(_) => RandomState::new().build_hasher().finish() >> 16,
        };
        println!("{test}: repeat with {SEED}={seed}");
        Self::of(seed)
    }

    /// Dice with this seed.
    pub(crate) fn of(seed: u64) -> Self {
        // Seeds that differ in a bit must not begin alike, and the state must not be zero.
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, of which there is at least one.
    pub(crate) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }
}
