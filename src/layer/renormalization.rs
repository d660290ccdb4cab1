//! Batch renormalization: what a batch is renormalized against, what a pass keeps of it, and dγ through it.

use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::activation::Activation;
use crate::backend::epilogue::Epilogue;
use crate::backend::operands::{InOut, Normalization, RenormalizedMut, RunningReference};
use crate::config::BatchNormConfig;
use crate::config::renormalization::Renormalization;
use crate::element::Compute;
use crate::error::Result;
use crate::shape::Shape;
use crate::statistics::running::RunningStatistics;

/// Running statistics as they are before a batch, a copy: in the same pass they may follow it.
#[derive(Debug)]
pub(crate) struct Reference<C: Compute, B: Backend> {
    limits: Renormalization,
    running: RunningStatistics<C, B>,
}

impl<C: Compute, B: Backend> Reference<C, B> {
    /// None where the settings ask for plain batch normalization, which has passes of its own.
    pub(crate) fn of(
        config: &BatchNormConfig,
        running: &RunningStatistics<C, B>,
    ) -> Result<Option<Self>> {
        let limits = config.renormalization_limits();
        let Some(limits) = limits.filter(|&limits| limits != Renormalization::OFF) else {
            return Ok(None);
        };
        let running = running.try_clone()?;
        Ok(Some(Self { limits, running }))
    }

    /// As the operand of a step.
    pub(crate) fn view(&self) -> RunningReference<B::Slice<'_, C>> {
        RunningReference {
            mean: self.running.mean().slice(),
            variance: self.running.variance().slice(),
            r_max: self.limits.r_max(),
            d_max: self.limits.d_max(),
        }
    }
}

/// What a batch was renormalized with, all (C,).
#[derive(Debug)]
pub(crate) struct SavedRenormalization<C: Compute, B: Backend> {
    /// γ·R.
    gamma: ChannelArray<C, B>,
    /// β + γ·D.
    beta: ChannelArray<C, B>,
    r: ChannelArray<C, B>,
    d: ChannelArray<C, B>,
}

impl<C: Compute, B: Backend> SavedRenormalization<C, B> {
    /// Zeros: an empty batch keeps them, for any other a step writes over them.
    pub(crate) fn zeros(backend: &B, channels: usize) -> Result<Self> {
        let array = || ChannelArray::zeros(backend, channels);
        Ok(Self {
            gamma: array()?,
            beta: array()?,
            r: array()?,
            d: array()?,
        })
    }

    /// To be written by a step.
    pub(crate) fn view_mut(&mut self) -> RenormalizedMut<B::SliceMut<'_, C>> {
        RenormalizedMut {
            gamma: self.gamma.slice_mut(),
            beta: self.beta.slice_mut(),
            r: self.r.slice_mut(),
            d: self.d.slice_mut(),
        }
    }

    /// What stands in the places of γ and β.
    pub(crate) fn affine(&self) -> (B::Slice<'_, C>, B::Slice<'_, C>) {
        (self.gamma.slice(), self.beta.slice())
    }

    /// Makes Σ dv·x̂ the gradient of γ: `R·Σ dv·x̂ + D·Σ dv`. For each channel that is what step 3 calls y, of the sums as an x of (1,
    /// channels), so that every backend has it without an operation more.
    pub(crate) fn finish_gradient_of_gamma(
        &self,
        backend: &B,
        gamma: B::SliceMut<'_, C>,
        beta: B::Slice<'_, C>,
    ) -> Result<()> {
        let channels = self.r.len();
        let shape = Shape::channels_last(&[1, channels])?;
        let zeros = ChannelArray::<C, B>::zeros(backend, channels)?;
        let ones = ChannelArray::<C, B>::filled(backend, channels, 1.0)?;
        let mut of_beta = ChannelArray::<C, B>::unspecified(backend, channels)?;
        let times = |scale, shift| Normalization {
            mean: zeros.slice(),
            mean_low: zeros.slice(),
            inv_std: ones.slice(),
            gamma: scale,
            beta: shift,
        };
        let from_beta = InOut::Separate(beta, of_beta.slice_mut());
        let (d, none) = (self.d.slice(), Epilogue::of(Activation::None));
        backend.normalize::<C>(&shape, from_beta, times(d, zeros.slice()), none)?;
        let (r, none) = (self.r.slice(), Epilogue::of(Activation::None));
        backend.normalize::<C>(
            &shape,
            InOut::InPlace(gamma),
            times(r, of_beta.slice()),
            none,
        )
    }
}
