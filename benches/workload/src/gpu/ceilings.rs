//! What the hardware can do at best, measured before anything is compared with it.
#![expect(unsafe_code, reason = "kernels of this benchmark's own are launched")]

use std::time::Instant;

use batchnorm::cuda::CudaBuffer;
use batchnorm::cudarc::driver::{
    CudaFunction, CudaModule, DriverError, LaunchConfig, PushKernelArg,
};
use batchnorm::cudarc::nvrtc::Ptx;
use batchnorm::{Error, Result};
use cuda_machine::arrays::random;
use cuda_machine::machine::Machine;

use crate::gpu::timing::{Time, time};

/// `ceilings.cu`; empty where there was no nvcc.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/ceilings.ptx"));

/// Bytes of each of the arrays that are read and written: far more than any cache.
const BYTES: usize = 1 << 30;
const CALLS: usize = 10;

/// The best that was seen of each, in bytes or calls a second.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Ceilings {
    /// Bytes read and written a second.
    pub copy: f64,
    /// The same by the driver's own copy.
    pub copy_by_driver: f64,
    pub read: f64,
    pub write: f64,
    /// Bytes of an array that is read again and again, and bytes a second.
    pub read_again: Vec<(usize, f64)>,
    /// Seconds from one empty kernel to the next in a graph.
    pub empty_in_graph: f64,
    /// Seconds of the processor's to put one empty kernel into a stream.
    pub empty_in_stream: f64,
}

impl Ceilings {
    /// What shares are of: the faster of the two copies.
    pub fn limit(&self) -> f64 {
        self.copy.max(self.copy_by_driver)
    }
}

struct Kernels<'a> {
    machine: &'a Machine,
    module: std::sync::Arc<CudaModule>,
    blocks: u32,
}

fn failed(error: DriverError) -> Error {
    Error::Driver {
        operation: "measure what the GPU can do",
        reason: error.to_string(),
    }
}

impl Kernels<'_> {
    fn find(&self, name: &str) -> Result<CudaFunction> {
        self.module.load_function(name).map_err(failed)
    }

    fn shape(&self) -> LaunchConfig {
        LaunchConfig {
            grid_dim: (self.blocks, 1, 1),
            block_dim: (512, 1, 1),
            shared_mem_bytes: 0,
        }
    }

    fn read(
        &self,
        kernel: &CudaFunction,
        from: &CudaBuffer<f32>,
        never: &mut CudaBuffer<f32>,
    ) -> Result<()> {
        let packets = from.len() as u64 / 4;
        let mut launch = self.machine.stream().launch_builder(kernel);
        launch.arg(from).arg(never).arg(&packets);
        // SAFETY: the kernel reads so many packets of 16 bytes of the first array, and writes at most one to the second.
        unsafe { launch.launch(self.shape()) }
            .map_err(failed)
            .map(drop)
    }

    fn write(&self, kernel: &CudaFunction, to: &mut CudaBuffer<f32>) -> Result<()> {
        let packets = to.len() as u64 / 4;
        let mut launch = self.machine.stream().launch_builder(kernel);
        launch.arg(to).arg(&packets);
        // SAFETY: the kernel writes so many packets of 16 bytes, which the array has.
        unsafe { launch.launch(self.shape()) }
            .map_err(failed)
            .map(drop)
    }

    fn copy(
        &self,
        kernel: &CudaFunction,
        from: &CudaBuffer<f32>,
        to: &mut CudaBuffer<f32>,
    ) -> Result<()> {
        let packets = from.len() as u64 / 4;
        let mut launch = self.machine.stream().launch_builder(kernel);
        launch.arg(from).arg(to).arg(&packets);
        // SAFETY: the kernel reads and writes so many packets of 16 bytes of arrays of the same length.
        unsafe { launch.launch(self.shape()) }
            .map_err(failed)
            .map(drop)
    }

    fn nothing(&self, kernel: &CudaFunction) -> Result<()> {
        let shape = LaunchConfig {
            grid_dim: (1, 1, 1),
            ..self.shape()
        };
        // SAFETY: the kernel does nothing.
        unsafe { self.machine.stream().launch_builder(kernel).launch(shape) }
            .map_err(failed)
            .map(drop)
    }
}

/// Bytes a second at the median time.
fn rate(bytes: usize, time: Time) -> f64 {
    bytes as f64 / time.median
}

/// Measures them all.
///
/// # Errors
/// What the driver refuses; [`Error::KernelsNotBuilt`].
pub fn measure(machine: &Machine) -> Result<Ceilings> {
    if PTX.is_empty() {
        return Err(Error::KernelsNotBuilt {
            reason: "there was no nvcc for the kernels that measure the memory".to_owned(),
        });
    }
    let attributes = machine.gpu.attributes();
    let kernels = Kernels {
        machine,
        module: machine
            .context
            .load_module(Ptx::from_src(PTX))
            .map_err(failed)?,
        blocks: 4 * attributes.multiprocessors,
    };
    let gpu = &machine.gpu;
    let from = random::<f32>(gpu, BYTES / 4, 1)?;
    let mut to = random::<f32>(gpu, BYTES / 4, 2)?;
    let kernel = kernels.find("copy_packets")?;
    let copy = time(machine, CALLS, |_| kernels.copy(&kernel, &from, &mut to))?;
    let copy_by_driver = time(machine, CALLS, |_| {
        machine.stream().memcpy_dtod(&from, &mut to).map_err(failed)
    })?;
    let kernel = kernels.find("write_packets")?;
    let write = time(machine, CALLS, |_| kernels.write(&kernel, &mut to))?;
    let kernel = kernels.find("read_packets")?;
    let read = time(machine, CALLS, |_| kernels.read(&kernel, &from, &mut to))?;
    let l2_bytes = attributes.l2_bytes as usize;
    let mut read_again = Vec::new();
    for eighths in [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24] {
        let bytes = (l2_bytes / 8 * eighths).next_multiple_of(16);
        let array = random::<f32>(gpu, bytes / 4, 3)?;
        let again = time(machine, 4 * CALLS, |_| {
            kernels.read(&kernel, &array, &mut to)
        })?;
        read_again.push((bytes, rate(bytes, again)));
    }
    let kernel = kernels.find("empty")?;
    let empty = time(machine, 100 * CALLS, |_| kernels.nothing(&kernel))?;
    Ok(Ceilings {
        copy: rate(2 * BYTES, copy),
        copy_by_driver: rate(2 * BYTES, copy_by_driver),
        read: rate(BYTES, read),
        write: rate(BYTES, write),
        read_again,
        empty_in_graph: empty.median,
        empty_in_stream: in_stream(machine, || kernels.nothing(&kernel))?,
    })
}

/// Seconds of the processor's for one call, the median of some runs of a hundred.
fn in_stream(machine: &Machine, call: impl Fn() -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..21 {
        machine.stream().synchronize().map_err(failed)?;
        let start = Instant::now();
        for _ in 0..100 {
            call()?;
        }
        times.push(start.elapsed().as_secs_f64() / 100.0);
    }
    machine.stream().synchronize().map_err(failed)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
