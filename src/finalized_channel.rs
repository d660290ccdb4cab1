//! From the mean and variance of a channel to its statistics.

use crate::numeric::{Real, finite_factor};

/// The statistics of one channel, as a backend returns them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FinalizedChannel<C> {
    pub(crate) mean: C,
    pub(crate) mean_low: C,
    pub(crate) variance: C,
    pub(crate) inv_std: C,
}

impl<C: Real> FinalizedChannel<C> {
    /// From a mean that is a pair of numbers, and the variance.
    #[inline(always)]
    pub(crate) fn of([mean, mean_low]: [f64; 2], variance: f64, epsilon: f64) -> Self {
        let nearest = C::nearest(mean);
        let low = (mean - nearest.value()) + mean_low;
        Self {
            mean: nearest,
            mean_low: C::nearest(if low.is_finite() { low } else { 0.0 }),
            variance: C::nearest(variance),
            inv_std: inverse_std(variance, epsilon),
        }
    }
}

/// `1 / sqrt(variance + ε)`, at most the type's largest value: as if ε were at least what gives that.
pub(crate) fn inverse_std<C: Real>(variance: f64, epsilon: f64) -> C {
    finite_factor(1.0 / (variance + epsilon).sqrt(), &[variance, epsilon])
}

/// The variance of a channel. One beyond the type is stored as infinity, though a part of it that running statistics follow need not
/// be beyond it: then it is what inv_std says, beside which ε is nothing.
pub(crate) fn wide_variance<C: Real>(variance: C, inv_std: C) -> f64 {
    if variance.value() == f64::INFINITY {
        1.0 / (inv_std.value() * inv_std.value())
    } else {
        variance.value()
    }
}
