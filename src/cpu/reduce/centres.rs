//! From where, and on what scale, deviations are taken that no vector can hold as they are, or that were taken about a bad pivot.

use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::moments::{Doubt, Moments};
use crate::cpu::reduce::pivot::{Sampled, is_small};
use crate::numeric::Real;

/// From where, and on what scale, the deviations of each channel of a tile are taken.
#[derive(Debug)]
pub struct Centres {
    pub(crate) pivots: Scratch<f64>,
    pub(crate) scales: Scratch<f64>,
}

impl Centres {
    /// Those that a few values of each channel call for.
    pub(crate) fn of_sampled<C: Real>(sampled: Sampled) -> Self {
        let mut scales = sampled.spreads;
        for scale in scales.iter_mut() {
            *scale = if is_small::<C>(*scale) {
                C::ENLARGES
            } else {
                1.0
            };
        }
        Self {
            pivots: sampled.pivots,
            scales,
        }
    }

    /// Those that doubtful moments of finite values call for, the second time with what the first time left.
    pub(crate) fn of<C: Real>(moments: &Moments, before: Option<&Self>) -> Self {
        let channels = moments.mean.len();
        let mut centres = Self {
            pivots: Scratch::zeros(channels),
            scales: Scratch::of_len(channels),
        };
        for c in 0..channels {
            let mean = C::nearest(moments.mean[c]).value();
            let variance = moments.m2[c] / moments.count;
            let scale_before = before.map_or(1.0, |before| before.scales[c]);
            let is_small = variance < C::SMALLEST_SURE_SQUARE && variance != 0.0;
            // From the second time on about the mean, and not what is left of far larger squares.
            let is_sure = before.is_some() || moments.doubts[c] == Doubt::SmallSquares;
            centres.pivots[c] = if mean.is_finite() { mean } else { 0.0 };
            let has_overflowed = !(mean.is_finite() && variance.is_finite());
            centres.scales[c] = if has_overflowed && scale_before > 1.0 {
                // The values looked at were smaller than the others.
                1.0
            } else if has_overflowed {
                C::REDUCES
            } else if scale_before == 1.0 && is_small && is_sure {
                C::ENLARGES
            } else {
                scale_before
            };
        }
        centres
    }
}
