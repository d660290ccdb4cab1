//! Backward from y: x̂ is found of v as it is of x elsewhere, by `x̂ = (v − β)·(1/γ)` instead of `(x − mean)·inv_std`. So the kernels are
//! the same, given β for the mean and 1/γ for inv_std, and dx's factor γ·inv_std apart.

use crate::allocate::{collected, filled};
use crate::backend::from_output::check_gamma;
use crate::backend::operands::Normalization;
use crate::error::Result;
use crate::numeric::{Real, finite_factor};

/// What x̂ is found with, and dx is multiplied by.
#[derive(Debug)]
pub(crate) struct OutputNormalization<'a, C> {
    beta: &'a [C],
    zeros: Vec<C>,
    ones: Vec<C>,
    inverse_gamma: Vec<C>,
    scales: Vec<C>,
}

impl<'a, C: Real> OutputNormalization<'a, C> {
    /// # Errors
    /// [`crate::Error::Value`] that names the first channel of which γ has no inverse, or γ·inv_std is beyond the type.
    pub(crate) fn of(with: &Normalization<&'a [C]>) -> Result<Self> {
        check_gamma(with.gamma, 1.0, |c| with.inv_std[c].value())?;
        let channels = with.gamma.len();
        let inverse = |gamma: &C| C::nearest(gamma.value().recip());
        let scale = |(gamma, inv_std): (&C, &C)| {
            let (gamma, inv_std) = (gamma.value(), inv_std.value());
            finite_factor(gamma * inv_std, &[gamma, inv_std])
        };
        Ok(Self {
            beta: with.beta,
            zeros: filled(channels, C::default())?,
            ones: filled(channels, C::nearest(1.0))?,
            inverse_gamma: collected(with.gamma.iter().map(inverse))?,
            scales: collected(with.gamma.iter().zip(with.inv_std).map(scale))?,
        })
    }

    /// Which v has in x's place.
    pub(crate) fn normalization(&self) -> Normalization<&[C]> {
        Normalization {
            mean: self.beta,
            mean_low: &self.zeros,
            inv_std: &self.inverse_gamma,
            gamma: &self.ones,
            beta: &self.zeros,
        }
    }

    /// γ·inv_std.
    pub(crate) fn scales(&self) -> &[C] {
        &self.scales
    }
}
