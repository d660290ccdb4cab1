//! Where a tensor of burn's has its values, in the order that a pass takes them.

use batchnorm::{Compute, Element, Shape};
use burn::backend::DType;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, bf16, f16};
use bytemuck::Pod;

/// A type of both worlds.
pub(crate) trait Value: Element + burn::tensor::Element + Pod {}

impl<T: Element + burn::tensor::Element + Pod> Value for T {}

/// The order in memory of a tensor of axes (N, C, spatial...).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) shape: Shape,
    /// Which of the tensor's axes comes first, second and so on.
    axes: Vec<usize>,
}

impl Order {
    /// That of x, if it is one that a pass takes; else the order of axes.
    ///
    /// # Panics
    /// For a rank below two and no channels, which burn's own layer refuses first.
    pub(crate) fn of(x: &FlexTensor) -> Self {
        let axes: Vec<usize> = (0..x.layout().num_dims()).collect();
        let mut channels_last = axes.clone();
        channels_last[1..].rotate_left(1);
        let is_last = !x.is_contiguous() && x.layout().permute(&channels_last).is_contiguous();
        let axes = if is_last { channels_last } else { axes };
        let dims: Vec<usize> = axes.iter().map(|&axis| x.layout().shape()[axis]).collect();
        let shape = if is_last {
            Shape::channels_last(&dims)
        } else {
            Shape::channels_first(&dims)
        };
        let shape =
            shape.expect("burn has such a tensor, and the layer has looked at its channels");
        Self { shape, axes }
    }

    /// The same values in one run of this order: without a copy where they are.
    pub(crate) fn run_of(&self, tensor: FlexTensor) -> FlexTensor {
        let layout = tensor.layout().permute(&self.axes);
        let permuted = tensor.with_layout(layout);
        if permuted.is_contiguous() {
            permuted
        } else {
            permuted.to_contiguous()
        }
    }

    /// Values in this order as a tensor with its own axes.
    pub(crate) fn tensor<T: Value>(&self, values: Vec<T>) -> FlexTensor {
        let dims: Vec<usize> = self.shape.dims().to_vec();
        let mut back = vec![0; self.axes.len()];
        for (place, &axis) in self.axes.iter().enumerate() {
            back[axis] = place;
        }
        let layout = Layout::contiguous(dims.into()).permute(&back);
        FlexTensor::new(Bytes::from_elems(values), layout, T::dtype())
    }
}

/// The values of a tensor that is one run.
pub(crate) fn values<T: Value>(run: &FlexTensor) -> &[T] {
    run.as_slice().expect("it is contiguous and of this type")
}

/// A tensor (C,) of any type, as what is computed in.
pub(crate) fn channels<C: Compute>(tensor: &FlexTensor) -> Vec<C> {
    fn converted<T: Value, C: Compute>(tensor: &FlexTensor) -> Vec<C> {
        let run = tensor.to_contiguous();
        let values = values::<T>(&run).iter();
        values.map(|value| C::from_f64(value.to_f64())).collect()
    }
    match tensor.dtype() {
        DType::F64 => converted::<f64, C>(tensor),
        DType::F32 => converted::<f32, C>(tensor),
        DType::F16 => converted::<f16, C>(tensor),
        DType::BF16 => converted::<bf16, C>(tensor),
        other => panic!("a tensor of {other:?} is none of numbers to normalize with"),
    }
}

/// What was computed as a tensor (C,) of a type.
pub(crate) fn channel_tensor<C: Compute>(values: &[C], dtype: DType) -> FlexTensor {
    fn converted<T: Value, C: Compute>(values: &[C]) -> Bytes {
        Bytes::from_elems(
            values
                .iter()
                .map(|value| T::from_f64(value.to_f64()))
                .collect::<Vec<T>>(),
        )
    }
    let bytes = match dtype {
        DType::F64 => converted::<f64, C>(values),
        DType::F32 => converted::<f32, C>(values),
        DType::F16 => converted::<f16, C>(values),
        DType::BF16 => converted::<bf16, C>(values),
        other => panic!("a tensor of {other:?} is none of numbers to normalize with"),
    };
    FlexTensor::new(bytes, Layout::contiguous([values.len()].into()), dtype)
}
