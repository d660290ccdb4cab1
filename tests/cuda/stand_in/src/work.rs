//! What can be put into a stream, or captured there for a graph.
#![expect(unsafe_code, reason = "kernels are given addresses")]

use std::sync::OnceLock;

use batchnorm::cudarc::driver::sys::CUresult;
use batchnorm::gpu::internal::Arguments;
use batchnorm_simt::{Grid, SimtDriver};

use crate::device::{DEVICE, fault};
use crate::memory;
use crate::plain_kernels::PlainKernel;

#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// A kernel of the library.
    Kernel {
        name: &'static str,
        grid: Grid,
        arguments: Box<Arguments>,
    },
    /// A kernel of the benchmark's own.
    Plain {
        kernel: &'static PlainKernel,
        parameters: Vec<u64>,
    },
    Copy {
        from: u64,
        to: u64,
        bytes: usize,
    },
    Fill {
        to: u64,
        with: u8,
        bytes: usize,
    },
}

impl Work {
    pub(crate) fn run(&self) -> Result<(), CUresult> {
        match self {
            Work::Kernel {
                name,
                grid,
                arguments,
            } => run_kernel(name, *grid, arguments),
            Work::Plain { kernel, parameters } => (kernel.run)(parameters),
            Work::Copy { from, to, bytes } => memory::copy(*from, *to, *bytes),
            Work::Fill { to, with, bytes } => {
                memory::with_bytes(*to, *bytes, |bytes| bytes.fill(*with))
            }
        }
    }
}

/// On the SIMT host, which says on standard error what is wrong with a launch.
fn run_kernel(name: &str, grid: Grid, arguments: &Arguments) -> Result<(), CUresult> {
    static HOST: OnceLock<Option<SimtDriver>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let host = SimtDriver::new(DEVICE).ok()?;
        Some(host.with_seed(1).with_fault(fault()))
    });
    let host = host.as_ref().ok_or(CUresult::CUDA_ERROR_OUT_OF_MEMORY)?;
    // SAFETY: the addresses are those that the program under test gives its kernels, and lead to memory of this process; one that
    // is wrong ends it, as it may end a program on a GPU.
    unsafe { host.run(name, grid, arguments) }.map_err(|error| {
        eprintln!("the stand-in for the CUDA driver: {error}");
        CUresult::CUDA_ERROR_LAUNCH_FAILED
    })
}
