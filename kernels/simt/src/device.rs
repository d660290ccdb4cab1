//! The GPUs that the host can be.

use batchnorm::gpu::Attributes;
use bits_suite::gpu::{HOPPER, TINY};

/// A GPU that the host is run as: what a plan finds when it asks, and what launches are held to.
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

    /// A whole one, as its data sheet has it.
    pub const fn h200() -> Self {
        Self {
            name: "h200",
            attributes: Attributes::H200,
        }
    }

    /// That for which passes are planned in the table of bits.
    pub const fn hopper() -> Self {
        Self {
            name: "hopper",
            attributes: HOPPER,
        }
    }

    /// The table's other one, to which arrays of a test's size are large.
    pub const fn tiny() -> Self {
        Self {
            name: "tiny",
            attributes: TINY,
        }
    }
}
