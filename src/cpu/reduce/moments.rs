//! Count, mean and sum of squared deviations of each channel, and how those of two sets of values are merged.

use crate::cpu::memory::scratch::Scratch;

/// The moments of some values of each of a few channels: all channels have the same count.
///
/// Merged by Chan, Golub & LeVeque (1979): with δ = mean_b − mean_a and n = n_a + n_b,
/// mean = mean_a + δ·n_b/n and m2 = m2_a + m2_b + δ²·n_a·n_b/n. In `f64`, and always in the order of the tiles, so that
/// the result does not depend on who computed what.
#[derive(Debug)]
pub struct Moments {
    /// Values per channel.
    pub(crate) count: f64,
    /// Mean of each channel.
    pub(crate) mean: Scratch<f64>,
    /// Σ(x − mean)² of each channel.
    pub(crate) m2: Scratch<f64>,
}

impl Moments {
    /// The moments of an empty set of values, to which others are merged.
    pub(crate) fn none(channels: usize) -> Self {
        Self {
            count: 0.0,
            mean: Scratch::zeros(channels),
            m2: Scratch::zeros(channels),
        }
    }

    /// Adds `count` further values of every channel, given as sums of d = x − pivot.
    #[inline(always)]
    pub(crate) fn add_about_pivot(
        &mut self,
        count: f64,
        pivot: &[f64],
        sum: &[f64],
        sum_of_squares: &[f64],
    ) {
        let total = self.count + count;
        let (inverse, weight, spread) = (1.0 / count, count / total, self.count * count / total);
        let channels = self.mean.len();
        let (mean, m2) = (&mut self.mean[..channels], &mut self.m2[..channels]);
        let (pivot, sum, sum_of_squares) = (
            &pivot[..channels],
            &sum[..channels],
            &sum_of_squares[..channels],
        );
        for c in 0..channels {
            let drift = sum[c] * inverse;
            let delta = pivot[c] + drift - mean[c];
            mean[c] += delta * weight;
            m2[c] += (sum_of_squares[c] - sum[c] * drift) + delta * delta * spread;
        }
        self.count = total;
    }

    /// Adds the values of `other`, whose channels are these from `first` on, of each of which there are `count` values so far.
    pub(crate) fn merge_at(&mut self, first: usize, count: f64, other: &Moments) {
        let total = count + other.count;
        let (weight, spread) = (other.count / total, count * other.count / total);
        let channels = other.mean.len();
        let (means, m2s) = (
            &mut self.mean[first..first + channels],
            &mut self.m2[first..first + channels],
        );
        for c in 0..channels {
            let delta = other.mean[c] - means[c];
            means[c] += delta * weight;
            m2s[c] += other.m2[c] + delta * delta * spread;
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
            moments.add_about_pivot(part.len() as f64, &[pivot], &[sum], &[squares]);
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
            moments.add_about_pivot(5.0, &[0.1], &[0.0], &[0.0]);
        }
        assert!(moments.mean[0] == 0.1 && moments.m2[0] == 0.0);
    }
}
