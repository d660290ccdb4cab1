//! What a backward pass reads beside dy.

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{Normalization, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::kernels::KernelElement;
use crate::cpu::steps::output_normalization::OutputNormalization;
use crate::cpu::steps::two_factors::TwoFactors;
use crate::cpu::tiling::view::MatrixView;
use crate::error::Result;

/// x, and what it was normalized with, on scales on which γ·inv_std is in range.
#[derive(Debug)]
pub struct BackwardParams<'a, T: KernelElement> {
    x: &'a [T],
    with: Normalization<&'a [T::Scalar]>,
    /// What is read in their place, where one factor will not do.
    factors: Option<TwoFactors<T>>,
    /// What is read in `with`'s place, where x is y.
    output: Option<OutputNormalization<'a, T::Scalar>>,
    pub(crate) source: StatisticsSource,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
}

impl<'a, T: KernelElement> BackwardParams<'a, T> {
    pub(crate) fn new(
        view: &MatrixView,
        x: &'a [T],
        with: Normalization<&'a [T::Scalar]>,
        source: StatisticsSource,
        activation: ActivationBackward<&'a [u8], &'a [T]>,
    ) -> Result<Self> {
        let (factors, output) = match activation.saved {
            SavedActivation::Output(_) => (None, Some(OutputNormalization::of(&with)?)),
            _ => (TwoFactors::of(view, x, &with)?, None),
        };
        Ok(Self {
            x,
            with,
            factors,
            output,
            source,
            activation,
        })
    }

    pub(crate) fn x(&self) -> &[T] {
        self.factors.as_ref().map_or(self.x, TwoFactors::x)
    }

    pub(crate) fn with(&self) -> Normalization<&[T::Scalar]> {
        match (&self.factors, &self.output) {
            (Some(factors), _) => factors.normalization(&self.with),
            (None, Some(output)) => output.normalization(),
            (None, None) => self.with,
        }
    }

    /// γ·inv_std of each channel, where it is not what x, or what x̂ is found of, is multiplied by.
    pub(crate) fn scales(&self) -> Option<&[T::Scalar]> {
        self.output.as_ref().map(OutputNormalization::scales)
    }

    /// Brings dx that was computed from these x back from their scales.
    pub(crate) fn rescale(&self, dx: &mut [T]) {
        if let Some(factors) = &self.factors {
            factors.multiply(dx);
        }
    }
}
