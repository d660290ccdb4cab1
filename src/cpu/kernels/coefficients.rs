//! Normalization as an affine map, `v = (x − center)·lift·scale + shift`, of one channel. The lift is 1 and the scale γ·inv_std; where
//! that is beyond the type, though γ·x̂ need not be, they are inv_std and γ.

use crate::backend::operands::Normalization;
use crate::numeric::{Real, finite_factor};

/// Center, scale, shift and lift of one channel.
pub(crate) fn coefficients_of<C: Real>(with: &Normalization<&[C]>, channel: usize) -> [C; 4] {
    let (center, rounding_residue) = center_of(with, channel);
    let [scale, lift] = factors_of(with, channel);
    let (beta, [of_scale, of_lift]) = (with.beta[channel].value(), [scale, lift].map(C::value));
    let shift = beta - rounding_residue * of_lift * of_scale;
    let shift = finite_factor(shift, &[beta, rounding_residue, of_scale]);
    [center, scale, shift, lift]
}

/// Where a lift is among them.
pub(crate) const LIFT: usize = 3;

/// Scale and lift.
fn factors_of<C: Real>(with: &Normalization<&[C]>, channel: usize) -> [C; 2] {
    let (gamma, inv_std) = (with.gamma[channel], with.inv_std[channel]);
    let scale = C::nearest(gamma.value() * inv_std.value());
    let are_finite = gamma.value().is_finite() && inv_std.value().is_finite();
    if scale.value().is_infinite() && are_finite {
        [gamma, inv_std]
    } else {
        [scale, C::nearest(1.0)]
    }
}

/// Whether γ·inv_std is beyond the type.
pub(crate) fn is_lifted<C: Real>(with: &Normalization<&[C]>, channel: usize) -> bool {
    factors_of(with, channel)[1].value() != 1.0
}

/// What is subtracted from x, and the rounding residue: what of the mean that leaves. Where the deviation is near the
/// type's largest value, x − mean could overflow: there nothing is subtracted, which costs no digits as the mean is not
/// large beside the deviation.
pub(crate) fn center_of<C: Real>(with: &Normalization<&[C]>, channel: usize) -> (C, f64) {
    let (mean, low) = (with.mean[channel], with.mean_low[channel].value());
    if with.inv_std[channel].value().abs() * C::LARGEST < 16.0 {
        return (C::default(), mean.value() + low);
    }
    let [scale, lift] = factors_of(with, channel).map(C::value);
    if lift != 1.0 {
        return (mean, low);
    }
    let beta = with.beta[channel].value();
    beside_mean(mean, low, scale, beta - low * scale).unwrap_or((mean, low))
}

/// A center near the mean, and its rounding residue, where the shift that belongs to the mean is a subnormal number: vectors to which
/// it is added take many times as long. The one that belongs to this center is not, and what rounding takes from it is less than what
/// rounding takes from v. None where there is no need for it, and where x less this center would have fewer digits than
/// x less the mean.
fn beside_mean<C: Real>(mean: C, low: f64, scale: f64, shift: f64) -> Option<(C, f64)> {
    if shift == 0.0 || shift.abs() >= C::SMALLEST_NORMAL {
        return None;
    }
    let mean = mean.value();
    // To the next number at least, and after rounding still by as much as makes the shift normal.
    let distance = (2.0 * C::SMALLEST_NORMAL / scale.abs()).max(mean.abs() * C::EPSILON);
    let center = C::nearest(mean + distance.copysign(shift * scale));
    let residue = (mean - center.value()) + low;
    let is_near = distance <= mean.abs() / 4.0;
    let is_small = (residue * scale).abs() < C::SMALLEST_NORMAL / C::EPSILON;
    (is_near && is_small).then_some((center, residue))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// v of values on, next to and far from the mean, as vectors compute it, is that of the mean to the type's precision.
    #[test]
    fn a_shift_is_no_subnormal_number_where_there_are_others() {
        let mut moved = 0;
        for power in -149..0 {
            for gamma in [1e-6, 0.7, 300.0] {
                for part_of_step in [0.0, 0.4, -0.03, 1e-4] {
                    let mean = 1.37 * 2f32.powi(power);
                    let low = (mean.next_up() - mean) * part_of_step;
                    let with = Normalization {
                        mean: &[mean][..],
                        mean_low: &[low][..],
                        inv_std: &[316.0][..],
                        gamma: &[gamma][..],
                        beta: &[0.0][..],
                    };
                    let (center, residue) = center_of(&with, 0);
                    let whole = f64::from(mean) + f64::from(low);
                    assert_eq!(f64::from(center) + residue, whole);
                    let [center, scale, shift, _] = coefficients_of(&with, 0);
                    moved += i32::from(center != mean);
                    let is_tiny = mean.abs() < f32::MIN_POSITIVE / f32::EPSILON;
                    assert!(is_tiny || !shift.is_subnormal(), "{mean:e} {low:e} {gamma}");
                    for x in [
                        mean,
                        mean.next_down(),
                        mean.next_up(),
                        0.0,
                        -3.0 * mean,
                        1e3 * mean,
                    ] {
                        let v = f64::from((x - center).mul_add(scale, shift));
                        let exact = (f64::from(x) - whole) * f64::from(scale);
                        let of_mean = (whole * f64::from(scale)).abs() * 2f64.powi(-48);
                        let bound = exact.abs() * 2f64.powi(-23) + 1.5 * 2f64.powi(-149) + of_mean;
                        assert!((v - exact).abs() <= bound, "{v:e} for {exact:e}");
                    }
                }
            }
        }
        assert!(moved > 50, "{moved}");
    }
}
