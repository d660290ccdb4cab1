//! Moments of parts of a batch, merged to those of the whole: the same bits in whatever order the parts come.
//!
//! With the parts' counts nᵣ, their means and n = Σ nᵣ, `mean = Σ nᵣ·meanᵣ / n` and `m2 = Σ m2ᵣ + Σ nᵣ·(meanᵣ − mean)²`, where each
//! sum is rounded once.

use std::array::from_fn;

use crate::allocate::reserved;
use crate::backend::operands::MomentsMut;
use crate::cpu::simd::dispatch::Dispatch;
use crate::cpu::simd::{Kernel, Simd};
use crate::double_double::{difference, sum_and_error};
use crate::error::{Error, Result};
use crate::statistics::exact_sum::{
    CHANNELS_AT_ONCE, OfChannels, exact_sums, loaded, sum_of_not_finite,
};

/// Counts are below this, so that their products with halves of a mean are exact.
const MOST_VALUES: u64 = 1 << 52;

/// The moments of a part, all (C,).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// Values per channel.
    pub(crate) count: usize,
    pub(crate) mean: &'a [f64],
    pub(crate) mean_low: &'a [f64],
    pub(crate) m2: &'a [f64],
}

/// The values per channel of all parts.
pub(crate) fn total_count(mut counts: impl Iterator<Item = usize>) -> Result<usize> {
    let total = counts.try_fold(0usize, usize::checked_add);
    match total {
        Some(total) if (total as u64) < MOST_VALUES => Ok(total),
        _ => Err(Error::Value {
            what: "the number of values per channel",
            found: total.map_or("more than this machine can count".to_owned(), |total| {
                total.to_string()
            }),
            needed: "below 2^52",
        }),
    }
}

/// Merges parts of which at least one has values. Of a part that alone has any the moments are those of the whole, as they are.
///
/// # Errors
/// When there is no room for the terms of a sum.
pub(crate) fn merge(parts: &[Part<'_>], total: usize, out: MomentsMut<'_>) -> Result<()> {
    let MomentsMut {
        mean: means,
        mean_low: lows,
        m2: m2s,
    } = out;
    let mut filled = parts.iter().filter(|part| part.count > 0);
    if let (Some(only), None) = (filled.next(), filled.next()) {
        means.copy_from_slice(only.mean);
        lows.copy_from_slice(only.mean_low);
        m2s.copy_from_slice(only.m2);
        return Ok(());
    }
    let terms = reserved(5 * parts.len() + 4)?;
    Dispatch::detect().run(Merge {
        parts,
        total,
        terms,
        means,
        lows,
        m2s,
    });
    Ok(())
}

/// A merge of parts of which several have values.
struct Merge<'a, 'p> {
    parts: &'a [Part<'p>],
    total: usize,
    /// Room for those of the longest sum.
    terms: Vec<OfChannels>,
    means: &'a mut [f64],
    lows: &'a mut [f64],
    m2s: &'a mut [f64],
}

impl Kernel for Merge<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let (channels, whole) = (self.means.len(), Weight::of(self.total, self.total));
        let filled = || self.parts.iter().filter(|part| part.count > 0);
        let terms = &mut self.terms;
        for first in (0..channels).step_by(CHANNELS_AT_ONCE) {
            terms.clear();
            for part in filled() {
                let weight = Weight::of(part.count, self.total);
                terms.extend(weight.times(loaded(&part.mean[first..])));
                let low = loaded(&part.mean_low[first..]);
                terms.push(low.map(|low| weight.value() * low));
            }
            let near = exact_sums(terms).map(|sum| sum / whole.value());
            terms.extend(whole.times(near.map(|mean| -mean)));
            let rest = exact_sums(terms).map(|sum| sum / whole.value());
            let mean: [_; CHANNELS_AT_ONCE] = from_fn(|l| sum_and_error(near[l], rest[l]));
            terms.clear();
            for part in filled() {
                let (of_part, low) = (loaded(&part.mean[first..]), loaded(&part.mean_low[first..]));
                terms.push(loaded(&part.m2[first..]));
                terms.push(from_fn(|l| {
                    let apart = difference([of_part[l], low[l]], [mean[l].0, mean[l].1]);
                    part.count as f64 * (apart * apart)
                }));
            }
            let m2 = exact_sums(terms);
            for c in first..channels.min(first + CHANNELS_AT_ONCE) {
                let of_parts = filled().map(|part| part.mean[c]);
                let is_finite = of_parts.clone().all(f64::is_finite);
                (self.means[c], self.lows[c], self.m2s[c]) = if is_finite {
                    let (mean, low) = mean[c - first];
                    (mean, low, m2[c - first])
                } else {
                    (sum_of_not_finite(of_parts), 0.0, f64::NAN)
                };
            }
        }
    }
}

/// A count, scaled by a power of two to at most one so that no product overflows, in two halves of 26 bits.
#[derive(Clone, Copy)]
struct Weight {
    high: f64,
    low: f64,
}

const HALF_BITS: u32 = 26;

impl Weight {
    #[inline(always)]
    fn of(count: usize, total: usize) -> Self {
        let exponent = u64::from(usize::BITS - total.leading_zeros());
        let scale = f64::from_bits((1023 - exponent) << 52);
        let low = count & ((1 << HALF_BITS) - 1);
        Self {
            high: (count - low) as f64 * scale,
            low: low as f64 * scale,
        }
    }

