//! The memory of a device: what is allocated, copied and lent in its stream.

use std::ops::Range;

use cudarc::driver::CudaSlice;

use crate::allocate::zeroed;
use crate::backend::memory::{Memory, check_copy, check_range};
use crate::cuda::driver::CudaDriver;
use crate::cuda::driver_error::driver_error;
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
use crate::cuda::{pool, transfer};
use crate::element::Element;
use crate::error::{Error, Result};

impl Memory for CudaDriver {
    type Buffer<T: Element> = CudaSlice<T>;
    type Slice<'a, T: Element> = CudaMemory<'a, T>;
    type SliceMut<'a, T: Element> = CudaMemoryMut<'a, T>;

    /// From the pool of the device's, in the order of the stream, where it has one.
    fn unspecified<T: Element>(&self, len: usize) -> Result<CudaSlice<T>> {
        check_size::<T>(len)?;
        let made = if len == 0 {
            self.stream().null()
        } else {
            pool::unspecified(self.stream(), len)
        };
        made.map_err(|error| Self::out_of_memory::<T>(error, len))
    }

    fn zeros<T: Element>(&self, len: usize) -> Result<CudaSlice<T>> {
        check_size::<T>(len)?;
        let made = if len == 0 {
            self.stream().null()
        } else {
            self.stream().alloc_zeros(len)
        };
        made.map_err(|error| Self::out_of_memory::<T>(error, len))
    }

    fn upload<T: Element>(&self, values: &[T]) -> Result<CudaSlice<T>> {
        let made = if values.is_empty() {
            self.stream().null()
        } else {
            self.stream().clone_htod(values)
        };
        made.map_err(|error| Self::out_of_memory::<T>(error, values.len()))
    }

    fn download<T: Element>(&self, memory: CudaMemory<'_, T>) -> Result<Vec<T>> {
        if !self.is_here(memory.context()) {
            return Err(self.elsewhere());
        }
        let len = memory.len();
        let mut values = zeroed::<T>(len)?;
        if len > 0 {
            let (address, guard) = memory.address(self.stream());
            let copied = transfer::to_processor(self.stream(), address, &mut values);
            drop(guard);
            copied.map_err(|error| driver_error("copy from the device", error))?;
        }
        Ok(values)
    }

    fn copy<T: Element>(
        &self,
        from: CudaMemory<'_, T>,
        mut to: CudaMemoryMut<'_, T>,
    ) -> Result<()> {
        check_copy(from.len(), to.len())?;
        let bytes = size_of::<T>() * from.len();
        if bytes == 0 {
            return Ok(());
        }
        if !self.is_here(from.context()) || !self.is_here(to.context()) {
            return Err(self.elsewhere());
        }
        let (from, _read) = from.address(self.stream());
        let (to, _written) = to.reborrow_mut().address(self.stream());
        let copied = transfer::on_device(self.stream(), from, to, bytes);
        copied.map_err(|error| driver_error("copy on the device", error))
    }

    fn as_slice<T: Element>(buffer: &CudaSlice<T>) -> CudaMemory<'_, T> {
        buffer.into()
    }

    fn as_slice_mut<T: Element>(buffer: &mut CudaSlice<T>) -> CudaMemoryMut<'_, T> {
        buffer.into()
    }

    fn reborrow<'a, T: Element>(slice: &'a CudaMemoryMut<'_, T>) -> CudaMemory<'a, T> {
        slice.reborrow()
    }

    fn reborrow_mut<'a, T: Element>(slice: &'a mut CudaMemoryMut<'_, T>) -> CudaMemoryMut<'a, T> {
        slice.reborrow_mut()
    }

    fn shorten<'short, 'long: 'short, T: Element>(
        slice: CudaMemory<'long, T>,
    ) -> CudaMemory<'short, T> {
        slice
    }

    fn subslice<'a, T: Element>(
        slice: &'a CudaMemory<'_, T>,
        range: Range<usize>,
    ) -> Result<CudaMemory<'a, T>> {
        check_range(slice.len(), &range)?;
        Ok(slice.subslice(range))
    }

    fn subslice_mut<'a, T: Element>(
        slice: &'a mut CudaMemoryMut<'_, T>,
        range: Range<usize>,
    ) -> Result<CudaMemoryMut<'a, T>> {
        check_range(slice.len(), &range)?;
        Ok(slice.subslice(range))
    }

    fn len<T: Element>(slice: &CudaMemory<'_, T>) -> usize {
        slice.len()
    }

    fn release_retained(&self) -> Result<()> {
        let released = pool::release(self.stream());
        released.map_err(|error| driver_error("release freed memory", error))
    }
}

/// That so many values have a number of bytes: who allocates for us multiplies without asking, and would allocate the few that are left.
fn check_size<T>(len: usize) -> Result<()> {
    match len.checked_mul(size_of::<T>()) {
        Some(_) => Ok(()),
        None => Err(Error::OutOfMemory { bytes: usize::MAX }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_size_comes_round_to_a_small_one() {
        let bytes = usize::MAX;
        let beyond = usize::MAX / size_of::<f32>() + 2;
        assert_eq!(check_size::<f32>(beyond), Err(Error::OutOfMemory { bytes }));
        assert_eq!(check_size::<f32>(beyond - 2), Ok(()));
    }
}
