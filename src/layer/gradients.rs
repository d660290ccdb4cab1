//! What a backward pass gives, and the memory that it writes.

use crate::arrays::channel_array::ChannelArray;
use crate::arrays::lent::output_slice;
use crate::arrays::tensor::Tensor;
use crate::arrays::view::DataMut;
use crate::backend::Backend;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// Room for dx, and for the residual's gradient where there was one.
pub(crate) type GradientRoom<T, B> = (Tensor<T, B>, Option<Tensor<T, B>>);

/// The gradients of one pass.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gradients<T: Element, B: Backend> {
    /// dx, of x's shape.
    pub input: Tensor<T, B>,
    /// The residual's, where there was one.
    pub residual: Option<Tensor<T, B>>,
    /// dγ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<T::Compute, B>>,
    /// dβ (C,), where the layer has β.
    pub beta: Option<ChannelArray<T::Compute, B>>,
}

impl<T: Element, B: Backend> Gradients<T, B> {
    /// What was written, and what was summed on the way.
    pub(crate) fn of(
        (input, residual): GradientRoom<T, B>,
        ParameterGradients { gamma, beta }: ParameterGradients<T::Compute, B>,
    ) -> Self {
        Self {
            input,
            residual,
            gamma,
            beta,
        }
    }
}

/// The gradients of the parameters.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ParameterGradients<C: Compute, B: Backend> {
    /// dγ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<C, B>>,
    /// dβ (C,), where the layer has β.
    pub beta: Option<ChannelArray<C, B>>,
}

/// The residual's gradient as a pass is asked for it.
pub(crate) fn asked_for<T: Element, B: Backend>(
    residual: &mut Option<Tensor<T, B>>,
) -> Option<&mut dyn DataMut<B, Element = T>> {
    let residual = residual.as_mut();
    residual.map(|residual| residual as &mut dyn DataMut<B, Element = T>)
}

/// The memory for the residual's gradient, if it is asked for.
pub(super) fn dresidual_slice<'a, T: Element, B: Backend>(
    shape: &Shape,
    dresidual: Option<&'a mut (dyn DataMut<B, Element = T> + '_)>,
) -> Result<Option<B::SliceMut<'a, T>>> {
    let slice = |dresidual| output_slice(shape, "the residual's gradient", dresidual);
    dresidual.map(slice).transpose()
}
