//! Batch renormalization in the layer: against autograd, against finite differences, and what it leaves as it is. What every backend must
//! pass is in the contract suite (`tests/contract/src/renormalization.rs`).

mod autograd;
mod differences;
mod groups;
mod passes;

use batchnorm::backend::Backend;
use batchnorm::{BatchNorm, BatchNormConfig, Element, Gradients, Shape, Tensor};

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

/// A layer whose γ, β and running statistics are not those that it begins with.
fn layer<T: Element, B: Backend>(backend: &B, config: BatchNormConfig) -> BatchNorm<B, T::Compute> {
    let mut layer = BatchNorm::with_compute(backend, config).unwrap();
    let channels = config.channels();
    let (gamma, beta) = (wave(channels, 2.1, 0.4), wave(channels, 1.3, 0.9));
    layer.gamma_mut().unwrap().set(&of(&gamma)).unwrap();
    layer.beta_mut().unwrap().set(&of(&beta)).unwrap();
    let variance: Vec<f64> = (0..channels).map(|c| 0.6 + 0.4 * c as f64).collect();
    let running = layer.running_mut().unwrap();
    let mean = of(&wave(channels, 0.7, 0.1));
    running.set(&mean, &of(&variance), 1).unwrap();
    layer
}

/// y, dx, dγ and dβ as they are in memory.
type Values<T> = (
    Vec<T>,
    Vec<T>,
    Vec<<T as Element>::Compute>,
    Vec<<T as Element>::Compute>,
);

fn values<T: Element, B: Backend>(y: &Tensor<T, B>, gradients: Gradients<T, B>) -> Values<T> {
    (
        y.to_vec().unwrap(),
        gradients.input.to_vec().unwrap(),
        gradients.gamma.unwrap().to_vec().unwrap(),
        gradients.beta.unwrap().to_vec().unwrap(),
    )
}
