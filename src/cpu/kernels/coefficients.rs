//! Normalization as an affine map, `v = (x − center)·scale + shift`, of one channel.

use crate::backend::operands::Normalization;
use crate::numeric::{Real, finite_factor};

/// Center, scale and shift of one channel.
pub(crate) fn coefficients_of<C: Real>(with: &Normalization<&[C]>, channel: usize) -> [C; 3] {
    let (center, rounding_residue) = center_of(with, channel);
    let (gamma, inv_std) = (with.gamma[channel].value(), with.inv_std[channel].value());
    let scale: C = finite_factor(gamma * inv_std, &[gamma, inv_std]);
    let shift = with.beta[channel].value() - rounding_residue * scale.value();
    [center, scale, C::nearest(shift)]
}

/// What is subtracted from x, and the rounding residue: what of the mean that leaves. Where the deviation is near the
/// type's largest value, x − mean could overflow: there nothing is subtracted, which costs no digits as the mean is not
/// large beside the deviation.
pub(crate) fn center_of<C: Real>(with: &Normalization<&[C]>, channel: usize) -> (C, f64) {
    let (mean, low) = (with.mean[channel], with.mean_low[channel].value());
    if with.inv_std[channel].value() * C::LARGEST < 16.0 {
        return (C::default(), mean.value() + low);
    }
    (mean, low)
}
