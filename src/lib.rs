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
mod device;
mod element;
mod error;
mod fold;
mod parameters;
mod pass;
mod pooled;
mod running;
mod shape;
mod tensor;

pub use safetensors;

pub use batch_norm::BatchNorm;
pub use config::{Activation, Averaging, BatchNormConfig, RunningVariance};
pub use conversion::{FlaxParameters, KerasParameters, OnnxParameters};
pub use cpu::{Cpu, CpuMask, Level};
pub use device::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
pub use element::{Compute, DType, Element};
pub use error::{Error, Result};
pub use fold::{Folded, ScaleAndShift};
pub use pass::{Gradients, ParameterGradients, Pass};
pub use pooled::PooledStatistics;
pub use running::{BatchStatistics, RunningStatistics};
pub use shape::{Layout, Shape};
pub use tensor::{ChannelArray, Data, DataMut, Tensor, View, ViewMut};
