//! What a GPU is to this crate: memory, some numbers, and something that runs kernels.

use crate::backend::memory::Memory;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::gpu::arguments::Arguments;
use crate::gpu::kernel::Kernel;

/// [`Memory`] and launches. There are two: the CUDA driver, and the host that runs the kernels on the processor for tests.
pub trait Driver: Memory {
    /// Held while the work that uses some memory is put into the stream.
    type Guard<'a>;

    /// Where the device finds memory that a kernel reads.
    ///
    /// # Errors
    /// [`Error::DeviceMismatch`] if the memory is another device's.
    fn address<'a, T: Element>(
        &'a self,
        slice: Self::Slice<'a, T>,
    ) -> Result<(u64, Self::Guard<'a>)>;
    /// Where the device finds memory that a kernel writes.
    ///
    /// # Errors
    /// As [`Driver::address`].
    fn address_mut<'a, T: Element>(
        &'a self,
        slice: Self::SliceMut<'a, T>,
    ) -> Result<(u64, Self::Guard<'a>)>;

    /// The device's numbers, asked once.
    fn attributes(&self) -> &Attributes;
    /// [`WORKSPACE_BYTES`] of device memory that only this driver's stream uses, zero between launches where a kernel
    /// counts in it.
    fn workspace(&self) -> u64;
    /// Puts a kernel into the stream.
    ///
    /// # Errors
    /// When the kernels are not in this build, cannot be loaded, or the device refuses the launch for another reason than
    /// room.
    ///
    /// # Safety
    /// Whatever the kernel reads and writes through the arguments' addresses is memory that this driver lent, and its guards are held
    /// until this returns.
    #[expect(unsafe_code, reason = "a kernel believes the addresses it is given")]
    unsafe fn launch(&self, launch: &Launch, arguments: &Arguments) -> Result<Launched>;
}

/// What became of a launch.
#[must_use = "a launch that found no room has not been done"]
#[derive(Debug)]
pub enum Launched {
    /// It is in the stream.
    InStream,
    /// The device cannot have all of its blocks at once, or none of its clusters: nothing was started. The error is for
    /// whoever has no other plan.
    NoRoom(Error),
}

/// Bytes of workspace: first the counters, then the partial sums.
pub const WORKSPACE_BYTES: usize = COUNTER_BYTES + PARTIAL_BYTES;
/// Bytes of the 32-bit counters.
pub const COUNTER_BYTES: usize = 1 << 20;
/// Bytes of partial sums, 16 for each pair of `f64` numbers.
pub const PARTIAL_BYTES: usize = 6 << 20;

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
