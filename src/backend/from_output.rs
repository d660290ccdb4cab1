//! Backward from y instead of x: what is checked before a pass keeps y alone.

use crate::backend::activation::Activation;
use crate::error::{Error, Result};
use crate::numeric::Real;

/// That v can be found again from y.
pub(crate) fn check_has_inverse(activation: Activation) -> Result<()> {
    if activation.has_inverse() {
        return Ok(());
    }
    Err(Error::Value {
        what: "the activation of a pass that keeps y instead of x",
        found: activation.to_string(),
        needed: "none, or leaky_relu or elu with a parameter above zero: others have no inverse",
    })
}

/// That 1/γ, by which x̂ = (v − β)/γ is found, and dx's factor γ·inv_std are numbers of the parameters' type in every channel, where γ may
/// be multiplied or divided by up to `r_max` yet, and inv_std is at most what this gives.
pub(crate) fn check_gamma<C: Real>(
    gamma: &[C],
    r_max: f64,
    largest_inv_std: impl Fn(usize) -> f64,
) -> Result<()> {
    for (channel, gamma) in gamma.iter().enumerate() {
        let gamma = gamma.value();
        let (least, most) = (gamma.abs() / r_max, gamma.abs() * r_max);
        let has_inverse = least >= C::SMALLEST_NORMAL && most.recip() >= C::SMALLEST_NORMAL;
        if !has_inverse {
            return Err(Error::Value {
                what: "gamma of a pass that keeps y instead of x",
                found: format!("{gamma:e} in channel {channel}"),
                needed: "not zero, not subnormal, and an inverse that the parameters' type can hold",
            });
        }
        let inv_std = largest_inv_std(channel);
        if inv_std.is_finite() && most * inv_std > C::LARGEST {
            return Err(Error::Value {
                what: "gamma times inv_std of a pass that keeps y instead of x",
                found: format!("{gamma:e} times up to {inv_std:e} in channel {channel}"),
                needed: "a product that the parameters' type can hold",
            });
        }
    }
    Ok(())
}
