//! What the types offer beside the passes: copies, printing, names, conversions.

mod arrays;
mod copies;
mod errors;
mod parameters;
mod printing;
#[cfg(feature = "serde")]
mod serialization;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};

fn trained() -> (BatchNorm<Cpu>, Tensor<f32, Cpu>) {
    let cpu = Cpu::new();
    let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(2)).unwrap();
    let shape = Shape::channels_first(&[3, 2]).unwrap();
    let x = Tensor::new(&cpu, shape, &[1.0f32, 7.0, 2.0, 5.0, 6.0, 3.0]).unwrap();
    layer.forward_training(&x).unwrap();
    (layer, x)
}

fn state(layer: &BatchNorm<Cpu>) -> [Vec<f32>; 4] {
    let running = layer.running().unwrap();
    let (gamma, beta) = (layer.gamma().unwrap(), layer.beta().unwrap());
    [gamma, beta, running.mean(), running.variance()].map(|array| array.to_vec().unwrap())
}
