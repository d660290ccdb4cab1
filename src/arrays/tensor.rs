//! Values that are owned, of any shape.

use std::fmt;

use crate::arrays::cloned::cloned;
use crate::arrays::view::{Data, DataMut, View, ViewMut};
use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::shape::{Shape, check_len};

/// Values on a backend, and their shape.
///
/// ```
/// use batchnorm::{Cpu, Shape, Tensor};
/// let x = Tensor::new(&Cpu::new(), Shape::channels_first(&[2, 3])?, &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(x.shape().channels(), 3);
/// assert_eq!(x.to_vec()?[4], 5.0);
/// # Ok::<(), batchnorm::Error>(())
/// ```
pub struct Tensor<T: Element, B: Backend> {
    backend: B,
    shape: Shape,
    buffer: B::Buffer<T>,
}

impl<T: Element, B: Backend> Tensor<T, B> {
    /// A tensor of these values, in memory order.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if there are more or fewer than the shape needs.
    pub fn new(backend: &B, shape: Shape, values: &[T]) -> Result<Self> {
        check_len("the data", values.len(), shape.len())?;
        Ok(Self {
            backend: backend.clone(),
            shape,
            buffer: backend.upload(values)?,
        })
    }

    /// A tensor of these values, in memory order, which it takes over: on the processor nothing is copied.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_vec(backend: &B, shape: Shape, values: Vec<T>) -> Result<Self> {
        check_len("the data", values.len(), shape.len())?;
        Ok(Self {
            backend: backend.clone(),
            shape,
            buffer: backend.take_over(values)?,
        })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn zeros(backend: &B, shape: Shape) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            shape,
            buffer: backend.zeros(shape.len())?,
        })
    }

    /// A tensor for a pass to write all of.
    pub(crate) fn unspecified(backend: &B, shape: Shape) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            shape,
            buffer: backend.unspecified(shape.len())?,
        })
    }

    /// Its dimensions and layout.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Where it is.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// A copy of the values, in memory order.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        self.backend.download(B::as_slice(&self.buffer))
    }

    /// The values, in memory order: the vector that [`from_vec`](Self::from_vec) took over on the processor, else a copy.
    ///
    /// # Errors
    /// When the device fails.
    pub fn into_vec(self) -> Result<Vec<T>> {
        self.backend.give_up(self.buffer)
    }

    /// A tensor of the same values, with memory of its own.
    ///
    /// # Errors
    /// When the device has no room, where `clone` panics.
    pub fn try_clone(&self) -> Result<Self> {
        let mut copy = Self::unspecified(&self.backend, self.shape)?;
        self.backend.copy::<T>(self.slice(), copy.slice_mut())?;
        Ok(copy)
    }

    /// The values, for reading.
    pub fn slice(&self) -> B::Slice<'_, T> {
        B::as_slice(&self.buffer)
    }

    /// The values, for writing.
    pub fn slice_mut(&mut self) -> B::SliceMut<'_, T> {
        B::as_slice_mut(&mut self.buffer)
    }
}

impl<T: Element, B: Backend> Data<B> for Tensor<T, B> {
    type Element = T;
    fn lend(&self) -> Result<View<'_, T, B>> {
        Ok(View {
            shape: self.shape,
            values: self.slice(),
        })
    }
}

impl<T: Element, B: Backend> DataMut<B> for Tensor<T, B> {
    fn lend_mut(&mut self) -> Result<ViewMut<'_, T, B>> {
        Ok(ViewMut {
            shape: self.shape,
            values: self.slice_mut(),
        })
    }
}

/// An independent copy. It panics where the device has no room, as [`try_clone`](Tensor::try_clone) does not.
impl<T: Element, B: Backend> Clone for Tensor<T, B> {
    fn clone(&self) -> Self {
        cloned(self.try_clone())
    }
}

/// The shape and type, and not the values.
impl<T: Element, B: Backend> fmt::Debug for Tensor<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {})", T::DTYPE, self.shape)
    }
}

/// The values, in memory order; [`Error::OutOfMemory`] where they are copied and there is no room.
impl<T: Element> TryFrom<Tensor<T, Cpu>> for Vec<T> {
    type Error = Error;

    fn try_from(tensor: Tensor<T, Cpu>) -> Result<Self> {
        tensor.into_vec()
    }
}
