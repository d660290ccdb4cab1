//! Numbers that are the same on every machine: whole ones, and exact fractions of them.

/// SplitMix64 (Steele, Lea & Flood 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1, within ±3: the sum of three uniforms, of 21 bits each.
    pub(super) fn bell(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = (0..3).map(|i| (bits >> (21 * i)) & 0x1F_FFFF).sum();
        2.0 * (sum as f64 / (1u64 << 21) as f64) - 3.0
    }
}
