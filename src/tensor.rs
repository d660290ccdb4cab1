//! Arrays: what a pass reads and writes, whoever owns the memory.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::allocate::filled;
use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::shape::{Shape, check_len};

/// An array lent for reading: its shape and its memory.
pub struct View<'a, T: Element, B: Backend> {
    /// Dimensions and layout.
    pub shape: Shape,
    /// The values, in memory order.
    pub values: B::Slice<'a, T>,
}

/// An array lent for writing.
pub struct ViewMut<'a, T: Element, B: Backend> {
    /// Dimensions and layout.
    pub shape: Shape,
    /// The values, in memory order.
    pub values: B::SliceMut<'a, T>,
}

/// An array that a pass on backend `B` can read in place: a [`Tensor`], on the CPU an `ndarray` array or view, and
/// references and shared pointers to them.
///
/// **The axes of an `ndarray` array are (N, C, spatial...), PyTorch's logical order, whatever its memory is**: where the
/// strides say that the channels are neighbours, it is channels last. An array whose axes stand in the order of memory,
/// (N, spatial..., C), is to be lent as [`Layout::ChannelsLast`](crate::Layout::ChannelsLast)`.axes_of(&array)`.
pub trait Data<B: Backend> {
    /// Its data type.
    type Element: Element;
    /// Lends the memory.
    ///
    /// # Errors
    /// [`crate::Error::Strides`] if the memory is of neither layout, and what [`Shape::new`] refuses.
    fn lend(&self) -> Result<View<'_, Self::Element, B>>;
}

/// An array that a pass on backend `B` can write in place.
pub trait DataMut<B: Backend>: Data<B> {
    /// Lends the memory.
    ///
    /// # Errors
    /// As [`Data::lend`].
    fn lend_mut(&mut self) -> Result<ViewMut<'_, Self::Element, B>>;
}

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

/// Memory that was lent, or that somebody else has: its shape beside it.
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, View, ViewMut};
/// let cpu = Cpu::new();
/// let layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
/// let shape = Shape::channels_first(&[2, 1])?;
/// let (values, mut output) = ([1.0f32, 2.0], [0.0f32; 2]);
/// let (x, mut y) = (View { shape, values: &values[..] }, ViewMut { shape, values: &mut output[..] });
/// layer.forward_inference_into(&x, None, &mut y)?;
/// assert!((output[1] - 2.0).abs() < 1e-4);
/// # Ok::<(), batchnorm::Error>(())
/// ```
impl<T: Element, B: Backend> Data<B> for View<'_, T, B> {
    type Element = T;
    fn lend(&self) -> Result<View<'_, T, B>> {
        Ok(View {
            shape: self.shape,
            values: B::shorten::<T>(self.values),
        })
    }
}

impl<T: Element, B: Backend> Data<B> for ViewMut<'_, T, B> {
    type Element = T;
    fn lend(&self) -> Result<View<'_, T, B>> {
        Ok(View {
            shape: self.shape,
            values: B::reborrow::<T>(&self.values),
        })
    }
}

impl<T: Element, B: Backend> DataMut<B> for ViewMut<'_, T, B> {
    fn lend_mut(&mut self) -> Result<ViewMut<'_, T, B>> {
        Ok(ViewMut {
            shape: self.shape,
            values: B::reborrow_mut::<T>(&mut self.values),
        })
    }
}

macro_rules! data_behind {
    ($($pointer:ty),*) => {$(
        impl<D: Data<B> + ?Sized, B: Backend> Data<B> for $pointer {
            type Element = D::Element;
            fn lend(&self) -> Result<View<'_, D::Element, B>> {
                (**self).lend()
            }
        }
    )*};
}

data_behind!(&D, &mut D, Arc<D>, Rc<D>, Box<D>);

impl<D: DataMut<B> + ?Sized, B: Backend> DataMut<B> for &mut D {
    fn lend_mut(&mut self) -> Result<ViewMut<'_, D::Element, B>> {
        (**self).lend_mut()
    }
}

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

/// A copy that cannot say that there is no room for it, for `Clone`.
pub(crate) fn cloned<T>(copy: Result<T>) -> T {
    copy.unwrap_or_else(|error| {
        panic!("cannot be cloned (try_clone gives this as an error): {error}")
    })
}

/// An independent copy. It panics where the device has no room, as [`try_clone`](Tensor::try_clone) does not.
impl<T: Element, B: Backend> Clone for Tensor<T, B> {
    fn clone(&self) -> Self {
        cloned(self.try_clone())
    }
}

/// An independent copy. It panics where the device has no room, as [`try_clone`](ChannelArray::try_clone) does not.
impl<C: Compute, B: Backend> Clone for ChannelArray<C, B> {
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

/// The length and type, and not the values.
impl<C: Compute, B: Backend> fmt::Debug for ChannelArray<C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelArray({} [{}])", C::DTYPE, self.len())
    }
}

/// The shape and type, and not the values.
impl<T: Element, B: Backend> fmt::Debug for View<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} {})", T::DTYPE, self.shape)
    }
}

/// The shape and type, and not the values.
impl<T: Element, B: Backend> fmt::Debug for ViewMut<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewMut({} {})", T::DTYPE, self.shape)
    }
}

/// The values, in memory order; [`Error::OutOfMemory`] where they are copied and there is no room.
impl<T: Element> TryFrom<Tensor<T, Cpu>> for Vec<T> {
    type Error = Error;

    fn try_from(tensor: Tensor<T, Cpu>) -> Result<Self> {
        tensor.into_vec()
    }
}

/// The values; [`Error::OutOfMemory`] where they are copied and there is no room.
impl<C: Compute> TryFrom<ChannelArray<C, Cpu>> for Vec<C> {
    type Error = Error;

    fn try_from(array: ChannelArray<C, Cpu>) -> Result<Self> {
        array.into_vec()
    }
}

/// An array's memory, which must be as much as the array says.
pub(crate) fn lent<'a, T: Element, B: Backend>(
    what: &'static str,
    data: &'a (impl Data<B, Element = T> + ?Sized),
) -> Result<View<'a, T, B>> {
    let view = data.lend()?;
    view.shape.check_len(what, B::len::<T>(&view.values))?;
    Ok(view)
}

/// The residual's memory, which must be that of x.
pub(crate) fn residual_slice<'a, T: Element, B: Backend>(
    shape: &Shape,
    residual: Option<&'a dyn Data<B, Element = T>>,
) -> Result<Option<B::Slice<'a, T>>> {
    let Some(residual) = residual else {
        return Ok(None);
    };
    let view = lent("the residual", residual)?;
    shape.check_same("the residual", &view.shape)?;
    Ok(Some(view.values))
}

/// An output's memory, which must be that of x.
pub(crate) fn output_slice<'a, T: Element, B: Backend>(
    shape: &Shape,
    what: &'static str,
    output: &'a mut (impl DataMut<B, Element = T> + ?Sized),
) -> Result<B::SliceMut<'a, T>> {
    let view = output.lend_mut()?;
    shape.check_same(what, &view.shape)?;
    shape.check_len(what, B::len::<T>(&B::reborrow::<T>(&view.values)))?;
    Ok(view.values)
}
