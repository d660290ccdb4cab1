//! Batch normalization.
mod arrays;
pub mod backend;
mod batch_norm;
pub mod checkpoint;
mod config;
mod cpu;
mod device;
mod element;
mod error;
mod nearest;
mod parameters;
mod pass;
mod running;
mod shape;
mod tensor;

pub use batch_norm::BatchNorm;
pub use config::{Activation, Averaging, BatchNormConfig, RunningVariance};
pub use cpu::{Cpu, CpuMask, Level};
pub use device::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
pub use element::{Compute, DType, Element};
pub use error::{Error, Result};
pub use pass::{Gradients, ParameterGradients, Pass};
pub use running::{BatchStatistics, PooledStatistics, RunningStatistics};
pub use safetensors;
pub use shape::{Layout, Shape};
pub use tensor::{ChannelArray, Data, DataMut, Tensor, View, ViewMut};
