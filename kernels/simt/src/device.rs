//! The GPUs that the host can be.

use batchnorm::gpu::Attributes;

/// A GPU that is played: what a plan finds when it asks, and what launches are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimtDevice {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its numbers.
    pub attributes: Attributes,
}

impl SimtDevice {
    /// sm_75, as a Tesla T4 but of 10 multiprocessors and a quarter of its memory's rate: no clusters, 64 KiB of shared memory.
    pub const fn turing() -> Self {
        let attributes = Attributes {
            architecture: 75,
            multiprocessors: 10,
            shared_per_block: 64 << 10,
            shared_per_multiprocessor: 64 << 10,
            threads_per_multiprocessor: 1024,
            l2_bytes: 4 << 20,
            memory_rate: 80_000_000_000,
            clock_khz: 1_590_000,
            cluster_blocks: 1,
            cluster_blocks_alone: 1,
            cooperative: true,
        };
        Self {
            name: "turing",
            attributes,
        }
    }

    /// sm_90, as an H200 but of 8 multiprocessors and as much less of its memory's rate: clusters of up to 16 blocks, 227 KiB of shared memory for a block.
    pub const fn hopper() -> Self {
        let attributes = Attributes {
            architecture: 90,
            multiprocessors: 8,
            shared_per_block: 227 << 10,
            shared_per_multiprocessor: 228 << 10,
            threads_per_multiprocessor: 2048,
            l2_bytes: 50 << 20,
            memory_rate: 290_000_000_000,
            clock_khz: 1_980_000,
            cluster_blocks: 16,
            cluster_blocks_alone: 16,
            cooperative: true,
        };
        Self {
            name: "hopper",
            attributes,
        }
    }

    /// No GPU there is: so little shared memory and cache that arrays of a test's size are large to it.
    pub const fn tiny() -> Self {
        let attributes = Attributes {
            architecture: 90,
            multiprocessors: 3,
            shared_per_block: 40 << 10,
            shared_per_multiprocessor: 80 << 10,
            threads_per_multiprocessor: 1024,
            l2_bytes: 96 << 10,
            memory_rate: 100_000_000_000,
            clock_khz: 1_980_000,
            cluster_blocks: 1,
            cluster_blocks_alone: 1,
            cooperative: true,
        };
        Self {
            name: "tiny",
            attributes,
        }
    }
}
