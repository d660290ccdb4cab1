//! Arrays that are lent, and whatever lends them.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::kept::Kept;
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

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

/// An array that a pass on backend `B` can read in place: a [`Tensor`](crate::Tensor), on the CPU an `ndarray` array or view, and
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
    /// What of it is kept, if not all: of a [`Masked`](crate::Masked) array. Whatever lends such an array as its own hands this on.
    fn kept(&self) -> Option<&Kept> {
        None
    }
}

/// An array that a pass on backend `B` can write in place.
pub trait DataMut<B: Backend>: Data<B> {
    /// Lends the memory.
    ///
    /// # Errors
    /// As [`Data::lend`].
    fn lend_mut(&mut self) -> Result<ViewMut<'_, Self::Element, B>>;
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
            fn kept(&self) -> Option<&Kept> {
                (**self).kept()
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
