//! What waits for nothing else take: an access to memory, one to the second-level cache, a clock.

use batchnorm::Result;
use cuda_machine::arrays::Random;
use cuda_machine::machine::Machine;

use crate::gpu::ceilings::Ceiling;
use crate::gpu::own_kernels::{LINE_BYTES, LatencyKernels, Lines, MemoryKernels, failed};
use crate::gpu::timing::once;

/// Bytes of the lines that are gone through: far more than the cache, of which each repeat sees others.
const BYTES: usize = 256 << 20;
/// Lines of a launch: far fewer than the cache has room for.
const STEPS: u32 = 2048;
/// Clocks that are waited for.
const CLOCKS: u64 = 1_000_000;
const REPEATS: usize = 11;

/// Measures all, and tells each as soon as it is known.
///
/// # Errors
/// What the driver refuses; [`KernelsNotBuilt`](batchnorm::Error::KernelsNotBuilt).
pub fn measure(machine: &Machine, mut tell: impl FnMut(Ceiling)) -> Result<()> {
    let kernels = LatencyKernels::load(machine)?;
    let (memory, cache) = accesses(machine, &kernels)?;
    tell(Ceiling::seconds("an access to memory", memory));
    tell(Ceiling::seconds("an access to the cache", cache));
    let clock = median(|_| {
        let few = once(machine, || kernels.wait(CLOCKS))?;
        let many = once(machine, || kernels.wait(2 * CLOCKS))?;
        Ok(CLOCKS as f64 / (many - few))
    })?;
    tell(Ceiling {
        what: "the clock".to_owned(),
        value: clock,
        unit: "clocks a second",
    });
    Ok(())
}

/// Seconds of an access to memory, and of one to what the cache has.
fn accesses(machine: &Machine, kernels: &LatencyKernels<'_>) -> Result<(f64, f64)> {
    let (free, _) = machine.context.mem_get_info().map_err(failed)?;
    let mut lines = Lines::new(machine, BYTES.min(free / 4) / LINE_BYTES)?;
    // More than the cache: behind it, nothing else is there.
    let memory = MemoryKernels::load(machine)?;
    let others = (2 * machine.gpu.attributes().l2_bytes as usize).next_multiple_of(16);
    let random = Random::<f32>::new(&machine.gpu, others / 4)?;
    let others = random.array(&machine.gpu, others / 4, 1)?;
    let mut never = random.array(&machine.gpu, 4, 2)?;
    let mut seconds = |cached: bool| {
        median(|repeat| {
            let first = repeat * STEPS as usize;
            memory.read(&others, &mut never)?;
            if cached {
                kernels.follow(&mut lines, first, STEPS)?;
            }
            let many = once(machine, || kernels.follow(&mut lines, first, STEPS))?;
            let none = once(machine, || kernels.follow(&mut lines, first, 0))?;
            Ok((many - none) / f64::from(STEPS))
        })
    };
    Ok((seconds(false)?, seconds(true)?))
}

fn median(mut of: impl FnMut(usize) -> Result<f64>) -> Result<f64> {
    let mut all: Vec<f64> = (0..REPEATS).map(&mut of).collect::<Result<_>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[REPEATS / 2])
}
