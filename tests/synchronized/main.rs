//! Synchronized over ranks, on the processor. What every backend must pass is in the contract suite.

mod parts;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Element, Shape, Tensor};

fn layer(channels: usize) -> BatchNorm<Cpu> {
    BatchNorm::new(&Cpu::new(), BatchNormConfig::new(channels)).unwrap()
}

/// (N, C).
fn table<T: Element>(channels: usize, values: &[T]) -> Tensor<T, Cpu> {
    let shape = Shape::channels_first(&[values.len() / channels, channels]).unwrap();
    Tensor::new(&Cpu::new(), shape, values).unwrap()
}
