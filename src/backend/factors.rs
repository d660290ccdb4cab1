//! What values are multiplied by: γ·inv_std, where nothing stands in for a product beyond the type.

use crate::error::{Error, Result};
use crate::numeric::Real;

/// As errors name it.
pub(crate) const FACTOR_OF_SECOND_DERIVATIVES: &str =
    "gamma times inv_std where second derivatives are asked for";

/// That γ·inv_std is a number of the parameters' type in every channel, or that γ or inv_std is none.
pub(crate) fn check_products<C: Real>(
    what: &'static str,
    gamma: &[C],
    inv_std: &[C],
) -> Result<()> {
    for (channel, (gamma, inv_std)) in gamma.iter().zip(inv_std).enumerate() {
        let (gamma, inv_std) = (gamma.value(), inv_std.value());
        if (gamma * inv_std).abs() > C::LARGEST && gamma.is_finite() && inv_std.is_finite() {
            return Err(Error::Value {
                what,
                found: format!("{gamma:e} times {inv_std:e}, of channel {channel}"),
                needed: "a product that the parameters' type can hold",
            });
        }
    }
    Ok(())
}
