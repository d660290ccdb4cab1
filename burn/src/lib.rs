//! Batch normalization for [burn](https://docs.rs/burn), as one fused pass forward and one backward: [`BatchNorm`] is a drop-in for
//! `burn::nn::BatchNorm`. It has the same fields, so that records load both ways; it takes the same shapes, follows the same
//! running statistics (burn's variance is the biased one), and obeys `is_autodiff`, `freeze` and `valid` as that does.
//!
//! ```
//! use batchnorm_burn::BatchNormConfig;
//! use burn::tensor::{Device, Distribution, Tensor};
//!
//! let device = Device::flex().autodiff();
//! let layer = BatchNormConfig::new(3).init(&device);
//! let x = Tensor::<4>::random([8, 3, 5, 5], Distribution::Default, &device).require_grad();
//! let y = layer.forward(x.clone());
//! let gradients = y.powi_scalar(2).mean().backward();
//! assert_eq!(x.grad(&gradients).unwrap().dims(), [8, 3, 5, 5]);
//! ```
//!
//! What runs fused are burn's tensors on the processor (`Flex`), of f32, f64, f16 and bf16, in memory order (N, C, spatial...) or as a
//! permuted view of (N, spatial..., C), which is read in place and answered in the same order; views of any other order are
//! copied first, as burn does. Tensors of every other backend, and batches of one value or none per channel, go
//! burn's own way.
//!
//! A layer that was there before is taken over with `BatchNorm::from(layer)`, and given back with
//! `burn::nn::BatchNorm::from(layer)`.

mod autodiff;
mod flex;
mod layer;
mod memory;
mod operation;
mod output;

pub use layer::{BatchNorm, BatchNormConfig};
