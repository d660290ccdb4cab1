//! What a backward pass reads beside dy.

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{Normalization, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::kernels::KernelElement;
use crate::cpu::steps::output_normalization::OutputNormalization;
use crate::error::Result;

/// x, what it was normalized with, and by which activation.
#[derive(Debug)]
pub struct BackwardParams<'a, T: KernelElement> {
    pub(crate) x: &'a [T],
    with: Normalization<&'a [T::Scalar]>,
    /// What is read in `with`'s place, where x is y.
    output: Option<OutputNormalization<'a, T::Scalar>>,
    pub(crate) source: StatisticsSource,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
}

impl<'a, T: KernelElement> BackwardParams<'a, T> {
    /// # Errors
    /// Where x is y, [`crate::Error::Value`] that names the first channel of which γ has no inverse, or γ·inv_std is beyond the type.
    pub(crate) fn new(
        x: &'a [T],
        with: Normalization<&'a [T::Scalar]>,
        source: StatisticsSource,
        activation: ActivationBackward<&'a [u8], &'a [T]>,
    ) -> Result<Self> {
        let output = match activation.saved {
            SavedActivation::Output(_) => Some(OutputNormalization::of(&with)?),
            _ => None,
        };
        Ok(Self {
            x,
            with,
            output,
            source,
            activation,
        })
    }

    pub(crate) fn with(&self) -> Normalization<&[T::Scalar]> {
        match &self.output {
            Some(output) => output.normalization(),
            None => self.with,
        }
    }

    /// γ·inv_std of each channel, where it is not what x, or what x̂ is found of, is multiplied by.
    pub(crate) fn scales(&self) -> Option<&[T::Scalar]> {
        self.output.as_ref().map(OutputNormalization::scales)
    }
}
