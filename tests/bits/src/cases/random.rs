//! Numbers that are the same on every machine: whole ones, and exact fractions of them.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

pub(super) struct Random(SplitMix64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// In [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1, within ±3: the sum of three uniforms, of 21 bits each.
    pub(super) fn bell(&mut self) -> f64 {
        let bits = self.0.next_u64();
        let sum: u64 = (0..3).map(|i| (bits >> (21 * i)) & 0x1F_FFFF).sum();
        2.0 * (sum as f64 / (1u64 << 21) as f64) - 3.0
    }
}
