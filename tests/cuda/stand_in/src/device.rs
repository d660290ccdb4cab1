//! The GPU that the library stands for, as the driver describes it.

use std::env;

use batchnorm::cudarc::driver::sys::CUdevice_attribute as Attribute;
use batchnorm::gpu::Attributes;
use batchnorm_simt::SimtDevice;

/// Clusters and all shared memory of Hopper, but next to no cache: arrays that take turns so as not to be found there are few.
pub(crate) const DEVICE: SimtDevice = SimtDevice {
    name: "stand-in",
    attributes: Attributes {
        l2_bytes: 1 << 10,
        ..SimtDevice::hopper().attributes
    },
};

/// CUDA's version that this says it supports: 13.0.
pub(crate) const DRIVER_VERSION: i32 = 13_000;

/// Bytes of a transfer of the memory, and how often there are two a second, in kHz.
const BUS_BYTES: u32 = 768;
fn memory_khz(rate: u64) -> u32 {
    u32::try_from(rate / (2000 * u64::from(BUS_BYTES))).unwrap_or(0)
}

/// A device's number, or none for one that nobody here asks for.
pub(crate) fn attribute(which: u32) -> Option<u32> {
    const HAS: u32 = 1;
    let of = DEVICE.attributes;
    let known = [
        (
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            of.architecture / 10,
        ),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            of.architecture % 10,
        ),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
            of.multiprocessors,
        ),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            of.shared_per_block,
        ),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
            of.shared_per_multiprocessor,
        ),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR,
            of.threads_per_multiprocessor,
        ),
        (Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, of.l2_bytes),
        (Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE, of.clock_khz),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH,
            8 * BUS_BYTES,
        ),
        (
            Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE,
            memory_khz(of.memory_rate),
        ),
        (Attribute::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, HAS),
        (Attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, HAS),
        (Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, HAS),
    ];
    known
        .into_iter()
        .find_map(|(attribute, value)| (attribute as u32 == which).then_some(value))
}

/// Bytes of memory.
pub(crate) fn memory_bytes() -> usize {
    from_environment("STAND_IN_MEGABYTES").unwrap_or(64) << 20
}

/// The fault that is planted in the kernels.
pub(crate) fn fault() -> u32 {
    from_environment("STAND_IN_FAULT").unwrap_or(0)
}

/// The number of the first launch of a graph, in each process, whose kernels fault.
pub(crate) fn faulting_graph_launch() -> usize {
    from_environment("STAND_IN_FAULTING_LAUNCH").unwrap_or(usize::MAX)
}

/// The same for a launch that never ends.
pub(crate) fn hanging_graph_launch() -> usize {
    from_environment("STAND_IN_HANGING_LAUNCH").unwrap_or(usize::MAX)
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}
