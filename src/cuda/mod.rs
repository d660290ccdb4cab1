//! NVIDIA GPUs through the CUDA driver (feature `cuda`).
//!
//! ```no_run
//! use batchnorm::{BatchNorm, BatchNormConfig, Cuda, Shape, Tensor};
//! let gpu = Cuda::new(0)?;
//! let mut layer = BatchNorm::new(&gpu, BatchNormConfig::new(64))?;
//! let shape = Shape::channels_first(&[8, 64, 32, 32])?;
//! let x = Tensor::new(&gpu, shape, &vec![0.5f32; shape.len()])?;
//! let y = layer.forward_inference(&x)?;
//! println!("{gpu}: {:?}", &y.to_vec()?[..4]);
//! # let _ = layer.forward_training(&x)?;
//! # Ok::<(), batchnorm::Error>(())
//! ```
//!
//! # Memory and order
//!
//! The steps of [`crate::backend::Backend`] take cudarc's slices and views and bare addresses alike ([`CudaMemory`],
//! [`CudaMemoryMut`]). They neither allocate nor wait: work goes into the stream that the backend was made on. (Only those whose
//! results are the host's, `_in_f64`, do both.)
//!
//! A step can be captured in a CUDA graph: on a stream of the caller's ([`Cuda::on_stream`]; the default stream cannot be
//! captured), after [`Cuda::load_kernels`] or one call of the same step, and with memory whose uses cudarc does not
//! track (bare addresses, or slices made after `CudaContext::disable_event_tracking`): an event of before the capture
//! must not be waited for within it. One backend's graph and its other work use the same workspace, so they must not
//! run at the same time; another backend on another stream has its own. A graph may outlive its backend: the workspace
//! (7 MB) and the kernels of a backend whose launches were captured stay to the program's end. The arrays are the caller's.

pub(crate) mod attributes;
pub(crate) mod clusters;
pub(crate) mod device_memory;
pub(crate) mod driver;
pub(crate) mod driver_error;
pub(crate) mod kernels;
pub(crate) mod launch;
pub(crate) mod library;
pub(crate) mod memory;
pub(crate) mod modules;
#[cfg(feature = "nccl")]
pub(crate) mod nccl;
pub(crate) mod pool;
mod shared_library;
pub(crate) mod transfer;
pub(crate) mod version;

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};
pub use driver::CudaDriver;
pub use kernels::LoadedModules;
pub use memory::{CudaMemory, CudaMemoryMut};

use crate::cuda::driver_error::driver_error;
use crate::error::Result;
use crate::gpu::{Gpu, GpuMask};

/// An NVIDIA GPU: a stream of its, on which the steps run. Clones share the stream.
pub type Cuda = Gpu<CudaDriver>;

/// The mask of a GPU.
pub type CudaMask = GpuMask<CudaDriver>;

/// Memory of a GPU's, owned.
pub type CudaBuffer<T> = cudarc::driver::CudaSlice<T>;

impl Cuda {
    /// The `ordinal`-th GPU of the driver, on its default stream.
    ///
    /// # Errors
    /// [`crate::Error::NoDriver`], [`crate::Error::DriverTooOld`], [`crate::Error::NoSuchDevice`], [`crate::Error::UnsupportedDevice`] below compute
    /// capability 7.5, [`crate::Error::KernelsNotBuilt`], [`crate::Error::OutOfMemory`], [`crate::Error::Driver`].
    pub fn new(ordinal: usize) -> Result<Self> {
        CudaDriver::new(ordinal).map(Self::on)
    }

    /// A GPU that is in use already, on its default stream.
    ///
    /// # Errors
    /// As [`Cuda::new`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a handle, given as cudarc's own functions take it"
    )]
    pub fn on_context(context: Arc<CudaContext>) -> Result<Self> {
        Self::on_stream(context.default_stream())
    }

    /// A stream of the caller's, or of another library: the steps are then in order with the other work in it.
    ///
    /// # Errors
    /// As [`Cuda::new`].
    pub fn on_stream(stream: Arc<CudaStream>) -> Result<Self> {
        CudaDriver::on_stream(stream).map(Self::on)
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<CudaStream> {
        self.driver().stream()
    }

    /// Loads every kernel now. Else each file of kernels is loaded when one of them is first needed, which takes a
    /// moment and is not allowed while a graph is captured.
    ///
    /// # Errors
    /// [`crate::Error::KernelsNotBuilt`], [`crate::Error::DriverTooOld`], [`crate::Error::Driver`].
    pub fn load_kernels(&self) -> Result<()> {
        self.driver().load_kernels()
    }

    /// How many modules of kernels are loaded in this context: as machine code, and as PTX. With [`Cuda::load_kernels`] before
    /// it, this says whether the driver took all machine code that the build has.
    pub fn loaded_modules(&self) -> LoadedModules {
        self.driver().loaded_modules()
    }

    /// Has the device's memory pool retain so many bytes of freed memory whenever the program waits for the device, instead
    /// of none: what a pass frees, the next then has without asking the system. The pool is the one that CUDA gives every
    /// program's allocations of this device's, other libraries' too. A device without pools has nothing to set.
    ///
    /// # Errors
    /// [`crate::Error::Driver`].
    pub fn set_retained_limit(&self, bytes: u64) -> Result<()> {
        let set = pool::set_retained_limit(self.stream(), bytes);
        set.map_err(|error| driver_error("set how much freed memory is retained", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// The first thing that is missing is named: a driver, then the device.
    #[test]
    fn a_gpu_that_cannot_be_had_is_an_error() {
        let found = Cuda::new(1_000_000).unwrap_err();
        if let Err(missing) = library::driver_version() {
            // Which device was asked for is the only difference.
            assert_eq!(
                std::mem::discriminant(&found),
                std::mem::discriminant(&missing)
            );
            assert!(
                matches!(missing, Error::NoDriver { .. } | Error::NoSuchDevice { .. })
                    || matches!(missing, Error::DriverTooOld { .. } | Error::Driver { .. }),
                "{missing}"
            );
        } else {
            assert!(
                matches!(
                    found,
                    Error::NoSuchDevice {
                        asked: 1_000_000,
                        ..
                    }
                ),
                "{found}"
            );
        }
    }

    #[test]
    fn a_missing_driver_is_told_with_what_was_looked_for() {
        match library::driver_version() {
            Err(error @ Error::NoDriver { .. }) => {
                assert!(error.to_string().contains("libcuda.so"), "{error}");
            }
            other => eprintln!("skipped: this machine has a CUDA driver ({other:?})"),
        }
    }
}
