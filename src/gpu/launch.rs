//! One launch: what a plan comes to, and a driver does.

use crate::gpu::kernel::Kernel;

/// One launch of one kernel. A driver does everything that is said here, so a new field takes a new minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Which.
    pub kernel: Kernel,
    /// Blocks.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Blocks of a cluster; 1 where there are none.
    pub cluster: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// Whether all blocks must run at once because they wait for each other.
    pub cooperative: bool,
}
