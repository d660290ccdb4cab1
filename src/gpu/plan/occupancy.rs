//! What a multiprocessor has room for: threads and shared memory of blocks.

use crate::gpu::attributes::Attributes;

/// Threads of a block, of which two fit a multiprocessor: the 256 of each `KERNEL` in `kernels/*.cu`.
pub(crate) const THREADS: usize = 256;
/// Threads of a block that has a multiprocessor's shared memory alone, the most there are: `MOST_THREADS` of `kernels/sums.cuh`.
pub(crate) const THREADS_ALONE: usize = 512;
/// Bytes of x above which every multiprocessor is to have a block.
pub(super) const BUSY_FROM: usize = 2 << 20;
/// Shared memory of a block that is not for packets: what the driver takes for itself, and the kernels' own arrays.
const RESERVED: usize = 2 << 10;
/// Blocks of a launch that every device takes.
pub(crate) const MOST_BLOCKS: usize = i32::MAX as usize;
/// Blocks of a multiprocessor, by the registers of the kernels that reduce: the last number of each `KERNEL` in `kernels/*.cu`.
pub(crate) const BLOCKS_PER_MULTIPROCESSOR: usize = 2;

/// Bytes of dynamic shared memory that a block may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedBudgets {
    /// So that two blocks fit a multiprocessor.
    pub half: usize,
    /// So that one does.
    pub whole: usize,
}

impl SharedBudgets {
    pub(crate) fn of(device: &Attributes) -> Self {
        let whole = (device.shared_per_block as usize).saturating_sub(RESERVED);
        let of_two = device.shared_per_multiprocessor as usize / BLOCKS_PER_MULTIPROCESSOR;
        let half = of_two.saturating_sub(RESERVED).min(whole);
        Self { half, whole }
    }
}
