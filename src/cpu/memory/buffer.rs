//! Values of one type, in memory that goes back to the pool, or in a vector of the caller's.

use std::fmt;
use std::mem::replace;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;

use crate::allocate::reserved;
use crate::cpu::memory::block::Block;
use crate::cpu::memory::pool::POOL;
use crate::error::Result;

/// Memory of the processor's: a slice of values. Freed, it is retained for what asks for as much next (see
/// [`Cpu::set_retained_limit`](crate::Cpu::set_retained_limit)).
pub struct CpuBuffer<T: Pod>(Place<T>);

/// Where the values are.
enum Place<T> {
    /// The first so many of a block that is the pool's when they are dropped.
    Pooled { block: Block, len: usize },
    /// In a vector that was taken over.
    Vector(Vec<T>),
}

impl<T: Pod> CpuBuffer<T> {
    /// `len` values: those that were in the memory last, whatever they were.
    pub(crate) fn unspecified(len: usize) -> Result<Self> {
        Ok(Self::of(len, POOL.take(bytes_of::<T>(len))?))
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Result<Self> {
        Ok(Self::of(len, POOL.take_zeroed(bytes_of::<T>(len))?))
    }

    /// The same values.
    pub(crate) fn copy_of(values: &[T]) -> Result<Self> {
        let mut copy = Self::unspecified(values.len())?;
        copy.copy_from_slice(values);
        Ok(copy)
    }

    /// A vector's values, which stay where they are.
    pub(crate) fn of_vector(values: Vec<T>) -> Self {
        Self(Place::Vector(values))
    }

    /// The values as a vector: the one that was taken over, or a copy.
    pub(crate) fn into_vector(mut self) -> Result<Vec<T>> {
        if let Place::Vector(values) = &mut self.0 {
            return Ok(std::mem::take(values));
        }
        let mut values = reserved(self.len())?;
        values.extend_from_slice(&self);
        Ok(values)
    }

    fn of(len: usize, block: Block) -> Self {
        Self(Place::Pooled { block, len })
    }
}

/// Of so many values, or of more than there can be.
fn bytes_of<T>(len: usize) -> usize {
    len.saturating_mul(size_of::<T>())
}

impl<T: Pod> Deref for CpuBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Place::Pooled { block, len } => {
                bytemuck::cast_slice(&block.bytes()[..bytes_of::<T>(*len)])
            }
            Place::Vector(values) => values,
        }
    }
}

impl<T: Pod> DerefMut for CpuBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Place::Pooled { block, len } => {
                bytemuck::cast_slice_mut(&mut block.bytes_mut()[..bytes_of::<T>(*len)])
            }
            Place::Vector(values) => values,
        }
    }
}

impl<T: Pod> Drop for CpuBuffer<T> {
    fn drop(&mut self) {
        if let Place::Pooled { block, .. } = &mut self.0 {
            POOL.put(replace(block, Block::empty()));
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for CpuBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
