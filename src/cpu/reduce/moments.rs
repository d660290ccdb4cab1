//! Count, mean and sum of squared deviations of each channel, and how those of two sets of values are merged.

use crate::cpu::memory::scratch::{Scratch, scratch_elements};
use crate::double_double::{difference, moved, sum_and_error};
use crate::numeric::Real;

/// The moments of some values of each of a few channels: all channels have the same count.
///
/// Merged by Chan, Golub & LeVeque (1979): with δ = mean_b − mean_a and n = n_a + n_b,
/// mean = mean_a + δ·n_b/n and m2 = m2_a + m2_b + δ²·n_a·n_b/n. In `f64`, and always in the order of the tiles, so that
/// the result does not depend on who computed what. A mean is a pair of numbers: of values of 10¹² the digits of a
/// deviation near 1 are not in the first.
#[derive(Debug)]
pub struct Moments {
    /// Values per channel.
    pub(crate) count: f64,
    /// Mean of each channel.
    pub(crate) mean: Scratch<f64>,
    /// What rounding took from the mean: less than half a unit in its last place.
    pub(crate) mean_low: Scratch<f64>,
    /// Σ(x − mean)² of each channel.
    pub(crate) m2: Scratch<f64>,
    /// What is doubtful about each channel's sums.
    pub(crate) doubts: Scratch<Doubt>,
}

/// What is wrong with the sums of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing.
    #[default]
    None,
    /// All that was squared is small: squares may have lost bits, or vanished.
    SmallSquares,
    /// The pivot is too far from the mean, or something has overflowed.
    Pivot,
}

scratch_elements!(Doubt);

/// Where Σ(x − pivot)² is more than so many times Σ(x − mean)², the pivot has cost more digits than it may.
const MOST_OF_A_PIVOT: f64 = 8.0;

impl Moments {
    /// The moments of an empty set of values, to which others are merged.
    pub(crate) fn none(channels: usize) -> Self {
        Self {
            count: 0.0,
            mean: Scratch::zeros(channels),
            mean_low: Scratch::zeros(channels),
            m2: Scratch::zeros(channels),
            doubts: Scratch::zeros(channels),
        }
    }

    /// Adds `count` further values of every channel, given as sums of d = x − pivot that were taken in `C`.
    #[inline(always)]
    pub(crate) fn add_about_pivot<C: Real>(
        &mut self,
        count: f64,
        pivot: &[f64],
        sum: &[f64],
        sum_of_squares: &[f64],
    ) {
        let scale_of = |_| 1.0;
        self.add_taken_in::<C>(count, pivot, scale_of, sum, sum_of_squares);
    }

    /// The same, of terms that were multiplied by a scale of their channel's before they were squared.
    #[inline(always)]
    pub(crate) fn add_scaled<C: Real>(
        &mut self,
        count: f64,
        pivot: &[f64],
        scales: &[f64],
        sum: &[f64],
        sum_of_squares: &[f64],
    ) {
        self.add_taken_in::<C>(count, pivot, |c| scales[c], sum, sum_of_squares);
    }

    #[inline(always)]
    fn add_taken_in<C: Real>(
        &mut self,
        count: f64,
        pivot: &[f64],
        scale_of: impl Fn(usize) -> f64,
        sum: &[f64],
        sum_of_squares: &[f64],
    ) {
        let is_first = self.count == 0.0;
        let total = self.count + count;
        let (inverse, weight, spread) = (1.0 / count, count / total, self.count * count / total);
        let channels = self.mean.len();
        let (mean, mean_low, m2, doubts) = (
            &mut self.mean[..channels],
            &mut self.mean_low[..channels],
            &mut self.m2[..channels],
            &mut self.doubts[..channels],
        );
        let (pivot, sum, sum_of_squares) = (
            &pivot[..channels],
            &sum[..channels],
            &sum_of_squares[..channels],
        );
        let least = count * C::SMALLEST_SURE_SQUARE;
        for c in 0..channels {
            let least = least / scale_of(c) / scale_of(c);
            let drift = sum[c] * inverse;
            let of_drift = sum[c] * drift;
            let about_mean = sum_of_squares[c] - of_drift;
            // False of NaN, too. Where all is zero it is a constant.
            let is_sound = about_mean >= least
                && about_mean <= f64::MAX
                && of_drift <= (MOST_OF_A_PIVOT - 1.0) * about_mean;
            let is_zero = sum[c] == 0.0 && sum_of_squares[c] == 0.0;
            if !(is_sound || is_zero) && doubts[c] != Doubt::Pivot {
                doubts[c] = if sum_of_squares[c] < least {
                    Doubt::SmallSquares
                } else {
                    Doubt::Pivot
                };
            }
            if is_first {
                (mean[c], mean_low[c]) = sum_and_error(pivot[c], drift);
                m2[c] = about_mean;
            } else {
                let delta = difference([pivot[c], drift], [mean[c], mean_low[c]]);
                (mean[c], mean_low[c]) = moved([mean[c], mean_low[c]], delta * weight);
                m2[c] += about_mean + delta * delta * spread;
            }
        }
        self.count = total;
    }

