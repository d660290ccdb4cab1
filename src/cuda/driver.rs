//! The CUDA driver as a [`Driver`]: one stream of one device.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DriverError, SyncOnDrop, sys};

use crate::cause::Cause;
use crate::cuda::kernels::Kernels;
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
use crate::cuda::version::{OLDEST_ARCHITECTURE, capability};
use crate::cuda::{attributes, driver_error, launch, library, modules};
use crate::element::{DType, Element};
use crate::error::{Error, Result};
use crate::gpu::arguments::Arguments;
use crate::gpu::driver::{Attributes, Driver, Launch, WORKSPACE_BYTES};
use crate::gpu::kernel;
use crate::gpu::kernel::{Family, Kernel, Operation, Strategy};

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
        let kernels = Kernels::new(context, &attributes, version);
        // The smallest, to see that this driver takes what nvcc made.
        kernels.get(Kernel::per_channel(Operation::InverseStd, DType::F32))?;
        attributes.cluster_blocks = cluster_blocks(&stream, &kernels, &attributes)?;
        Ok(Self {
            workspace: Arc::new(Workspace::new(&stream)?),
            kernels: Arc::new(kernels),
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

    /// No address, and the next launch fails: cudarc keeps an error that cannot be returned with the context, and every
    /// use of the context begins by asking for it.
    fn no_address(&self) -> (u64, SyncOnDrop<'_>) {
        let code = sys::CUresult::CUDA_ERROR_INVALID_CONTEXT;
        self.stream
            .context()
            .record_err::<()>(Err(DriverError(code)));
        (0, SyncOnDrop::Record(None))
    }
}

/// The most blocks of a cluster: 16 where the device has room for as many of the kernel that asks for most, else what
/// every device with clusters can run; 1 where there are none or the kernels know of none.
fn cluster_blocks(stream: &CudaStream, kernels: &Kernels, attributes: &Attributes) -> Result<u32> {
    let kernel = Kernel {
        family: Family::Planes,
        strategy: Strategy::OnChip,
        operation: Operation::Forward,
        dtype: DType::F32,
    };
    if attributes.cluster_blocks == 1 || !kernels.knows_clusters(kernel) {
        return Ok(1);
    }
    let wide = Launch {
        kernel,
        blocks: 16,
        threads: 512,
        cluster: 16,
        // Two blocks of a multiprocessor, with what the system keeps of each.
        shared_bytes: attributes.shared_per_multiprocessor / 2 - 2048,
        cooperative: false,
    };
    // A device with smaller clusters only refuses the question.
    let fits = launch::fits(stream, &kernels.get(kernel)?, &wide).unwrap_or(false);
    Ok(if fits { 16 } else { attributes.cluster_blocks })
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

    fn address<'a, T: Element>(&'a self, slice: CudaMemory<'a, T>) -> (u64, SyncOnDrop<'a>) {
        if self.is_here(slice.context()) {
            slice.address(&self.stream)
        } else {
            self.no_address()
        }
    }

    fn address_mut<'a, T: Element>(&'a self, slice: CudaMemoryMut<'a, T>) -> (u64, SyncOnDrop<'a>) {
        if self.is_here(slice.context()) {
            slice.address(&self.stream)
        } else {
            self.no_address()
        }
    }

    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn workspace(&self) -> u64 {
        self.workspace.address
    }

    #[expect(unsafe_code, reason = "a kernel believes the addresses it is given")]
    unsafe fn launch(&self, launch: &Launch, arguments: &Arguments) -> Result<()> {
        let refused = |error: DriverError| match error {
            DriverError(sys::CUresult::CUDA_ERROR_INVALID_CONTEXT) => self.elsewhere(),
            error => Error::Launch {
                kernel: launch.kernel.name(),
                reason: error.to_string(),
                source: Some(Cause::new(error)),
            },
        };
        // Which is where an operand without an address is noticed.
        self.stream.context().bind_to_thread().map_err(refused)?;
        let function = self.kernels.get(launch.kernel)?;
        // SAFETY: the caller's promise.
        unsafe { launch::launch(&self.stream, &function, launch, arguments) }.map_err(refused)
    }
}
