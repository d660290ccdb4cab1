//! `ndarray` arrays and views, used in place: logical axes (N, C, spatial...), the layout read from the strides; or axes in
//! the order of memory, where the caller says so.

use ndarray::{ArrayBase, Dimension, RawData};

use crate::arrays::view::{Data, DataMut, View, ViewMut};
use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::device::{Device, DeviceSlice, DeviceSliceMut};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::interop::strides::shape_of;
use crate::shape::{Layout, Shape};

/// `ndarray` arrays whose axes stand in the order of memory.
impl Layout {
    /// Lends an array whose axes are (N, C, spatial...) for [`ChannelsFirst`](Self::ChannelsFirst) and
    /// (N, spatial..., C) for [`ChannelsLast`](Self::ChannelsLast), and whose memory is in that order. Without this an
    /// array's axes are taken for (N, C, spatial...) whatever its memory is.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Error, Layout};
    /// use ndarray::Array4;
    /// let images = Array4::<f32>::zeros((8, 16, 16, 3)); // N, H, W, C
    /// let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(3))?;
    /// let (y, _) = layer.forward_training(&Layout::ChannelsLast.axes_of(&images)?)?;
    /// assert_eq!(y.shape().channels(), 3);
    /// // Not named, the axes are N, C, H, W:
    /// assert!(matches!(layer.forward_training(&images), Err(Error::ChannelAxis { axis: 3, .. })));
    /// // Named, another order is noticed:
    /// assert!(matches!(Layout::ChannelsFirst.axes_of::<Cpu, _, _>(&images.permuted_axes([0, 3, 1, 2])), Err(Error::Strides { .. })));
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Strides`] if the values are not one run of memory in the order of the axes, and what [`Shape::new`]
    /// refuses.
    pub fn axes_of<'a, B, S, D>(self, array: &'a ArrayBase<S, D>) -> Result<View<'a, S::Elem, B>>
    where
        B: Backend,
        S: ndarray::Data + RawData<Elem: Element>,
        D: Dimension,
        View<'a, S::Elem, B>: From<View<'a, S::Elem, Cpu>>,
    {
        let shape = Shape::new(array.shape(), self)?;
        let values = array.as_slice().ok_or_else(|| strides_error(array))?;
        Ok(View { shape, values }.into())
    }

    /// Lends such an array for writing.
    ///
    /// # Errors
    /// As [`axes_of`](Self::axes_of).
    pub fn axes_of_mut<'a, B, S, D>(
        self,
        array: &'a mut ArrayBase<S, D>,
    ) -> Result<ViewMut<'a, S::Elem, B>>
    where
        B: Backend,
        S: ndarray::DataMut + RawData<Elem: Element>,
        D: Dimension,
        ViewMut<'a, S::Elem, B>: From<ViewMut<'a, S::Elem, Cpu>>,
    {
        let shape = Shape::new(array.shape(), self)?;
        let error = strides_error(array);
        let values = array.as_slice_mut().ok_or(error)?;
        Ok(ViewMut { shape, values }.into())
    }
}

impl<S, D> Data<Cpu> for ArrayBase<S, D>
where
    S: ndarray::Data + RawData<Elem: Element>,
    D: Dimension,
{
    type Element = S::Elem;

    fn lend(&self) -> Result<View<'_, S::Elem, Cpu>> {
        let shape = shape_of(ndarray::ArrayBase::shape(self), self.strides())?;
        match self.as_slice_memory_order() {
            Some(values) => Ok(View { shape, values }),
            None => Err(strides_error(self)),
        }
    }
}

impl<S, D> DataMut<Cpu> for ArrayBase<S, D>
where
    S: ndarray::DataMut + RawData<Elem: Element>,
    D: Dimension,
{
    fn lend_mut(&mut self) -> Result<ViewMut<'_, S::Elem, Cpu>> {
        let shape = shape_of(ndarray::ArrayBase::shape(self), self.strides())?;
        let error = strides_error(self);
        match self.as_slice_memory_order_mut() {
            Some(values) => Ok(ViewMut { shape, values }),
            None => Err(error),
        }
    }
}

fn strides_error<S: RawData, D: Dimension>(array: &ArrayBase<S, D>) -> Error {
    Error::Strides {
        dims: array.shape().to_vec(),
        strides: array.strides().to_vec(),
    }
}

/// On the processor, an array is used in place. A GPU cannot reach it ([`crate::Error::DeviceMismatch`]): upload it as
/// a [`crate::Tensor`].
impl<S, D> Data<Device> for ArrayBase<S, D>
where
    S: ndarray::Data + RawData<Elem: Element>,
    D: Dimension,
{
    type Element = S::Elem;

    fn lend(&self) -> Result<View<'_, S::Elem, Device>> {
        let View { shape, values } = Data::<Cpu>::lend(self)?;
        Ok(View {
            shape,
            values: DeviceSlice::Cpu(values),
        })
    }
}

impl<S, D> DataMut<Device> for ArrayBase<S, D>
where
    S: ndarray::DataMut + RawData<Elem: Element>,
    D: Dimension,
{
    fn lend_mut(&mut self) -> Result<ViewMut<'_, S::Elem, Device>> {
        let ViewMut { shape, values } = DataMut::<Cpu>::lend_mut(self)?;
        Ok(ViewMut {
            shape,
            values: DeviceSliceMut::Cpu(values),
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, s};

    use super::*;

    fn lend<D: Data<Cpu>>(array: &D) -> Result<View<'_, D::Element, Cpu>> {
        array.lend()
    }

    #[test]
    fn both_layouts_are_read_from_strides() {
        let array = Array4::<f32>::zeros((2, 3, 4, 5));
        let view = lend(&array).unwrap();
        assert_eq!(
            (view.shape.layout(), view.shape.dims()),
            (Layout::ChannelsFirst, &[2, 3, 4, 5][..])
        );
        let last = array.view().permuted_axes([0, 3, 1, 2]);
        let view = lend(&last).unwrap();
        assert_eq!(
            (view.shape.layout(), view.shape.dims()),
            (Layout::ChannelsLast, &[2, 3, 4, 5][..])
        );
        assert_eq!(view.shape.channels(), 5);
        assert!(std::ptr::eq(view.values.as_ptr(), array.as_ptr()));
    }

    #[test]
    fn other_orders_are_refused() {
        let array = Array4::<f32>::zeros((2, 3, 4, 5));
        let strided = array.slice(s![.., .., ..;2, ..]);
        assert!(matches!(lend(&strided), Err(Error::Strides { .. })));
        let backwards = array.slice(s![..;-1, .., .., ..]);
        assert!(matches!(lend(&backwards), Err(Error::Strides { .. })));
        let transposed = array.view().permuted_axes([1, 0, 2, 3]);
        assert!(matches!(lend(&transposed), Err(Error::Strides { .. })));
    }

    #[test]
    fn axes_of_one_value_are_of_either_layout() {
        let array = Array4::<f32>::zeros((2, 1, 4, 1));
        assert!(lend(&array.view().permuted_axes([0, 3, 1, 2])).is_ok());
        let vector = ndarray::Array2::<f32>::zeros((5, 3));
        assert_eq!(lend(&vector).unwrap().shape.channels(), 3);
    }
}
