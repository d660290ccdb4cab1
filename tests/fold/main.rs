//! Folding, held against the layer itself after a plain convolution in `f64`.

mod convolution;
mod folded;
mod refused;

use batchnorm::{BatchNorm, BatchNormConfig, Compute, Cpu, Element};

/// Repeatable values of magnitude `low` to 1, of both signs.
struct Values(u64);

impl Values {
    fn next(&mut self, low: f64) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.0 >> 40) as f64 / (1u64 << 24) as f64;
        let sign = if self.0 >> 39 & 1 == 0 { 1.0 } else { -1.0 };
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
    let mut layer = BatchNorm::new(&Cpu::new(), config).unwrap();
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
