//! THE ONLY DEVICE DISPATCH: the machine's best device, chosen when the program runs. (candle has its own: `src/candle/output.rs` makes
//! memory of candle's for each.)

pub(crate) mod downcast;
mod each_backend;
pub(crate) mod explain;
pub(crate) mod memory;
pub(crate) mod steps;

use std::fmt;

use crate::cpu::memory::buffer::CpuBuffer;
use crate::cpu::{Cpu, CpuMask};
#[cfg(feature = "cuda")]
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
#[cfg(feature = "cuda")]
use crate::cuda::{Cuda, CudaBuffer, CudaMask};
use crate::element::Element;
#[cfg(not(feature = "cuda"))]
use crate::error::Error;
use crate::error::Result;

/// A backend chosen at run time. Use [`Cpu`] itself where the program knows.
///
/// ```
/// use batchnorm::Device;
/// let device = Device::best_available();
/// println!("running on {device}");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    Cpu(Cpu),
    /// An NVIDIA GPU (feature `cuda`).
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

impl Device {
    /// The processor, on its best SIMD level and rayon's pool.
    pub fn cpu() -> Self {
        Device::Cpu(Cpu::new())
    }

    /// The `ordinal`-th NVIDIA GPU.
    ///
    /// # Errors
    /// With the feature `cuda`, those of [`crate::Cuda`]'s `new`; without it [`crate::Error::DeviceUnavailable`].
    #[cfg(feature = "cuda")]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Cuda::new(ordinal).map(Device::Cuda)
    }

    /// The `ordinal`-th NVIDIA GPU, which takes the feature `cuda`.
    ///
    /// # Errors
    /// [`Error::DeviceUnavailable`]: this build has no CUDA backend.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Err(Error::DeviceUnavailable {
            device: format!("cuda:{ordinal}"),
            reason: "this build is without the feature `cuda`".to_owned(),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu(cpu) => cpu.fmt(f),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.fmt(f),
        }
    }
}

impl From<Cpu> for Device {
    fn from(cpu: Cpu) -> Self {
        Device::Cpu(cpu)
    }
}

#[cfg(feature = "cuda")]
impl From<Cuda> for Device {
    fn from(gpu: Cuda) -> Self {
        Device::Cuda(gpu)
    }
}

/// Memory of a [`Device`].
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceBuffer<T: Element> {
    /// The processor's.
    Cpu(CpuBuffer<T>),
    /// A GPU's.
    #[cfg(feature = "cuda")]
    Cuda(CudaBuffer<T>),
}

/// Memory of a [`Device`], lent for reading.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum DeviceSlice<'a, T: Element> {
    /// The processor's.
    Cpu(&'a [T]),
    /// A GPU's.
    #[cfg(feature = "cuda")]
    Cuda(CudaMemory<'a, T>),
}

/// Memory of a [`Device`], lent for writing.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceSliceMut<'a, T: Element> {
    /// The processor's.
    Cpu(&'a mut [T]),
    /// A GPU's.
    #[cfg(feature = "cuda")]
    Cuda(CudaMemoryMut<'a, T>),
}

/// The mask of a [`Device`].
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceMask {
    /// The processor's.
    Cpu(CpuMask),
    /// A GPU's.
    #[cfg(feature = "cuda")]
    Cuda(CudaMask),
}
