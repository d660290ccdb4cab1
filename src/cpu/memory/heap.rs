//! The processor's memory: buffers, and slices of them.

use std::ops::Range;

use crate::allocate::reserved;
use crate::backend::host_slices::host_slices;
use crate::backend::memory::{Memory, check_copy, check_range};
use crate::cpu::Cpu;
use crate::cpu::memory::buffer::CpuBuffer;
use crate::cpu::memory::pool::POOL;
use crate::element::Element;
use crate::error::Result;

impl Memory for Cpu {
    type Buffer<T: Element> = CpuBuffer<T>;

    host_slices!();

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
