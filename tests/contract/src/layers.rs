//! Layers of the processor's on batches so small that what comes out is known by heart.

use batchnorm::backend::Backend;
use batchnorm::{BatchNorm, Compute, Cpu, Shape, Tensor};

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
