//! Values that are owned, one of each channel.

use std::fmt;

use crate::allocate::filled;
use crate::arrays::cloned::cloned;
use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::shape::check_len;

/// A per-channel array (C,): γ, β, their gradients, running statistics.
pub struct ChannelArray<C: Compute, B: Backend> {
    backend: B,
    buffer: B::Buffer<C>,
}

impl<C: Compute, B: Backend> ChannelArray<C, B> {
    pub(crate) fn new(backend: &B, values: &[C]) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            buffer: backend.upload(values)?,
        })
    }

    pub(crate) fn filled(backend: &B, channels: usize, value: f64) -> Result<Self> {
        Self::new(backend, &filled(channels, C::from_f64(value))?)
    }

    pub(crate) fn zeros(backend: &B, channels: usize) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            buffer: backend.zeros(channels)?,
        })
    }

    /// An array for a step to write all of.
    pub(crate) fn unspecified(backend: &B, channels: usize) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            buffer: backend.unspecified(channels)?,
        })
    }

    /// A copy of the values.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_vec(&self) -> Result<Vec<C>> {
        self.backend.download::<C>(self.slice())
    }

    /// The values, copied.
    ///
    /// # Errors
    /// When the device fails.
    pub fn into_vec(self) -> Result<Vec<C>> {
        self.backend.give_up(self.buffer)
    }

    /// An array of the same values, with memory of its own.
    ///
    /// # Errors
    /// When the device has no room, where `clone` panics.
    pub fn try_clone(&self) -> Result<Self> {
        Self::copied(&self.backend, self.slice())
    }

    /// Replaces the values.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if there are more or fewer than channels, and when the device has no room.
    pub fn set(&mut self, values: &[C]) -> Result<()> {
        check_len("the per-channel data", values.len(), self.len())?;
        self.buffer = self.backend.upload(values)?;
        Ok(())
    }

    /// Another array where this one is.
    pub(crate) fn of_same_backend(&self, values: &[C]) -> Result<Self> {
        Self::new(&self.backend, values)
    }

    /// C.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a layer has at least one channel"
    )]
    pub fn len(&self) -> usize {
        B::len::<C>(&self.slice())
    }

    /// The values, for reading.
    pub fn slice(&self) -> B::Slice<'_, C> {
        B::as_slice(&self.buffer)
    }

    /// The values, for writing.
    pub fn slice_mut(&mut self) -> B::SliceMut<'_, C> {
        B::as_slice_mut(&mut self.buffer)
    }

    /// A new array with the values of some memory.
    pub(crate) fn copied(backend: &B, values: B::Slice<'_, C>) -> Result<Self> {
        let mut copy = Self::unspecified(backend, B::len::<C>(&values))?;
        backend.copy::<C>(values, copy.slice_mut())?;
        Ok(copy)
    }

    /// Its memory.
    #[cfg(feature = "candle")]
    pub(crate) fn into_buffer(self) -> B::Buffer<C> {
        self.buffer
    }
}

/// An independent copy. It panics where the device has no room, as [`try_clone`](ChannelArray::try_clone) does not.
impl<C: Compute, B: Backend> Clone for ChannelArray<C, B> {
    fn clone(&self) -> Self {
        cloned(self.try_clone())
    }
}

/// The length and type, and not the values.
impl<C: Compute, B: Backend> fmt::Debug for ChannelArray<C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelArray({} [{}])", C::DTYPE, self.len())
    }
}

/// The values; [`Error::OutOfMemory`] where they are copied and there is no room.
impl<C: Compute> TryFrom<ChannelArray<C, Cpu>> for Vec<C> {
    type Error = Error;

    fn try_from(array: ChannelArray<C, Cpu>) -> Result<Self> {
        array.into_vec()
    }
}
