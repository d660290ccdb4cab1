//! Tensors that were `ndarray` arrays, and the other way: the memory is taken over where that can be.

use ndarray::{Array, Array1, ArrayBase, ArrayD, Dimension, RawData};

use crate::allocate::collected;
use crate::arrays::channel_array::ChannelArray;
use crate::arrays::tensor::Tensor;
use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::interop::strides::shape_of;
use crate::shape::{Layout, Shape};

/// To and from `ndarray`, whose axes are (N, C, spatial...) whatever the memory is.
impl<T: Element, B: Backend> Tensor<T, B> {
    /// A copy of an array or view. Where its memory is of neither layout it is channels first.
    ///
    /// # Errors
    /// What [`Shape::new`] refuses; when the device has no room.
    pub fn from_array<S, D>(backend: &B, array: &ArrayBase<S, D>) -> Result<Self>
    where
        S: ndarray::Data + RawData<Elem = T>,
        D: Dimension,
    {
        let (shape, values) = match (shape_of_array(array), array.as_slice_memory_order()) {
            (Ok(shape), Some(values)) => return Self::new(backend, shape, values),
            (Ok(_) | Err(Error::Strides { .. }), _) => in_order_of_axes(array)?,
            (Err(refused), _) => return Err(refused),
        };
        Self::from_vec(backend, shape, values)
    }

    /// The values as an array, in the memory that [`Tensor::into_vec`] gives.
    ///
    /// ```
    /// use batchnorm::{Cpu, Shape, Tensor};
    /// use ndarray::Array2;
    /// let shape = Shape::channels_last(&[1, 2, 2])?; // N, L, C
    /// let x = Tensor::new(&Cpu::new(), shape, &[1.0f32, 10.0, 2.0, 20.0])?;
    /// let array = x.into_array()?; // N, C, L
    /// assert_eq!(array, ndarray::arr3(&[[[1.0, 2.0], [10.0, 20.0]]]).into_dyn());
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the device fails.
    pub fn into_array(self) -> Result<ArrayD<T>> {
        let shape = self.shape();
        array_of(&shape, self.into_vec()?)
    }
}

/// The array's own memory, where it is one run in either layout; else a copy, channels first.
impl<T: Element, D: Dimension> TryFrom<Array<T, D>> for Tensor<T, Cpu> {
    type Error = Error;

    /// # Errors
    /// What [`Shape::new`] refuses; when there is no room.
    fn try_from(array: Array<T, D>) -> Result<Self> {
        let cpu = Cpu::new();
        let shape = match shape_of_array(&array) {
            Ok(shape) => shape,
            Err(Error::Strides { .. }) => return Self::from_array(&cpu, &array),
            Err(refused) => return Err(refused),
        };
        let (mut values, offset) = array.into_raw_vec_and_offset();
        // An array that was sliced has its values among others.
        values.drain(..offset.unwrap_or(0));
        values.truncate(shape.len());
        Self::from_vec(&cpu, shape, values)
    }
}

/// The memory that [`Tensor::into_vec`] gives; the axes are (N, C, spatial...).
impl<T: Element, D: Dimension> TryFrom<Tensor<T, Cpu>> for Array<T, D> {
    type Error = Error;

    /// # Errors
    /// [`Error::Value`] for an array of another number of dimensions.
    fn try_from(tensor: Tensor<T, Cpu>) -> Result<Self> {
        let shape = tensor.shape();
        array_of(&shape, tensor.into_vec()?)
    }
}

/// The values; [`Error::OutOfMemory`] where they are copied and there is no room.
impl<C: Compute> TryFrom<ChannelArray<C, Cpu>> for Array1<C> {
    type Error = Error;

    fn try_from(array: ChannelArray<C, Cpu>) -> Result<Self> {
        array.into_vec().map(Array1::from_vec)
    }
}

fn shape_of_array<S: RawData, D: Dimension>(array: &ArrayBase<S, D>) -> Result<Shape> {
    shape_of(array.shape(), array.strides())
}

/// The values of an array of any strides, channels first.
fn in_order_of_axes<S, D>(array: &ArrayBase<S, D>) -> Result<(Shape, Vec<S::Elem>)>
where
    S: ndarray::Data + RawData<Elem: Element>,
    D: Dimension,
{
    let shape = Shape::channels_first(array.shape())?;
    Ok((shape, collected(array.iter().copied())?))
}

/// An array of values that are in the order of memory that the shape says.
fn array_of<T, D: Dimension>(shape: &Shape, values: Vec<T>) -> Result<Array<T, D>> {
    let refused = |_| Error::Value {
        what: "the number of dimensions of an array that a tensor becomes",
        found: D::NDIM.map_or_else(|| "any".to_owned(), |rank| rank.to_string()),
        needed: "the tensor's",
    };
    let in_memory_order = ArrayD::from_shape_vec(shape.dims(), values).map_err(refused)?;
    let mut axes: Vec<usize> = (0..shape.dims().len()).collect();
    if shape.layout() == Layout::ChannelsLast {
        axes[1..].rotate_right(1);
    }
    let logical = in_memory_order.permuted_axes(axes);
    logical.into_dimensionality().map_err(refused)
}
