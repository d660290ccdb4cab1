//! Kernels of the benchmark's own (`ceilings.cu`, `barriers.cu`, `latencies.cu`), each started by a function of its name.

mod barrier_kernels;
mod latency_kernels;
mod memory_kernels;

use std::sync::Arc;

use batchnorm::cudarc::driver::{CudaModule, DriverError};
use batchnorm::cudarc::nvrtc::Ptx;
use batchnorm::{Error, Result};
use cuda_machine::machine::Machine;

pub(crate) use barrier_kernels::{BarrierKernels, Blocks};
pub(crate) use latency_kernels::{LINE_BYTES, LatencyKernels, Lines};
pub(crate) use memory_kernels::MemoryKernels;

pub(crate) fn failed(error: DriverError) -> Error {
    Error::Driver {
        operation: "measure what the GPU can do",
        reason: error.to_string(),
        source: None,
    }
}

/// A text of kernels, which is empty where there was no nvcc.
fn load(machine: &Machine, text: &str) -> Result<Arc<CudaModule>> {
    if text.is_empty() {
        return Err(Error::KernelsNotBuilt {
            reason: "there was no nvcc for the kernels that measure the GPU".to_owned(),
        });
    }
    let ptx = Ptx::from_src(text);
    machine.context.load_module(ptx).map_err(failed)
}
