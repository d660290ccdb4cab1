//! Normalization as an affine map, `v = (x − center)·scale + shift`, of one channel.

use crate::backend::operands::Normalization;
use crate::element::Compute;

/// Center, scale and shift of one channel.
pub(crate) fn affine_of<C: Compute>(with: &Normalization<&[C]>, channel: usize) -> [C; 3] {
    let (center, rounding_residue) = center_of(with, channel);
    let scale = C::from_f64(with.gamma[channel].to_f64() * with.inv_std[channel].to_f64());
    let shift = with.beta[channel].to_f64() - rounding_residue * scale.to_f64();
    [center, scale, C::from_f64(shift)]
}

/// What is subtracted from x, and the rounding residue: what of the mean that leaves. Where the deviation is near the
/// type's largest value, x − mean could overflow: there nothing is subtracted, which costs no digits as the mean is not
/// large beside the deviation.
pub(crate) fn center_of<C: Compute>(with: &Normalization<&[C]>, channel: usize) -> (C, f64) {
    let (mean, low) = (with.mean[channel], with.mean_low[channel].to_f64());
    if with.inv_std[channel].to_f64() * C::LARGEST < 16.0 {
        return (C::default(), mean.to_f64() + low);
    }
    (mean, low)
}
