//! A device's numbers, asked once.

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::{CudaContext, DriverError};

use crate::gpu::attributes::Attributes;

/// Blocks of a cluster that every device with clusters can run.
const PORTABLE_CLUSTER: u32 = 8;

/// Reads them; where there are clusters, `cluster_blocks` is what every device with clusters has.
pub(super) fn read(context: &CudaContext) -> Result<Attributes, DriverError> {
    let ask = |attribute| context.attribute(attribute).map(i32::unsigned_abs);
    let (major, minor) = context.compute_capability()?;
    let clusters = ask(Attribute::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH)? != 0;
    let cluster_blocks = if clusters { PORTABLE_CLUSTER } else { 1 };
    let memory_khz = ask(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?;
    let memory_bits = ask(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?;
    Ok(Attributes {
        architecture: major.unsigned_abs() * 10 + minor.unsigned_abs(),
        multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_per_block: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        shared_per_multiprocessor: ask(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
        )?,
        threads_per_multiprocessor: ask(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR,
        )?,
        l2_bytes: ask(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
        memory_rate: memory_rate(memory_khz, memory_bits),
        clock_khz: ask(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        cluster_blocks,
        cluster_blocks_alone: cluster_blocks,
        cooperative: ask(Attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)? != 0,
    })
}

/// Bytes a second of a memory that moves two values a clock on each of its wires.
fn memory_rate(khz: u32, bits: u32) -> u64 {
    2 * 1000 * u64::from(khz) * u64::from(bits / 8)
}

/// As their drivers report them.
#[test]
fn the_rate_is_that_of_the_data_sheets() {
    // H100 SXM, A100 40 GB, T4.
    for (khz, bits, terabytes) in [
        (2_619_000, 5120, 3.35),
        (1_215_000, 5120, 1.555),
        (5_001_000, 256, 0.32),
    ] {
        let rate = memory_rate(khz, bits) as f64 / 1e12;
        assert!((rate / terabytes - 1.0).abs() < 0.01, "{rate}");
    }
    assert_eq!(memory_rate(0, 0), 0);
}
