//! The CUDA driver as a [`Driver`]: one stream of one device.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cudarc::driver::sys::CUstreamCaptureStatus as CaptureStatus;
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DriverError, SyncOnDrop, sys};

use crate::cuda::driver_error::driver_error;
use crate::cuda::kernels::{Kernels, LoadedModules};
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
use crate::cuda::version::{OLDEST_ARCHITECTURE, capability};
use crate::cuda::{attributes, clusters, launch, library, modules};
use crate::element::{DType, Element};
use crate::error::cause::Cause;
use crate::error::{Error, Result};
use crate::gpu::arguments::Arguments;
use crate::gpu::attributes::Attributes;
use crate::gpu::driver::{Driver, Launched};
use crate::gpu::kernel;
use crate::gpu::kernel::{Kernel, Operation};
use crate::gpu::launch::Launch;
use crate::gpu::workspace::WORKSPACE_BYTES;

/// A stream of a device, the kernels loaded there, and the workspace that they use in this stream.
///
/// Clones share all of them. Work goes into the stream in the order of the calls and nothing waits for it, but for
/// [`download`](crate::backend::memory::Memory::download).
#[derive(Debug, Clone)]
pub struct CudaDriver {
    stream: Arc<CudaStream>,
    workspace: Arc<Workspace>,
    kernels: Arc<Kernels>,
    attributes: Attributes,
    name: Arc<str>,
}

#[derive(Debug)]
struct Workspace {
    address: u64,
    /// Whether it stays to the program's end.
    kept: AtomicBool,
    /// Freed, in the order of the stream, with the last driver that uses it.
    _memory: CudaSlice<u8>,
}

impl CudaDriver {
    pub(super) fn new(ordinal: usize) -> Result<Self> {
        library::driver_version().map_err(|error| match error {
            Error::NoSuchDevice { found, .. } => Error::NoSuchDevice {
                asked: ordinal,
                found,
            },
            other => other,
        })?;
        let found = CudaContext::device_count()
            .map_err(|error| driver_error("count its devices", error))?;
        let found = usize::try_from(found).unwrap_or(0);
        if ordinal >= found {
            return Err(Error::NoSuchDevice {
                asked: ordinal,
                found,
            });
        }
        let context =
            CudaContext::new(ordinal).map_err(|error| driver_error("use the device", error))?;
        Self::on_stream(context.default_stream())
    }

    pub(super) fn on_stream(stream: Arc<CudaStream>) -> Result<Self> {
        let version = library::driver_version()?;
        let ask = |error| driver_error("describe the device", error);
        let context = stream.context();
        let mut attributes = attributes::read(context).map_err(ask)?;
        let name = context.name().map_err(ask)?;
        if attributes.architecture < OLDEST_ARCHITECTURE {
            return Err(Error::UnsupportedDevice {
                device: name,
                found: capability(attributes.architecture),
                needed: capability(OLDEST_ARCHITECTURE),
            });
        }
        // After the machine: where that has no GPU to use, building the kernels would change nothing.
        modules::check_built()?;
        let kernels = Kernels::of_context(context, &attributes, version);
        // The smallest, to see that this driver takes what nvcc made.
        kernels.get(Kernel::per_channel(Operation::InverseStd, DType::F32))?;
        clusters::ask(&stream, &kernels, &mut attributes)?;
        Ok(Self {
            workspace: Arc::new(Workspace::new(&stream)?),
            kernels,
            attributes,
            name: format!("cuda:{} ({name})", context.ordinal()).into(),
            stream,
        })
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    pub(super) fn load_kernels(&self) -> Result<()> {
        kernel::all().try_for_each(|kernel| self.kernels.get(kernel).map(drop))
    }

    pub(super) fn loaded_modules(&self) -> LoadedModules {
        self.kernels.loaded_modules()
    }

    pub(super) fn out_of_memory<T>(error: DriverError, len: usize) -> Error {
        let DriverError(code) = error;
        if code == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            let bytes = len.saturating_mul(size_of::<T>());
            return Error::OutOfMemory { bytes };
        }
        driver_error("allocate memory", error)
    }

    /// Whether memory is in this driver's context, or at an address that the caller answers for.
    pub(super) fn is_here(&self, context: Option<&CudaContext>) -> bool {
        context.is_none_or(|context| context == &**self.stream.context())
    }

    pub(super) fn elsewhere(&self) -> Error {
        Error::DeviceMismatch {
            found: "another GPU".to_owned(),
            needed: self.to_string(),
        }
    }

    /// Keeps the workspace and the kernels to the program's end once a launch is captured: the graph has their addresses,
    /// and nobody says when the last of its replays has been.
    fn keep_for_graphs(&self) -> Result<(), DriverError> {
        if self.workspace.kept.load(Ordering::Relaxed)
            || self.stream.capture_status()? == CaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE
        {
            return Ok(());
        }
        if !self.workspace.kept.swap(true, Ordering::Relaxed) {
            std::mem::forget((self.workspace.clone(), self.kernels.clone()));
        }
        Ok(())
    }

    fn check_here(&self, context: Option<&CudaContext>) -> Result<()> {
        if self.is_here(context) {
            Ok(())
        } else {
            Err(self.elsewhere())
        }
    }
}

impl Workspace {
    fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let memory = stream
            .alloc_zeros::<u8>(WORKSPACE_BYTES)
            .map_err(|error| CudaDriver::out_of_memory::<u8>(error, WORKSPACE_BYTES))?;
        let (address, guard) = memory.device_ptr(stream);
        drop(guard);
        Ok(Self {
            address,
            kept: AtomicBool::new(false),
            _memory: memory,
        })
    }
}

impl fmt::Display for CudaDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Driver for CudaDriver {
    type Guard<'a> = SyncOnDrop<'a>;

    fn address<'a, T: Element>(
        &'a self,
        slice: CudaMemory<'a, T>,
    ) -> Result<(u64, SyncOnDrop<'a>)> {
        self.check_here(slice.context())?;
        Ok(slice.address(&self.stream))
    }

    fn address_mut<'a, T: Element>(
        &'a self,
        slice: CudaMemoryMut<'a, T>,
    ) -> Result<(u64, SyncOnDrop<'a>)> {
        self.check_here(slice.context())?;
        Ok(slice.address(&self.stream))
    }

    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn workspace(&self) -> u64 {
        self.workspace.address
    }

    #[expect(unsafe_code, reason = "a kernel believes the addresses it is given")]
    unsafe fn launch(&self, launch: &Launch, arguments: &Arguments) -> Result<Launched> {
        let refused = |error: DriverError| match error {
            DriverError(sys::CUresult::CUDA_ERROR_INVALID_CONTEXT) => self.elsewhere(),
            error => Error::Launch {
                kernel: launch.kernel.name(),
                reason: error.to_string(),
                source: Some(Cause::new(error)),
            },
        };
        self.stream.context().bind_to_thread().map_err(refused)?;
        let function = self.kernels.get(launch.kernel)?;
        self.keep_for_graphs().map_err(refused)?;
        // SAFETY: the caller's promise.
        match unsafe { launch::launch(&self.stream, &function, launch, arguments) } {
            Ok(()) => Ok(Launched::InStream),
            Err(error) if launch::lacks_room(launch, error) => Ok(Launched::NoRoom(refused(error))),
            Err(error) => Err(refused(error)),
        }
    }
}
