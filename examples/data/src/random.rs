//! Numbers that are the same in every run with the same seed.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// From -1 to 1.
    pub fn symmetric(&mut self) -> f32 {
        // The upper 24 bits: as many as an f32 has.
        (self.0.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// 0 to `count` - 1 in random order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut keyed: Vec<_> = (0..count).map(|place| (self.0.next_u64(), place)).collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, place)| place).collect()
    }
}
