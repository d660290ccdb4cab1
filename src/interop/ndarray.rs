//! `ndarray` arrays and views, used in place: logical axes (N, C, spatial...), the layout read from the strides.

use ndarray::{ArrayBase, Dimension, RawData};

use crate::cpu::Cpu;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::shape::{Layout, Shape};
use crate::tensor::{Data, DataMut, View, ViewMut};

/// The shape of an array whose logical axes are (N, C, spatial...), by its strides.
///
/// # Errors
/// [`Error::Strides`] if the values are not one run of memory in either order, and what [`Shape::new`] refuses.
pub(crate) fn shape_of(dims: &[usize], strides: &[isize]) -> Result<Shape> {
    let mut channels_last = dims.to_vec();
    let mut channels_last_strides = strides.to_vec();
    if dims.len() > 1 {
        channels_last[1..].rotate_left(1);
        channels_last_strides[1..].rotate_left(1);
    }
    if is_contiguous(dims, strides) {
        Shape::new(dims, Layout::ChannelsFirst)
    } else if is_contiguous(&channels_last, &channels_last_strides) {
        Shape::new(&channels_last, Layout::ChannelsLast)
    } else {
        Err(Error::Strides {
            dims: dims.to_vec(),
            strides: strides.to_vec(),
        })
    }
}

/// Whether the axes follow one another in memory, without gaps. The stride of an axis of one value says nothing.
fn is_contiguous(dims: &[usize], strides: &[isize]) -> bool {
    let mut step = 1;
    if dims.contains(&0) {
        return true;
    }
    for (&dim, &stride) in dims.iter().zip(strides).rev() {
        if dim > 1 && stride != step {
            return false;
        }
        step *= dim.cast_signed();
    }
    true
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
