//! The memory of a device, and what of it is read and written.

use std::fmt::Debug;
use std::ops::Range;

use crate::element::Element;
use crate::error::{Error, Result};

/// Memory that is owned, and slices of it: what [`Backend`](super::Backend)s and the drivers of GPUs have in common.
pub trait Memory: Clone + Debug + Send + Sync + 'static {
    /// Memory that is owned.
    type Buffer<T: Element>: Debug + Send + Sync;
    /// Memory borrowed for reading.
    type Slice<'a, T: Element>: Copy + Debug;
    /// Memory borrowed for writing.
    type SliceMut<'a, T: Element>: Debug;

    /// New memory of whatever values, for a pass that writes all of them.
    ///
    /// # Errors
    /// When the device has no room.
    fn unspecified<T: Element>(&self, len: usize) -> Result<Self::Buffer<T>>;
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
    /// Memory with the values of a vector, which is used as it is where the device can.
    ///
    /// # Errors
    /// When the device has no room.
    fn take_over<T: Element>(&self, values: Vec<T>) -> Result<Self::Buffer<T>> {
        self.upload(&values)
    }
    /// The values of memory that is needed no more, which become the vector where the host can read them.
    ///
    /// # Errors
    /// When the device fails.
    fn give_up<T: Element>(&self, buffer: Self::Buffer<T>) -> Result<Vec<T>> {
        self.download(Self::as_slice(&buffer))
    }
    /// Copies memory to memory of the same length.
    ///
    /// # Errors
    /// [`Error::Length`] when the lengths differ; when the device fails.
    fn copy<T: Element>(&self, from: Self::Slice<'_, T>, to: Self::SliceMut<'_, T>) -> Result<()>;

    /// A buffer, for reading.
    fn as_slice<T: Element>(buffer: &Self::Buffer<T>) -> Self::Slice<'_, T>;
    /// A buffer, for writing.
    fn as_slice_mut<T: Element>(buffer: &mut Self::Buffer<T>) -> Self::SliceMut<'_, T>;
    /// For reading, what was borrowed for writing.
    fn reborrow<'a, T: Element>(slice: &'a Self::SliceMut<'_, T>) -> Self::Slice<'a, T>;
    /// For writing, what was borrowed for writing.
    fn reborrow_mut<'a, T: Element>(slice: &'a mut Self::SliceMut<'_, T>) -> Self::SliceMut<'a, T>;
    /// The same memory, borrowed for a shorter time.
    fn shorten<'short, 'long: 'short, T: Element>(
        slice: Self::Slice<'long, T>,
    ) -> Self::Slice<'short, T>;
    /// A range of it, for reading.
    ///
    /// # Errors
    /// [`Error::Length`] when the range is not in it.
    fn subslice<'a, T: Element>(
        slice: &'a Self::Slice<'_, T>,
        range: Range<usize>,
    ) -> Result<Self::Slice<'a, T>>;
    /// A range of it, for writing.
    ///
    /// # Errors
    /// As [`subslice`](Self::subslice).
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut Self::SliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<Self::SliceMut<'a, T>>;
    /// The number of values.
    fn len<T: Element>(slice: &Self::Slice<'_, T>) -> usize;

    /// Gives back to the system what the device retains of freed memory for passes to come.
    ///
    /// # Errors
    /// When the device fails.
    fn release_retained(&self) -> Result<()>;
}

/// That memory of so many values has all of a range.
///
/// # Errors
/// [`Error::Length`] if not.
pub fn check_range(len: usize, range: &Range<usize>) -> Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    Err(Error::Length {
        what: "the memory that a part was asked of",
        found: len,
        needed: range.end.max(range.start),
    })
}

/// That memory can be copied to memory of `needed` values.
///
/// # Errors
/// [`Error::Length`] if not.
pub fn check_copy(found: usize, needed: usize) -> Result<()> {
    crate::shape::check_len("the memory copied from", found, needed)
}
