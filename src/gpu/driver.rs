//! What a GPU is to this crate: memory, some numbers, and something that runs kernels.

use crate::backend::memory::Memory;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::gpu::arguments::Arguments;
use crate::gpu::attributes::Attributes;
use crate::gpu::launch::Launch;

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
    /// [`WORKSPACE_BYTES`](super::internal::WORKSPACE_BYTES) of device memory that only this driver's stream uses, zero between
    /// launches where a kernel counts in it.
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
