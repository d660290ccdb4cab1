//! A device's numbers, asked once.

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::{CudaContext, DriverError};

use crate::gpu::driver::Attributes;

/// Blocks of a cluster that every device with clusters can run.
const PORTABLE_CLUSTER: u32 = 8;

/// Reads them; where there are clusters, `cluster_blocks` is what every device with clusters has.
pub(super) fn read(context: &CudaContext) -> Result<Attributes, DriverError> {
    let ask = |attribute| context.attribute(attribute).map(i32::unsigned_abs);
    let (major, minor) = context.compute_capability()?;
    let clusters = ask(Attribute::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH)? != 0;
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
        cluster_blocks: if clusters { PORTABLE_CLUSTER } else { 1 },
        cooperative: ask(Attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)? != 0,
    })
}
