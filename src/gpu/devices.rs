//! GPUs by their data sheets, to plan for one that is not there.

use crate::gpu::attributes::Attributes;

impl Attributes {
    /// The device for which partitions of sums are chosen, so that other devices can have the same.
    pub(crate) const REFERENCE: Self = Self::H200;

    /// An H200 (SXM), as its data sheet and the CUDA programming guide have it.
    pub const H200: Self = Self {
        architecture: 90,
        multiprocessors: 132,
        shared_per_block: 227 << 10,
        shared_per_multiprocessor: 228 << 10,
        threads_per_multiprocessor: 2048,
        l2_bytes: 60 << 20,
        memory_rate: 4_800_000_000_000,
        clock_khz: 1_980_000,
        cluster_blocks: 16,
        cluster_blocks_alone: 16,
        cooperative: true,
    };

    /// An H100 (SXM).
    pub const H100: Self = Self {
        l2_bytes: 50 << 20,
        memory_rate: 3_350_000_000_000,
        ..Self::H200
    };

    /// An A100 (SXM, 80 GB): no clusters.
    pub const A100: Self = Self {
        architecture: 80,
        multiprocessors: 108,
        shared_per_block: 163 << 10,
        shared_per_multiprocessor: 164 << 10,
        threads_per_multiprocessor: 2048,
        l2_bytes: 40 << 20,
        memory_rate: 2_039_000_000_000,
        clock_khz: 1_410_000,
        cluster_blocks: 1,
        cluster_blocks_alone: 1,
        cooperative: true,
    };
}
