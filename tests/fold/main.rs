//! Folding, held against the layer itself and a plain convolution in `f64`.

mod batch;
mod bounds;
mod convolution;
mod folded;
mod following;
mod refused;

use batchnorm::{BatchNorm, BatchNormConfig, Compute, Cpu, Element};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Repeatable values of magnitude `low` to 1, of both signs.
struct Values(SplitMix64);

impl Values {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    fn next(&mut self, low: f64) -> f64 {
        let bits = self.0.next_u64();
        let unit = (bits >> 40) as f64 / (1u64 << 24) as f64;
        let sign = if bits >> 39 & 1 == 0 { 1.0 } else { -1.0 };
        sign * (low + (1.0 - low) * unit)
    }

    fn list<T: Element>(&mut self, len: usize, low: f64) -> Vec<T> {
        (0..len).map(|_| T::from_f64(self.next(low))).collect()
    }
}

fn widen<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

/// A layer of positive and negative γ, away from zero so that halves keep their full precision.
fn layer<C: Compute>(config: BatchNormConfig, values: &mut Values) -> BatchNorm<Cpu, C> {
    let mut layer = BatchNorm::with_compute(&Cpu::new(), config).unwrap();
    let channels = config.channels();
    if let Some(gamma) = layer.gamma_mut() {
        gamma.set(&values.list(channels, 0.5)).unwrap();
    }
    if let Some(beta) = layer.beta_mut() {
        beta.set(&values.list(channels, 0.0)).unwrap();
    }
    let variance: Vec<C> = (0..channels)
        .map(|_| C::from_f64(values.next(0.2).abs()))
        .collect();
    let running = layer.running_mut().unwrap();
    running
        .set(&values.list(channels, 0.0), &variance, 3)
        .unwrap();
    layer
}
