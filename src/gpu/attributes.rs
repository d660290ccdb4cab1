//! A device's numbers, which a launch is planned by.

/// What a plan needs to know of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Compute capability times ten: 75, 80, 86, 89, 90, 100, 120.
    pub architecture: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory that one block can ask for (opt-in maximum).
    pub shared_per_block: u32,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_per_multiprocessor: u32,
    /// Threads that a multiprocessor can hold.
    pub threads_per_multiprocessor: u32,
    /// Bytes of the second-level cache.
    pub l2_bytes: u32,
    /// Bytes a second that memory moves at the most; 0 where the driver does not say.
    pub memory_rate: u64,
    /// The multiprocessors' clock at its highest, in kHz.
    pub clock_khz: u32,
    /// The most blocks of a cluster, of kernels of which two blocks fit a multiprocessor; 1 where there are no clusters.
    pub cluster_blocks: u32,
    /// The same of kernels of which a block has a multiprocessor's shared memory alone.
    pub cluster_blocks_alone: u32,
    /// Whether cooperative launches work.
    pub cooperative: bool,
}
