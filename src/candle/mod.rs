//! The layer as a module of the [candle](https://docs.rs/candle-core) framework (feature `candle`).
//!
//! [`BatchNorm`] takes the place of `candle_nn::BatchNorm`: the same constructors, variable names, accessors and
//! [`ModuleT`](candle_nn::ModuleT), gradients through candle's autograd; and it is taken where candle asks for its own type. It adds:
//!
//! - `f16` and `bf16` activations in training too, with parameters of their type or of `f32`;
//! - channels-last tensors (memory (N, spatial..., C), permuted to (N, C, spatial...)) without a copy, y in the same
//!   memory order;
//! - an [activation](crate::Activation), and the addition of a residual before it, in the same sweep over memory
//!   ([`BatchNormConfig::activation`], [`BatchNorm::forward_t_add`]);
//! - [frozen](BatchNorm::freeze) layers: running statistics while the rest of the model trains;
//! - layers that are [synchronized](BatchNorm::synchronized) over the ranks of a data-parallel training;
//! - folding into the layer before it ([`BatchNorm::fold_into_conv2d`] and its like), with one rounding;
//! - an error for one value per channel in training, where candle's running variance becomes NaN; an empty input, by its
//!   batch or by a spatial dimension, leaves the running statistics alone.
//!
//! Errors are candle's; [`error_of`] gives this crate's, where one of them is the reason.
//!
//! # On NVIDIA GPUs
//!
//! With the feature `candle-cuda`, tensors on candle's CUDA devices are normalized there, both passes, under the same
//! autograd. The work goes into candle's own stream and nothing waits for it; candle's memory is read in place, and what
//! is made becomes candle's without a copy. The feature brings candle's own kernels, which do not build without nvcc, and
//! a program with them starts only where CUDA's libraries are; the features `candle` and `cuda` alone do neither, and
//! then tensors on a GPU are an error that names the feature.
//!
//! On `candle_core::Device::new_cuda` each thread has a stream of its own, candle's operations and this layer's alike: what
//! one thread makes, another may use after `synchronize`. The kernels are loaded, and their workspace is made, on a
//! thread's first call on a device.
//!
//! ```
//! use batchnorm::Activation;
//! use batchnorm::candle::{BatchNormConfig, batch_norm};
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{ModuleT, VarBuilder, VarMap};
//!
//! let variables = VarMap::new();
//! let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
//! let config = BatchNormConfig { activation: Activation::Relu, ..Default::default() };
//! let layer = batch_norm(16, config, vb.pp("bn"))?; // bn.weight, bn.bias, bn.running_mean, bn.running_var
//!
//! let x = Tensor::randn(0f32, 1., (8, 16, 6, 6), &Device::Cpu)?.to_dtype(DType::BF16)?;
//! let y = layer.forward_t(&x, true)?;
//! assert_eq!((y.dims(), y.dtype()), (&[8, 16, 6, 6][..], DType::BF16));
//! let gradients = y.sum_all()?.backward()?;
//! assert!(gradients.get(layer.weight_and_bias().unwrap().0).is_some());
//! # Ok::<(), candle_core::Error>(())
//! ```

mod computed;
pub(crate) mod config;
pub(crate) mod construct;
mod double_backward;
pub(crate) mod error;
pub(crate) mod fold;
pub(crate) mod forward;
#[cfg(feature = "candle-cuda")]
pub(crate) mod gpu;
#[cfg(not(feature = "candle-cuda"))]
#[path = "no_gpu.rs"]
pub(crate) mod gpu;
mod gradient;
pub(crate) mod layer;
pub(crate) mod memory;
pub(crate) mod node;
mod once;
pub(crate) mod operation;
mod output;
pub(crate) mod ranks;
mod running;
pub(crate) mod synchronized;
pub(crate) mod value;

pub use config::BatchNormConfig;
pub use construct::batch_norm;
pub use error::error_of;
pub use layer::BatchNorm;
