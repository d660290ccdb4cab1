#![doc = include_str!("../README.md")]
//!
//! # Where to read on
//!
//! [`BatchNorm`] is the layer, [`BatchNormConfig`] what it is made from, [`Device`] where it runs, [`backend`] the steps for memory of
//! one's own; the [`manual`] has everything else.
#![warn(missing_docs)]

mod allocate;
pub mod backend;
#[cfg(feature = "candle")]
pub mod candle;
mod cause;
#[cfg(feature = "safetensors")]
pub mod checkpoint;
mod config;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod element;
mod error;
#[cfg(feature = "__gpu")]
pub mod gpu;
mod interop;
mod layer;
mod logistic;
pub mod manual;
mod numeric;
mod shape;
mod statistics;
mod tensor;

pub use backend::epilogue::Activation;
pub use cause::Cause;
pub use config::{Averaging, BatchNormConfig, RunningVariance};
pub use cpu::simd::dispatch::Level;
pub use cpu::{Cpu, CpuMask};
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
#[cfg(feature = "cuda")]
pub use cudarc;
pub use device::explain::Explanation;
pub use device::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
pub use element::{Compute, DType, Element};
pub use error::{Error, Result};
pub use interop::conversion::{FlaxParameters, KerasParameters, OnnxParameters};
pub use interop::fold::{Folded, ScaleAndShift};
pub use layer::BatchNorm;
pub use layer::pass::{Gradients, ParameterGradients, Pass};
#[cfg(feature = "safetensors")]
pub use safetensors;
pub use shape::{Layout, Shape};
pub use statistics::batch::BatchStatistics;
pub use statistics::pooled::PooledStatistics;
pub use statistics::running::RunningStatistics;
pub use tensor::{ChannelArray, Data, DataMut, Tensor, View, ViewMut};
