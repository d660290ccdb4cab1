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

    /// The most that γ is multiplied or divided by.
    pub(crate) fn r_max(&self) -> f64 {
        self.limits.r_max()
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

    /// Makes Σ dv·x̂ the gradient of γ: `R·Σ dv·x̂ + D·Σ dv`.
    pub(crate) fn finish_gradient_of_gamma(
        &self,
        backend: &B,
        gamma: B::SliceMut<'_, C>,
        beta: B::Slice<'_, C>,
    ) -> Result<()> {
        let of_beta = self.times_d(backend, beta, None)?;
        let in_place = InOut::InPlace(gamma);
        multiply_add(backend, in_place, self.r.slice(), Some(of_beta.slice()))
    }

    /// Of a scalar's gradients with respect to dγ and dβ, those with respect to Σ dv·x̂ and Σ dv, which dγ and dβ are made of: `R·G` and
    /// `D·G + B`, where dγ's is there.
    pub(crate) fn of_sums(
        &self,
        backend: &B,
        of_gamma: Option<B::Slice<'_, C>>,
        of_beta: Option<B::Slice<'_, C>>,
    ) -> Result<[Option<ChannelArray<C, B>>; 2]> {
        let Some(of_gamma) = of_gamma else {
            return Ok([None, None]);
        };
        let mut of_products = ChannelArray::unspecified(backend, self.r.len())?;
        let to_products = InOut::Separate(B::shorten::<C>(of_gamma), of_products.slice_mut());
        multiply_add(backend, to_products, self.r.slice(), None)?;
        let of_sum = self.times_d(backend, of_gamma, of_beta)?;
        Ok([Some(of_products), Some(of_sum)])
    }

    /// Of the gradient with respect to γ·R makes that with respect to γ.
    pub(crate) fn finish_second_gradient(
        &self,
        backend: &B,
        gamma: B::SliceMut<'_, C>,
    ) -> Result<()> {
        multiply_add(backend, InOut::InPlace(gamma), self.r.slice(), None)
    }

    fn times_d(
        &self,
        backend: &B,
        values: B::Slice<'_, C>,
        plus: Option<B::Slice<'_, C>>,
    ) -> Result<ChannelArray<C, B>> {
        let mut products = ChannelArray::unspecified(backend, self.d.len())?;
        let to_products = InOut::Separate(values, products.slice_mut());
        multiply_add(backend, to_products, self.d.slice(), plus)?;
        Ok(products)
    }
}

/// `value·factor + addend` of each channel: what step 3 calls y, of the values as an x of (1, channels), so that every backend has it
/// without an operation more.
pub(super) fn multiply_add<C: Compute, B: Backend>(
    backend: &B,
    values: InOut<B::Slice<'_, C>, B::SliceMut<'_, C>>,
    factors: B::Slice<'_, C>,
    addends: Option<B::Slice<'_, C>>,
) -> Result<()> {
    let channels = B::len::<C>(&factors);
    let shape = Shape::channels_last(&[1, channels])?;
    let zeros = ChannelArray::<C, B>::zeros(backend, channels)?;
    let ones = ChannelArray::<C, B>::filled(backend, channels, 1.0)?;
    let with = Normalization {
        mean: zeros.slice(),
        mean_low: zeros.slice(),
        inv_std: ones.slice(),
        gamma: B::shorten::<C>(factors),
        beta: addends.map_or_else(|| zeros.slice(), B::shorten::<C>),
    };
    backend.normalize::<C>(&shape, values, with, Epilogue::of(Activation::None))
}
