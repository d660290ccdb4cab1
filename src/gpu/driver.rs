//! What a GPU is to this crate: memory, some numbers, and something that runs kernels.

use std::fmt::Debug;
use std::ops::Range;

use crate::element::Element;
use crate::error::Result;
use crate::gpu::arguments::Arguments;
use crate::gpu::kernel::Kernel;

/// Memory and launches. There are two: the CUDA driver, and the host that runs the kernels on the processor for tests.
pub trait Driver: Clone + Debug + Send + Sync + 'static {
    /// Memory that is owned.
    type Buffer<T: Element>: Debug + Send + Sync;
    /// Memory lent for reading.
    type Slice<'a, T: Element>: Copy + Debug;
    /// Memory lent for writing.
    type SliceMut<'a, T: Element>: Debug;
    /// Held while the work that uses some memory is put into the stream.
    type Guard<'a>;

    /// New memory, zeroed.
    ///
    /// # Errors
    /// When the device has no room.
    fn zeros<T: Element>(&self, len: usize) -> Result<Self::Buffer<T>>;
    /// New memory with these values.
    ///
    /// # Errors
    /// When the device has no room.
    fn upload<T: Element>(&self, values: &[T]) -> Result<Self::Buffer<T>>;
    /// The values of some memory, when all work before has been done.
    ///
    /// # Errors
    /// When the device fails.
    fn download<T: Element>(&self, memory: Self::Slice<'_, T>) -> Result<Vec<T>>;
    /// Copies memory to memory of the same length.
    ///
    /// # Errors
    /// When the device fails.
    fn copy<T: Element>(&self, from: Self::Slice<'_, T>, to: Self::SliceMut<'_, T>) -> Result<()>;
    /// Lends a buffer for reading.
    fn lend<T: Element>(buffer: &Self::Buffer<T>) -> Self::Slice<'_, T>;
    /// Lends a buffer for writing.
    fn lend_mut<T: Element>(buffer: &mut Self::Buffer<T>) -> Self::SliceMut<'_, T>;
    /// Lends on, for reading, what was lent for writing.
    fn relend<'a, T: Element>(slice: &'a Self::SliceMut<'_, T>) -> Self::Slice<'a, T>;
    /// Lends on, for writing, what was lent for writing.
    fn relend_mut<'a, T: Element>(slice: &'a mut Self::SliceMut<'_, T>) -> Self::SliceMut<'a, T>;
    /// The same memory, lent for a shorter time.
    fn narrow<'short, 'long: 'short, T: Element>(
        slice: Self::Slice<'long, T>,
    ) -> Self::Slice<'short, T>;
    /// Lends on, for reading, a part of what was lent, which has all of the range.
    fn part<'a, T: Element>(
        slice: &'a Self::Slice<'_, T>,
        range: Range<usize>,
    ) -> Self::Slice<'a, T>;
    /// Lends on, for writing, a part of what was lent for writing, which has all of the range.
    fn part_mut<'a, T: Element>(
        slice: &'a mut Self::SliceMut<'_, T>,
        range: Range<usize>,
    ) -> Self::SliceMut<'a, T>;
    /// The number of values lent.
    fn len<T: Element>(slice: &Self::Slice<'_, T>) -> usize;

    /// Where the device finds memory that a kernel reads.
    fn address<'a, T: Element>(&'a self, slice: Self::Slice<'a, T>) -> (u64, Self::Guard<'a>);
    /// Where the device finds memory that a kernel writes.
    fn address_mut<'a, T: Element>(
        &'a self,
        slice: Self::SliceMut<'a, T>,
    ) -> (u64, Self::Guard<'a>);

    /// The device's numbers, asked once.
    fn attributes(&self) -> &Attributes;
    /// [`WORKSPACE_BYTES`] of device memory that only this driver's stream uses, zero between launches where a kernel
    /// counts in it.
    fn workspace(&self) -> u64;
    /// Puts a kernel into the stream.
    ///
    /// # Errors
    /// When the kernels are not in this build, cannot be loaded, or the device refuses the launch.
    ///
    /// # Safety
    /// Whatever the kernel reads and writes through the arguments' addresses is memory that this driver lent, and its guards are held
    /// until this returns.
    #[expect(unsafe_code, reason = "a kernel believes the addresses it is given")]
    unsafe fn launch(&self, launch: &Launch, arguments: &Arguments) -> Result<()>;
}

/// Bytes of workspace: first the counters, then the partial sums.
pub const WORKSPACE_BYTES: usize = COUNTER_BYTES + PARTIAL_BYTES;
/// Bytes of the 32-bit counters.
pub const COUNTER_BYTES: usize = 1 << 20;
/// Bytes of partial sums, 16 for each of two `f64` numbers.
pub const PARTIAL_BYTES: usize = 6 << 20;

/// One launch of one kernel.
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
    /// The most blocks of a cluster that any kernel may ask for; 1 where there are no clusters.
    pub cluster_blocks: u32,
    /// Whether cooperative launches work.
    pub cooperative: bool,
}
