//! What the memory can do at best, and what a launch costs: measured before anything is compared with it.

use std::time::Instant;

use batchnorm::Result;
use cuda_machine::arrays::Random;
use cuda_machine::machine::Machine;

use crate::gpu::own_kernels::{MemoryKernels, failed};
use crate::gpu::timing::{Time, time};

/// Bytes of each of the arrays that are read and written: far more than any cache.
const BYTES: usize = 1 << 30;
const CALLS: usize = 10;
/// One multiprocessor reads so many times fewer.
const ALONE: usize = 16;

/// What was measured, in units a second or in seconds.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Ceiling {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
}

impl Ceiling {
    pub(crate) fn rate(what: impl Into<String>, bytes: usize, time: Time) -> Self {
        Self {
            what: what.into(),
            value: bytes as f64 / time.median,
            unit: "bytes a second",
        }
    }

    pub(crate) fn seconds(what: impl Into<String>, value: f64) -> Self {
        Self {
            what: what.into(),
            value,
            unit: "seconds",
        }
    }
}

/// Bytes of an array, of which there are two: less than a GiB where the GPU has not so much memory.
fn array_bytes(machine: &Machine) -> Result<usize> {
    let (free, _) = machine.context.mem_get_info().map_err(failed)?;
    Ok(BYTES.min(free / 4).next_multiple_of(16))
}

/// Bytes that are read and written a second by the faster of two copies, the driver's and a kernel: what shares are of.
///
/// # Errors
/// What the driver refuses; [`KernelsNotBuilt`](batchnorm::Error::KernelsNotBuilt).
pub fn copy_limit(machine: &Machine) -> Result<f64> {
    let copies = copies(machine, &MemoryKernels::load(machine)?)?;
    Ok(copies.iter().map(|copy| copy.value).fold(0.0, f64::max))
}

fn copies(machine: &Machine, kernels: &MemoryKernels<'_>) -> Result<[Ceiling; 2]> {
    let bytes = array_bytes(machine)?;
    let random = Random::<f32>::new(&machine.gpu, bytes / 4)?;
    let from = random.array(&machine.gpu, bytes / 4, 1)?;
    let mut to = random.array(&machine.gpu, bytes / 4, 2)?;
    let copy = time(machine, CALLS, |_| kernels.copy(&from, &mut to))?;
    let by_driver = time(machine, CALLS, |_| {
        machine.stream().memcpy_dtod(&from, &mut to).map_err(failed)
    })?;
    Ok([
        Ceiling::rate("copy (bytes read and written)", 2 * bytes, copy),
        Ceiling::rate("copy by the driver", 2 * bytes, by_driver),
    ])
}

/// Measures all, and tells each as soon as it is known.
///
/// # Errors
/// What the driver refuses; [`KernelsNotBuilt`](batchnorm::Error::KernelsNotBuilt).
pub fn measure(machine: &Machine, mut tell: impl FnMut(Ceiling)) -> Result<()> {
    let kernels = MemoryKernels::load(machine)?;
    copies(machine, &kernels)?.into_iter().for_each(&mut tell);
    let bytes = array_bytes(machine)?;
    let random = Random::<f32>::new(&machine.gpu, bytes / 4)?;
    let mut array = random.array(&machine.gpu, bytes / 4, 1)?;
    let write = time(machine, CALLS, |_| kernels.write(&mut array))?;
    tell(Ceiling::rate("write", bytes, write));
    let array = random.array(&machine.gpu, bytes / 4, 2)?;
    let mut never = random.array(&machine.gpu, 4, 3)?;
    let read = time(machine, CALLS, |_| kernels.read(&array, &mut never))?;
    tell(Ceiling::rate("read", bytes, read));
    let few = random.array(&machine.gpu, bytes / 4 / ALONE, 2)?;
    let alone = time(machine, CALLS, |_| kernels.read_alone(&few, &mut never))?;
    tell(Ceiling::rate(
        "read by one multiprocessor",
        bytes / ALONE,
        alone,
    ));
    let l2_bytes = machine.gpu.attributes().l2_bytes as usize;
    for eighths in [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24] {
        let bytes = (l2_bytes / 8 * eighths).next_multiple_of(16);
        let array = random.array(&machine.gpu, bytes / 4, 3)?;
        let again = time(machine, 4 * CALLS, |_| kernels.read(&array, &mut never))?;
        let what = format!(
            "read again, {:.1} MB, {eighths} eighths of the cache",
            bytes as f64 / 1e6
        );
        tell(Ceiling::rate(what, bytes, again));
    }
    let empty = time(machine, 100 * CALLS, |_| kernels.nothing())?;
    tell(Ceiling::seconds("an empty kernel in a graph", empty.median));
    tell(Ceiling::seconds(
        "the processor's time to start one in a stream",
        in_stream(machine, || kernels.nothing())?,
    ));
    Ok(())
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
