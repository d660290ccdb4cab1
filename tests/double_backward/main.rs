//! Second derivatives in the layer: against autograd, group by group, and what is refused. What every backend must pass is in the contract
//! suite (`tests/contract/src/double_backward/`).

mod autograd;
mod groups;
mod hostile;
mod refused;

use batchnorm::backend::{Backend, GradientsOfGradients};
use batchnorm::{BatchNorm, BatchNormConfig, ChannelArray, Compute, Data, Element, Shape, Tensor};

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

/// An array of each channel. (Only a layer makes one.)
fn channels<C: Compute, B: Backend>(backend: &B, values: &[f64]) -> ChannelArray<C, B> {
    let config = BatchNormConfig::new(values.len());
    let mut layer = BatchNorm::<B, C>::with_compute(backend, config).unwrap();
    layer.gamma_mut().unwrap().set(&of(values)).unwrap();
    layer.gamma().unwrap().clone()
}

/// What a pass is given.
type Given<'a, T, B> = GradientsOfGradients<
    &'a dyn Data<B, Element = T>,
    &'a ChannelArray<<T as Element>::Compute, B>,
>;

fn close<T: Element>(what: &str, found: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found.to_f64() - expected).abs();
        assert!(
            off <= tolerance * (1.0 + expected.abs()),
            "{what}[{i}] is {found:?}, expected is {expected}"
        );
    }
}