    #[inline(always)]
    fn value(self) -> f64 {
        self.high + self.low
    }

    /// The product with each value, as a sum of numbers that are exact (unless they are too small for their digits).
    #[inline(always)]
    fn times(self, values: OfChannels) -> [OfChannels; 4] {
        let high = values.map(|value| f64::from_bits(value.to_bits() & !((1 << HALF_BITS) - 1)));
        let low: OfChannels = from_fn(|l| values[l] - high[l]);
        [
            high.map(|high| self.high * high),
            low.map(|low| self.high * low),
            high.map(|high| self.low * high),
            low.map(|low| self.low * low),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type OfOneChannel = (usize, [f64; 3]);

    fn merged(parts: &[OfOneChannel]) -> [u64; 3] {
        let mut all: Vec<Part<'_>> = Vec::new();
        for (count, [mean, mean_low, m2]) in parts {
            let one = std::slice::from_ref;
            let (mean, mean_low, m2) = (one(mean), one(mean_low), one(m2));
            all.push(Part {
                count: *count,
                mean,
                mean_low,
                m2,
            });
        }
        let total = total_count(parts.iter().map(|part| part.0)).unwrap();
        let [mut mean, mut mean_low, mut m2] = [[77.0]; 3];
        let out = MomentsMut {
            mean: &mut mean,
            mean_low: &mut mean_low,
            m2: &mut m2,
        };
        merge(&all, total, out).unwrap();
        [mean[0], mean_low[0], m2[0]].map(f64::to_bits)
    }

    /// In every rotation and its reverse, with an empty part among them.
    fn merged_in_any_order(parts: &[OfOneChannel]) -> [f64; 3] {
        let mut parts = parts.to_vec();
        parts.push((0, [5.0, 0.0, 1.0]));
        let expected = merged(&parts);
        for _ in 0..parts.len() {
            parts.rotate_left(1);
            assert_eq!(merged(&parts), expected, "{parts:?}");
            let reversed: Vec<OfOneChannel> = parts.iter().rev().copied().collect();
            assert_eq!(merged(&reversed), expected, "{reversed:?}");
        }
        expected.map(f64::from_bits)
    }

    fn of(values: &[f64]) -> OfOneChannel {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let m2 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        (values.len(), [mean, 0.0, m2])
    }

    #[test]
    fn parts_make_the_whole_in_any_order() {
        let values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0];
        let [mean, mean_low, m2] =
            merged_in_any_order(&[of(&values[..3]), of(&values[3..4]), of(&values[4..])]);
        let (_, [expected_mean, _, expected_m2]) = of(&values);
        assert!((mean + mean_low - expected_mean).abs() < 1e-15);
        assert!((m2 - expected_m2).abs() < 1e-13);
    }

    #[test]
    fn one_part_is_the_whole() {
        let part = (3, [0.1, 1e-18, 0.7]);
        assert_eq!(merged(&[part]).map(f64::from_bits), part.1);
        assert_eq!(merged_in_any_order(&[part]), part.1);
    }

    #[test]
    fn a_mean_is_not_rounded_to_one_number() {
        // 1e15 + (1/3, 2/3).
        let [mean, mean_low, m2] =
            merged_in_any_order(&[(2, [1e15, 1.0 / 3.0, 0.0]), (1, [1e15, 2.0 / 3.0, 0.0])]);
        assert!((mean - 1e15 + mean_low - 4.0 / 9.0).abs() < 1e-15);
        assert!((m2 - 2.0 / 27.0).abs() < 1e-15, "{m2}");
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn counts_may_be_beyond_32_bits() {
        let n = 3usize << 31;
        let [mean, mean_low, m2] =
            merged_in_any_order(&[(n, [1.0, 0.0, n as f64]), (n + 1, [3.0, 0.0, 0.0])]);
        let total = (2 * n + 1) as f64;
        let exact = 1.0 + 2.0 * (n + 1) as f64 / total;
        assert!((mean + mean_low - exact).abs() < 1e-15);
        assert!((m2 / total - 1.5).abs() < 1e-9, "{}", m2 / total);
        assert!(total_count([usize::MAX, 1].into_iter()).is_err());
        let most = usize::try_from(MOST_VALUES).unwrap();
        assert_eq!(total_count([most - 2, 1].into_iter()), Ok(most - 1));
        assert!(total_count([most - 1, 1].into_iter()).is_err());
    }

    #[test]
    fn means_near_the_largest_do_not_overflow() {
        let [mean, _, m2] =
            merged_in_any_order(&[(9, [f64::MAX, 0.0, 0.0]), (7, [f64::MAX, 0.0, 0.0])]);
        assert_eq!([mean, m2], [f64::MAX, 0.0]);
    }

    #[test]
    fn what_is_not_finite_has_the_same_bits_too() {
        let infinity = f64::INFINITY;
        let one = (4, [1.0, 0.0, 1.0]);
        let [mean, low, m2] = merged_in_any_order(&[one, (2, [infinity, 0.0, f64::NAN]), one]);
        assert!(mean == infinity && low == 0.0 && m2.is_nan());
        let [mean, ..] = merged_in_any_order(&[
            one,
            (2, [infinity, 0.0, f64::NAN]),
            (2, [-infinity, 0.0, -f64::NAN]),
        ]);
        assert!(mean.is_nan());
    }
}
