//! What every role is given.

use candle_core::Device;

use crate::data::Split;
use crate::runner::Runner;

pub(crate) struct Context {
    pub(crate) device: Device,
    pub(crate) split: Split,
    pub(crate) runner: Runner,
    /// Whether it should be over soon: fewer seeds and rates.
    pub(crate) quick: bool,
    pub(crate) first_seed: u64,
    /// How many seeds, where the user has said it.
    pub(crate) seeds: Option<u64>,
}

impl Context {
    /// As many seeds as the protocol has, or as many as the quick form of it.
    pub(crate) fn seeds(&self, full: u64, quick: u64) -> Vec<u64> {
        let count = self.seeds.unwrap_or(self.choose(full, quick));
        (self.first_seed..)
            .zip(0..count)
            .map(|(seed, _)| seed)
            .collect()
    }

    /// The protocol's choice, or that of the quick form.
    pub(crate) fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
