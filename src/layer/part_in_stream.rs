//! The backward pass of a part by sums that stay where the device has them: nothing of them is read to the host.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::backend::operands::{GradientSums, GradientSumsMut, InOut};
use crate::element::Element;
use crate::error::Result;
use crate::layer::backward::ChannelGradients;
use crate::layer::checkpointed::CheckpointedPass;
use crate::layer::gradients::{ParameterGradients, dresidual_slice};
use crate::layer::part_pass::PartPass;
use crate::layer::pass::Pass;

impl<X: Data<B>, B: Backend> PartPass<X, B> {
    /// Where it is.
    pub(crate) fn backend(&self) -> &B {
        &self.0.rest.backend
    }

    /// [`gradient_sums`](Self::gradient_sums), in the compute type.
    pub(crate) fn gradient_sums_in_stream<T: Element>(
        &self,
        dy: &(impl Data<B, Element = T> + ?Sized),
    ) -> Result<ChannelGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let Pass { x, rest } = &self.0;
        let CheckpointedPass { backend, saved, .. } = rest;
        let (dy, shape) = (lent("dy", dy)?, saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let x = lent("x", x)?;
        shape.check_same("x", &x.shape)?;
        let mut sums = ChannelGradients::room(backend, shape.channels())?;
        let out = GradientSumsMut {
            gamma: sums.gamma.slice_mut(),
            beta: sums.beta.slice_mut(),
        };
        let (with, activation) = (saved.normalization(0), saved.activation_backward(0));
        backend.backward_reduce::<T>(shape, dy.values, x.values, with, activation, out)?;
        Ok(sums)
    }

    /// dx, and the residual's gradient, from the sums over all parts.
    pub(crate) fn input_in_stream<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: GradientSums<B::Slice<'_, T::Compute>>,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let Pass { x, rest } = &self.0;
        let CheckpointedPass { backend, saved, .. } = rest;
        let (dy, x) = (lent("dy", dy)?, lent("x", x)?);
        saved.shape().check_same("dy", &dy.shape)?;
        saved.shape().check_same("x", &x.shape)?;
        let to_dx = InOut::Separate(dy.values, output_slice(saved.shape(), "dx", dx)?);
        let dresidual = dresidual_slice(saved.shape(), dresidual)?;
        let (with, activation) = (saved.normalization(0), saved.activation_backward(0));
        backend.backward_input::<T>(
            saved.shape(),
            to_dx,
            x.values,
            with,
            activation,
            Some(sums),
            dresidual,
        )
    }

    /// Of these sums the gradients of the parameters that the layer has.
    pub(crate) fn parameter_gradients_in_stream<T: Element>(
        &self,
        mut sums: ChannelGradients<T::Compute, B>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let CheckpointedPass { backend, saved, .. } = &self.0.rest;
        if let Some(renormalized) = &saved.groups[0].renormalized {
            let (gamma, beta) = (sums.gamma.slice_mut(), sums.beta.slice());
            renormalized.finish_gradient_of_gamma(backend, gamma, beta)?;
        }
        Ok(self.0.rest.of_parameters(sums))
    }
}
