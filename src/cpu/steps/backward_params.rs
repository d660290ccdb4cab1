//! What a backward pass reads beside dy.

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{Normalization, StatisticsSource};
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::coefficients::is_lifted;
use crate::error::{Error, Result};
use crate::numeric::Numeric;

/// x, what it was normalized with, and by which activation.
#[derive(Debug)]
pub struct BackwardParams<'a, T: KernelElement> {
    pub(crate) x: &'a [T],
    pub(crate) with: Normalization<&'a [T::Scalar]>,
    pub(crate) source: StatisticsSource,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
}

impl<T: KernelElement> BackwardParams<'_, T> {
    /// That γ·inv_std is one factor.
    ///
    /// # Errors
    /// [`Error::Value`] that names the first channel of which γ·inv_std is beyond the type.
    pub(crate) fn check_one_factor(&self, what: &'static str) -> Result<()> {
        let Some(channel) =
            (0..self.with.gamma.len()).find(|&channel| is_lifted(&self.with, channel))
        else {
            return Ok(());
        };
        let [gamma, inv_std] =
            [self.with.gamma, self.with.inv_std].map(|values| values[channel].value());
        Err(Error::Value {
            what,
            found: format!("{gamma:e} times {inv_std:e}, of channel {channel}"),
            needed: "a product that the parameters' type can hold",
        })
    }
}
