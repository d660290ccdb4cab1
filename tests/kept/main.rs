//! Batches of which not all is kept, in the layer: against autograd, differences and the batch of the kept places alone, and what is refused.
//! What the processor's steps must pass is in the contract suite (`tests/contract/src/kept.rs`).

mod alone;
mod autograd;
mod differences;
mod refused;
mod running;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Element, Shape, Tensor};

/// Irregular values.
fn wave(count: usize, a: f64, b: f64) -> Vec<f64> {
    (0..count)
        .map(|i| (i as f64 * a + b).sin() * 1.3 + (i as f64 * 0.37 + b).cos())
        .collect()
}

fn tensor<T: Element>(cpu: &Cpu, shape: Shape, values: &[f64]) -> Tensor<T, Cpu> {
    let values: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
    Tensor::new(cpu, shape, &values).unwrap()
}

fn wide<T: Element>(tensor: &Tensor<T, Cpu>) -> Vec<f64> {
    let values = tensor.to_vec().unwrap();
    values.iter().map(|value| value.to_f64()).collect()
}

/// A layer with γ and β that are not 1 and 0.
fn layer<T: Element>(cpu: &Cpu, config: BatchNormConfig) -> BatchNorm<Cpu, T::Compute> {
    let mut layer = BatchNorm::<_, T::Compute>::with_compute(cpu, config).unwrap();
    let values = |a: f64, b: f64| -> Vec<T::Compute> {
        let values = wave(config.channels(), a, b);
        let typed = values
            .iter()
            .map(|&value| <T::Compute as Element>::from_f64(value));
        typed.collect()
    };
    layer.gamma_mut().unwrap().set(&values(0.7, 0.4)).unwrap();
    layer.beta_mut().unwrap().set(&values(1.9, 0.1)).unwrap();
    layer
}
