//! Backward from y: against autograd, against finite differences, against the pass that keeps x, how precise it is, and what is refused.
//! What every backend must pass is in the contract suite (`tests/contract/src/from_output.rs`).

mod autograd;
mod differences;
mod passes;
mod precision;
mod refused;

use batchnorm::backend::Backend;
use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Element, Shape, Tensor};

const LEAKY: Activation = Activation::LeakyRelu { slope: 0.3 };
const ELU: Activation = Activation::Elu { alpha: 0.8 };

/// Values of a type.
fn of<T: Element>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

/// Irregular values.
fn wave(count: usize, a: f64, b: f64) -> Vec<f64> {
    (0..count)
        .map(|i| (i as f64 * a + b).sin() * 1.3 + (i as f64 * 0.37 + b).cos())
        .collect()
}

fn tensor<T: Element, B: Backend>(backend: &B, shape: Shape, values: &[f64]) -> Tensor<T, B> {
    Tensor::new(backend, shape, &of::<T>(values)).unwrap()
}

/// γ of every channel, of both signs.
fn gammas(channels: usize) -> Vec<f64> {
    let sign = |c: usize| if c.is_multiple_of(2) { 1.0 } else { -1.0 };
    (0..channels)
        .map(|c| sign(c) * (0.6 + 0.1 * (c % 9) as f64))
        .collect()
}

fn betas(channels: usize) -> Vec<f64> {
    (0..channels).map(|c| 0.4 - 0.2 * (c % 5) as f64).collect()
}

/// A layer whose γ, β and running statistics are not those that it begins with.
fn layer<T: Element>(cpu: &Cpu, config: BatchNormConfig) -> BatchNorm<Cpu, T::Compute> {
    let mut layer = BatchNorm::with_compute(cpu, config).unwrap();
    let channels = config.channels();
    let gamma = layer.gamma_mut().unwrap();
    gamma.set(&of(&gammas(channels))).unwrap();
    let beta = layer.beta_mut().unwrap();
    beta.set(&of(&betas(channels))).unwrap();
    let running = layer.running_mut().unwrap();
    let (mean, variance) = (wave(channels, 0.7, 0.1), vec![0.8; channels]);
    running.set(&of(&mean), &of(&variance), 1).unwrap();
    layer
}
