//! A number that stands for the bits of many values.

use batchnorm::Element;

/// FNV-1a, but of whole words, with a shift so that what differs in high bits does not stay there.
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in how many values there are, and each of them. All that are no number count as the same: which of them an
    /// instruction makes is up to the processor.
    pub(super) fn add<T: Element>(&mut self, values: &[T]) {
        self.add_word(values.len() as u64);
        for value in values {
            // Exact, and different for different values, zeros of both signs included.
            let wide = value.to_f64();
            let wide = if wide.is_nan() { f64::NAN } else { wide };
            self.add_word(wide.to_bits());
        }
    }

    pub(super) fn add_word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 = mixed ^ (mixed >> 29);
    }

    pub(super) fn finish(self) -> u64 {
        self.0
    }
}
