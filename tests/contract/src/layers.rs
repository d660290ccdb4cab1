//! Layers: of the processor's on batches so small that what comes out is known by heart, and of a problem's numbers.

use batchnorm::backend::Backend;
use batchnorm::{BatchNorm, BatchNormConfig, Compute, Cpu, Element, Shape, Tensor};

use crate::data::typed;
use crate::reference::Problem;

/// A batch of one channel.
pub fn column(values: &[f32]) -> Tensor<f32, Cpu> {
    let shape = Shape::channels_first(&[values.len(), 1]).unwrap();
    Tensor::new(&Cpu::new(), shape, values).unwrap()
}

/// Running mean, running variance, and the batches that they have followed.
pub fn running<B: Backend, C: Compute>(layer: &BatchNorm<B, C>) -> (Vec<C>, Vec<C>, u64) {
    let running = layer.running().unwrap();
    (
        running.mean().to_vec().unwrap(),
        running.variance().to_vec().unwrap(),
        running.num_batches_tracked(),
    )
}

/// A layer with a problem's numbers, running statistics among them.
pub fn of_problem<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
) -> BatchNorm<B, T::Compute> {
    let config = BatchNormConfig::new(problem.shape.channels())
        .epsilon(problem.epsilon)
        .activation(problem.activation);
    let mut layer = BatchNorm::with_compute(backend, config).unwrap();
    let gamma = layer.gamma_mut().unwrap();
    gamma.set(&typed(&problem.gamma)).unwrap();
    layer
        .beta_mut()
        .unwrap()
        .set(&typed(&problem.beta))
        .unwrap();
    let (mean, variance) = problem.running.as_ref().unwrap();
    let running = layer.running_mut().unwrap();
    running.set(&typed(mean), &typed(variance), 7).unwrap();
    layer
}
