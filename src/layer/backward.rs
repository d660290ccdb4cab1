//! The backward pass of what a pass kept, on memory lent by whoever has it.

use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::activation::Activation;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{GradientSums, GradientSumsMut, InOut};
use crate::backend::saved_activation::SavedActivation;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::saved::Saved;
use crate::shape::Shape;
use crate::statistics::gradients::PooledGradients;

/// dγ and dβ, both (C,).
#[derive(Debug)]
pub(crate) struct ChannelGradients<C: Compute, B: Backend> {
    pub(crate) gamma: ChannelArray<C, B>,
    pub(crate) beta: ChannelArray<C, B>,
}

impl<T: Element, B: Backend> Saved<T, B> {
    /// All gradients.
    ///
    /// # Errors
    /// [`Error::Residual`] if a residual's gradient is asked for where there was none, and as
    /// [`Backend::backward`].
    pub(crate) fn backward(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<B::SliceMut<'_, T>>,
    ) -> Result<ChannelGradients<T::Compute, B>> {
        self.backward_with(backend, x, None, dy_to_dx, dresidual)
    }

    /// All gradients, with the residual given anew, which a pass that kept y needs.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub(crate) fn backward_with(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        residual: Option<B::Slice<'_, T>>,
        mut dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        mut dresidual: Option<B::SliceMut<'_, T>>,
    ) -> Result<ChannelGradients<T::Compute, B>> {
        self.check_residual_is_asked_for(dresidual.is_some())?;
        let (channels, groups) = (self.shape.channels(), self.groups.len());
        let mut sums = ChannelGradients::room(backend, groups * channels)?;
        for group in 0..groups {
            let range = group * channels..(group + 1) * channels;
            let (mut gamma, mut beta) = (sums.gamma.slice_mut(), sums.beta.slice_mut());
            let out = GradientSumsMut {
                gamma: B::subslice_mut::<T::Compute>(&mut gamma, range.clone())?,
                beta: B::subslice_mut::<T::Compute>(&mut beta, range)?,
            };
            let (residual, dresidual) = (residual.as_ref(), dresidual.as_mut());
            self.backward_group(backend, group, &x, residual, &mut dy_to_dx, dresidual, out)?;
        }
        for (index, saved) in self.groups.iter().enumerate() {
            if let Some(renormalized) = &saved.renormalized {
                let range = index * channels..(index + 1) * channels;
                let mut gamma = sums.gamma.slice_mut();
                let gamma = B::subslice_mut::<T::Compute>(&mut gamma, range.clone())?;
                let beta = sums.beta.slice();
                let beta = B::subslice::<T::Compute>(&beta, range)?;
                renormalized.finish_gradient_of_gamma(backend, gamma, beta)?;
            }
        }
        match groups {
            1 => Ok(sums),
            _ => Ok(ChannelGradients {
                gamma: self.total(backend, &sums.gamma)?,
                beta: self.total(backend, &sums.beta)?,
            }),
        }
    }

    /// That no residual's gradient is asked for where there was no residual.
    pub(super) fn check_residual_is_asked_for(&self, is_asked_for: bool) -> Result<()> {
        check_residual_is_asked_for(is_asked_for, self.has_residual)
    }

    /// Σ dv·x̂ and Σ dv of a pass of one group, for sums over more than it.
    pub(crate) fn gradient_sums(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        dy: B::Slice<'_, T>,
        out: GradientSumsMut<&mut [f64]>,
    ) -> Result<()> {
        let (with, activation) = (self.normalization(0), self.activation_backward(0));
        backend.backward_reduce_in_f64::<T>(&self.shape, dy, x, with, activation, out)
    }

    /// dγ and dβ of a pass of one group, from such sums.
    pub(crate) fn affine_gradients(
        &self,
        backend: &B,
        sums: &PooledGradients,
    ) -> Result<ChannelGradients<T::Compute, B>> {
        let [mut gamma, beta] = sums.to_arrays(backend)?;
        if let Some(renormalized) = &self.groups[0].renormalized {
            renormalized.finish_gradient_of_gamma(backend, gamma.slice_mut(), beta.slice())?;
        }
        Ok(ChannelGradients { gamma, beta })
    }

    /// dx, and the residual's gradient, of a pass of one group, by sums over more than it.
    pub(crate) fn backward_input(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<B::SliceMut<'_, T>>,
        sums: GradientSums<&[f64]>,
    ) -> Result<()> {
        self.check_residual_is_asked_for(dresidual.is_some())?;
        let (with, activation) = (self.normalization(0), self.activation_backward(0));
        let sums = self.is_of_batch().then_some(sums);
        backend.backward_input_in_f64::<T>(
            &self.shape,
            dy_to_dx,
            x,
            with,
            activation,
            sums,
            dresidual,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    fn backward_group(
        &self,
        backend: &B,
        index: usize,
        x: &B::Slice<'_, T>,
        residual: Option<&B::Slice<'_, T>>,
        dy_to_dx: &mut InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut B::SliceMut<'_, T>>,
        out: GradientSumsMut<B::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let group = &self.groups[index].group;
        let dresidual = match dresidual {
            Some(dresidual) => Some(B::subslice_mut::<T>(dresidual, group.values.clone())?),
            None => None,
        };
        let mut activation = self.activation_backward(index);
        if let (SavedActivation::Output(kept), Some(residual)) = (&mut activation.saved, residual) {
            *kept = Some(B::subslice::<T>(residual, group.values.clone())?);
        }
        backend.backward::<T>(
            group.batch(),
            group.subslice_of::<T, B>(dy_to_dx)?,
            B::subslice::<T>(x, group.values.clone())?,
            self.normalization(index),
            self.source,
            activation,
            dresidual,
            out,
        )
    }

    /// The sums over the groups. For each channel they are what step 4 calls dβ of the groups' sums as a dy of (groups,
    /// channels), so that every backend has them without an operation more.
    pub(super) fn total(
        &self,
        backend: &B,
        sums: &ChannelArray<T::Compute, B>,
    ) -> Result<ChannelArray<T::Compute, B>> {
        let channels = self.shape.channels();
        let shape = Shape::channels_last(&[self.groups.len(), channels])?;
        let mut total = ChannelGradients::room(backend, channels)?;
        let out = GradientSumsMut {
            gamma: total.gamma.slice_mut(),
            beta: total.beta.slice_mut(),
        };
        let (sums, with) = (sums.slice(), self.normalization(0));
        let activation = ActivationBackward::of(Activation::None);
        backend.backward_reduce::<T::Compute>(&shape, sums, sums, with, activation, out)?;
        Ok(total.beta)
    }
}

/// That no residual's gradient is asked for where there was no residual.
pub(super) fn check_residual_is_asked_for(is_asked_for: bool, has_residual: bool) -> Result<()> {
    if !is_asked_for || has_residual {
        return Ok(());
    }
    Err(Error::Residual {
        found: "the gradient of a residual was asked for",
        needed: "the forward pass had none",
    })
}

impl<C: Compute, B: Backend> ChannelGradients<C, B> {
    /// For a step to write.
    pub(crate) fn room(backend: &B, len: usize) -> Result<Self> {
        Ok(Self {
            gamma: ChannelArray::unspecified(backend, len)?,
            beta: ChannelArray::unspecified(backend, len)?,
        })
    }
}
