//! How many threads run a kernel.

/// How many threads a kernel is run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
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
