//! From moments to the statistics of a channel; in `f64` and two passes for channels whose squares `f32` cannot hold.

use crate::backend::operands::Normalization;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::moments::Moments;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::{Numeric, Real};

/// The statistics of some channels, as a backend returns them.
#[derive(Debug)]
pub(crate) struct Finalized<C: Real> {
    pub mean: Scratch<C>,
    pub mean_low: Scratch<C>,
    pub variance: Scratch<C>,
    pub inv_std: Scratch<C>,
}

impl<C: Real> Finalized<C> {
    /// Of so many channels, to be written.
    pub(crate) fn of_len(channels: usize) -> Self {
        let statistics = || Scratch::of_len(channels);
        Self {
            mean: statistics(),
            mean_low: statistics(),
            variance: statistics(),
            inv_std: statistics(),
        }
    }

    /// Writes those of the channels from `first` on.
    pub(crate) fn write_at(&mut self, first: usize, part: &Self) {
        let channels = first..first + part.mean.len();
        self.mean[channels.clone()].copy_from_slice(&part.mean);
        self.mean_low[channels.clone()].copy_from_slice(&part.mean_low);
        self.variance[channels.clone()].copy_from_slice(&part.variance);
        self.inv_std[channels].copy_from_slice(&part.inv_std);
    }

    /// What these channels are normalized with.
    pub(crate) fn normalization<'a>(
        &'a self,
        gamma: &'a [C],
        beta: &'a [C],
    ) -> Normalization<&'a [C]> {
        Normalization {
            mean: &self.mean,
            mean_low: &self.mean_low,
            inv_std: &self.inv_std,
            gamma,
            beta,
        }
    }
}

/// Finalizes the moments of the channels from `first` on.
///
/// Squares of `f32` differences overflow above 1e19 and vanish below 1e-22. A channel where that may have happened,
/// and one with a NaN or an infinity, is taken again in `f64` and two passes.
pub(crate) fn finalize<T: SimdElement>(
    moments: &Moments,
    view: &MatrixView,
    first: usize,
    x: &[T],
    epsilon: f64,
) -> Finalized<T::Scalar> {
    let channels = moments.mean.len();
    let mut out = Finalized::of_len(channels);
    for c in 0..channels {
        let (mut mean, mut m2) = (moments.mean[c], moments.m2[c]);
        let in_range = m2 >= moments.count * SMALLEST_SURE_VARIANCE && m2.is_finite();
        if !in_range && m2 != 0.0 {
            (mean, m2) = two_pass(view, first + c, x);
        }
        let variance = m2 / moments.count;
        let rounded = T::Scalar::nearest(mean);
        let low = mean - rounded.value();
        out.mean[c] = rounded;
        out.mean_low[c] = T::Scalar::nearest(if low.is_finite() { low } else { 0.0 });
        out.variance[c] = T::Scalar::nearest(variance);
        out.inv_std[c] = T::Scalar::nearest(1.0 / (variance + epsilon).sqrt());
    }
    out
}

/// Squares that add up to more than this per value have not lost bits to `f32`'s subnormals.
const SMALLEST_SURE_VARIANCE: f64 = 1e-30;

/// Mean and Σ(x − mean)² of one channel, the fallback: first the one, then the other, value by value.
fn two_pass<T: SimdElement>(view: &MatrixView, channel: usize, x: &[T]) -> (f64, f64) {
    let mut count = 0.0;
    let mut sum = 0.0;
    for_each_index(view, channel, |at| {
        count += 1.0;
        sum += x[at].value();
    });
    let mean = sum / count;
    let mut m2 = 0.0;
    for_each_index(view, channel, |at| {
        let deviation = x[at].value() - mean;
        m2 += deviation * deviation;
    });
    (mean, m2)
}

/// Calls `visit` with the place of every value of a channel.
fn for_each_index(view: &MatrixView, channel: usize, mut visit: impl FnMut(usize)) {
    for plane in (channel..view.len.div_ceil(view.width)).step_by(view.channels) {
        for at in plane * view.width..(plane + 1) * view.width {
            visit(at);
        }
    }
}
