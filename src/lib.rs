#![doc = include_str!("../README.md")]

mod arrays;
pub mod backend;
mod batch_norm;
#[cfg(feature = "candle")]
pub mod candle;
pub mod checkpoint;
mod config;
mod conversion;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod element;
mod error;
mod fold;
#[cfg(any(feature = "cuda", feature = "simt"))]
pub mod gpu;
mod parameters;
mod pass;
mod pooled;
mod running;
mod shape;
#[cfg(feature = "simt")]
pub mod simt;
mod tensor;

#[cfg(feature = "cuda")]
pub use cudarc;
pub use safetensors;

pub use batch_norm::BatchNorm;
pub use config::{Activation, Averaging, BatchNormConfig, RunningVariance};
pub use conversion::{FlaxParameters, KerasParameters, OnnxParameters};
pub use cpu::{Cpu, CpuMask, Level};
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
pub use device::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
pub use element::{Compute, DType, Element};
pub use error::{Error, Result};
pub use fold::{Folded, ScaleAndShift};
pub use pass::{Gradients, ParameterGradients, Pass};
pub use pooled::PooledStatistics;
pub use running::{BatchStatistics, RunningStatistics};
pub use shape::{Layout, Shape};
pub use tensor::{ChannelArray, Data, DataMut, Tensor, View, ViewMut};