    /// Whether some channel's are doubtful.
    pub(crate) fn are_doubtful(&self) -> bool {
        self.doubts.iter().any(|&doubt| doubt != Doubt::None)
    }

    /// Has no doubt of channels that are finite: `f64` has more digits than any pivot costs values narrower than it.
    #[inline(always)]
    pub(crate) fn trust_finite(&mut self) {
        for (doubt, m2) in self.doubts.iter_mut().zip(self.m2.iter()) {
            if m2.is_finite() {
                *doubt = Doubt::None;
            }
        }
    }

    /// Says that a channel has values that are not finite, which add up to this.
    pub(crate) fn set_not_finite(&mut self, channel: usize, sum: f64) {
        (self.mean[channel], self.mean_low[channel]) = (sum, 0.0);
        (self.m2[channel], self.doubts[channel]) = (f64::NAN, Doubt::None);
    }

    /// Takes those of the doubtful channels from others of the same values, and leaves the other channels as they are.
    pub(crate) fn replace_doubtful(&mut self, by: &Moments) {
        for c in 0..self.mean.len() {
            if self.doubts[c] != Doubt::None {
                self.mean[c] = by.mean[c];
                self.mean_low[c] = by.mean_low[c];
                self.m2[c] = by.m2[c];
                self.doubts[c] = by.doubts[c];
            }
        }
    }

    /// Adds the values of `other`, whose channels are these from `first` on, of each of which there are `count` values so far.
    pub(crate) fn merge_at(&mut self, first: usize, count: f64, other: &Moments) {
        let channels = other.mean.len();
        let (means, lows, m2s) = (
            &mut self.mean[first..first + channels],
            &mut self.mean_low[first..first + channels],
            &mut self.m2[first..first + channels],
        );
        let (other_means, other_lows, other_m2s) = (
            &other.mean[..channels],
            &other.mean_low[..channels],
            &other.m2[..channels],
        );
        if count == 0.0 {
            means.copy_from_slice(other_means);
            lows.copy_from_slice(other_lows);
            m2s.copy_from_slice(other_m2s);
            return;
        }
        // Slices of one length and no way out: the only loop of a pass that one thread takes alone becomes one of vectors.
        let total = count + other.count;
        let (weight, spread) = (other.count / total, count * other.count / total);
        for c in 0..channels {
            let delta = difference([other_means[c], other_lows[c]], [means[c], lows[c]]);
            (means[c], lows[c]) = moved([means[c], lows[c]], delta * weight);
            m2s[c] += other_m2s[c] + delta * delta * spread;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_parts_gives_the_whole() {
        let values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0];
        let mut whole = Moments::none(1);
        let mut count = 0.0;
        for part in [&values[..3], &values[3..4], &values[4..]] {
            let mut moments = Moments::none(1);
            let pivot = part[0];
            let sum = part.iter().map(|x| x - pivot).sum();
            let squares = part.iter().map(|x| (x - pivot) * (x - pivot)).sum();
            moments.add_about_pivot::<f64>(part.len() as f64, &[pivot], &[sum], &[squares]);
            whole.merge_at(0, count, &moments);
            count += part.len() as f64;
        }
        let mean: f64 = values.iter().sum::<f64>() / 7.0;
        let m2: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        assert!((whole.mean[0] - mean).abs() < 1e-14 && (whole.m2[0] - m2).abs() < 1e-12);
        assert!(count == 7.0);
    }

    #[test]
    fn a_constant_has_no_deviation() {
        let mut moments = Moments::none(1);
        for _ in 0..3 {
            moments.add_about_pivot::<f64>(5.0, &[0.1], &[0.0], &[0.0]);
        }
        assert!(moments.mean[0] == 0.1 && moments.m2[0] == 0.0 && !moments.are_doubtful());
    }

    #[test]
    fn a_mean_is_not_rounded_to_one_number() {
        let mut moments = Moments::none(1);
        // 1e15 + (1/3, 2/3, 1/3).
        for third in [1.0, 2.0, 1.0] {
            moments.add_about_pivot::<f64>(1.0, &[1e15], &[third / 3.0], &[third * third / 9.0]);
        }
        let of_integers = moments.mean[0] - 1e15;
        assert!((of_integers + moments.mean_low[0] - 4.0 / 9.0).abs() < 1e-15);
        assert!((moments.m2[0] - 2.0 / 27.0).abs() < 1e-15);
    }

    #[test]
    fn sums_about_a_far_pivot_and_squares_out_of_range_are_doubtful() {
        let doubtful = |sum: f64, squares: f64| {
            let mut moments = Moments::none(1);
            moments.add_about_pivot::<f32>(4.0, &[0.0], &[sum], &[squares]);
            moments.are_doubtful()
        };
        assert!(!doubtful(4.0, 5.0) && !doubtful(0.0, 0.0));
        assert!(doubtful(400.0, 40_004.0) && doubtful(0.0, 1e-40));
        assert!(doubtful(1e20, f64::INFINITY) && doubtful(f64::NAN, f64::NAN));
    }
}
