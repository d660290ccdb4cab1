//! The processor's memory: buffers, and slices of them.

use std::ops::Range;

use crate::allocate::reserved;
use crate::backend::memory::{Memory, check_copy, check_range};
use crate::cpu::Cpu;
use crate::cpu::memory::buffer::CpuBuffer;
use crate::cpu::memory::pool::POOL;
use crate::element::Element;
use crate::error::Result;

impl Memory for Cpu {
    type Buffer<T: Element> = CpuBuffer<T>;
    type Slice<'a, T: Element> = &'a [T];
    type SliceMut<'a, T: Element> = &'a mut [T];

    fn unspecified<T: Element>(&self, len: usize) -> Result<CpuBuffer<T>> {
        CpuBuffer::unspecified(len)
    }
    fn zeros<T: Element>(&self, len: usize) -> Result<CpuBuffer<T>> {
        CpuBuffer::zeros(len)
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<CpuBuffer<T>> {
        CpuBuffer::copy_of(values)
    }
    fn download<T: Element>(&self, memory: &[T]) -> Result<Vec<T>> {
        let mut values = reserved(memory.len())?;
        values.extend_from_slice(memory);
        Ok(values)
    }
    fn take_over<T: Element>(&self, values: Vec<T>) -> Result<CpuBuffer<T>> {
        Ok(CpuBuffer::of_vector(values))
    }
    fn give_up<T: Element>(&self, buffer: CpuBuffer<T>) -> Result<Vec<T>> {
        buffer.into_vector()
    }
    fn copy<T: Element>(&self, from: &[T], to: &mut [T]) -> Result<()> {
        check_copy(from.len(), to.len())?;
        to.copy_from_slice(from);
        Ok(())
    }
    fn as_slice<T: Element>(buffer: &CpuBuffer<T>) -> &[T] {
        buffer
    }
    fn as_slice_mut<T: Element>(buffer: &mut CpuBuffer<T>) -> &mut [T] {
        buffer
    }
    fn reborrow<'a, T: Element>(slice: &'a &mut [T]) -> &'a [T] {
        slice
    }
    #[expect(clippy::mut_mut, reason = "a slice, borrowed again")]
    fn reborrow_mut<'a, T: Element>(slice: &'a mut &mut [T]) -> &'a mut [T] {
        slice
    }
    fn shorten<'short, 'long: 'short, T: Element>(slice: &'long [T]) -> &'short [T] {
        slice
    }
    fn subslice<'a, T: Element>(slice: &'a &[T], range: Range<usize>) -> Result<&'a [T]> {
        check_range(slice.len(), &range)?;
        Ok(&slice[range])
    }
    #[expect(clippy::mut_mut, reason = "a slice, borrowed again")]
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut &mut [T],
        range: Range<usize>,
    ) -> Result<&'a mut [T]> {
        check_range(slice.len(), &range)?;
        Ok(&mut slice[range])
    }
    fn len<T: Element>(slice: &&[T]) -> usize {
        slice.len()
    }
    fn release_retained(&self) -> Result<()> {
        POOL.release();
        Ok(())
    }
}

/// The bound of what is retained of freed memory. There is one, and one pool, for all of a program's `Cpu`s.
impl Cpu {
    /// Retains no more than so many bytes of freed memory from now on, instead of 512 MiB; 0 retains none.
    ///
    /// What a pass frees, the next can have: memory that goes back to the system is handed out again page by page, which takes
    /// several times as long as the pass that writes it. Of what there is no room for, what was freed first goes first.
    /// Memory of less than 4 KiB is never retained. [`Memory::release_retained`] gives all of it back at once.
    ///
    /// ```
    /// use batchnorm::backend::Memory;
    /// use batchnorm::{Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// Cpu::set_retained_limit(64 << 20);
    /// drop(Tensor::<f32, _>::zeros(&cpu, Shape::channels_first(&[8, 64, 32, 32])?)?);
    /// assert!(Cpu::retained_bytes() <= 64 << 20);
    /// cpu.release_retained()?;
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    pub fn set_retained_limit(bytes: usize) {
        POOL.set_limit(bytes);
    }

    /// How many bytes of freed memory are retained.
    pub fn retained_bytes() -> usize {
        POOL.retained_bytes()
    }
}
