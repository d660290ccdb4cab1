//! Memory of the host: aligned as a GPU's is, and not a byte longer than asked for, so that AddressSanitizer sees every
//! overrun.
#![expect(unsafe_code, reason = "the memory is the host's")]

use std::iter::repeat_n;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use batchnorm::backend::{Memory, check_copy, check_range};
use batchnorm::{Element, Error, Result, host_slices};

use crate::driver::SimtDriver;
use crate::host;

/// Memory of the SIMT host.
#[derive(Debug)]
pub struct SimtBuffer<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer owns its memory, as a `Vec` does.
unsafe impl<T: Send> Send for SimtBuffer<T> {}
// SAFETY: shared, it is only read.
unsafe impl<T: Sync> Sync for SimtBuffer<T> {}

impl<T: Copy> SimtBuffer<T> {
    pub(super) fn new(values: impl ExactSizeIterator<Item = T>) -> Result<Self> {
        let len = values.len();
        let bytes = len.saturating_mul(size_of::<T>());
        let start = host::allocate(bytes)
            .ok_or(Error::OutOfMemory { bytes })?
            .cast::<T>();
        let mut written = 0;
        for value in values.take(len) {
            // SAFETY: `take` keeps it among the `len` values that there is memory for, which is aligned for any type.
            unsafe { start.add(written).write(value) };
            written += 1;
        }
        // An iterator that ends early has less than it said.
        Ok(Self {
            start,
            len: written,
        })
    }
}

impl<T> Deref for SimtBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the memory is this buffer's, and all `len` values were written.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for SimtBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the memory is this buffer's, which is borrowed for writing, and all `len` values were written.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for SimtBuffer<T> {
    fn drop(&mut self) {
        // SAFETY: the memory is of `allocate`, and its owner goes.
        unsafe { host::free(self.start.cast()) };
    }
}

impl Memory for SimtDriver {
    type Buffer<T: Element> = SimtBuffer<T>;

    host_slices!();

    /// NaN, so that a value which a kernel leaves out is seen.
    fn unspecified<T: Element>(&self, len: usize) -> Result<SimtBuffer<T>> {
        SimtBuffer::new(repeat_n(T::from_f64(f64::NAN), len))
    }
    fn zeros<T: Element>(&self, len: usize) -> Result<SimtBuffer<T>> {
        SimtBuffer::new(repeat_n(T::default(), len))
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<SimtBuffer<T>> {
        SimtBuffer::new(values.iter().copied())
    }
    fn download<T: Element>(&self, memory: &[T]) -> Result<Vec<T>> {
        Ok(memory.to_vec())
    }
    fn release_retained(&self) -> Result<()> {
        Ok(())
    }
}
