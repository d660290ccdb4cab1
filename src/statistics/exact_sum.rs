//! Sums that are rounded once, and so are the same bits in whatever order their terms come.

use crate::double_double::sum_and_error;

/// Channels whose sums are made side by side, as vectors: the loops over lanes are for the compiler.
pub(crate) const CHANNELS_AT_ONCE: usize = 8;

/// One number of each of some channels.
pub(crate) type OfChannels = [f64; CHANNELS_AT_ONCE];

/// Σ of the terms of each channel, correctly rounded. Of terms that are not all finite it is the infinity among them, or NaN.
///
/// Inlined, with the instruction set of whoever calls it.
#[inline(always)]
pub(crate) fn exact_sums(terms: &[OfChannels]) -> OfChannels {
    let [mut sum, mut error, mut error_of_error, mut most] = [[0.0; CHANNELS_AT_ONCE]; 4];
    for term in terms {
        for l in 0..CHANNELS_AT_ONCE {
            let (next, lost) = sum_and_error_or_nan(sum[l], term[l]);
            let (next_error, lost_again) = sum_and_error_or_nan(error[l], lost);
            sum[l] = next;
            error[l] = next_error;
            error_of_error[l] += lost_again;
            most[l] += lost_again.abs();
        }
    }
    // The exact sum is `sum + error + error_of_error`, up to what adding the last of them up, and here, has lost, which is less
    // than the slack: where both ends are rounded to the same number, so is the exact sum between them.
    let of_count = (terms.len() + 2) as f64 * f64::EPSILON;
    let [mut low, mut high] = [[0.0; CHANNELS_AT_ONCE]; 2];
    for l in 0..CHANNELS_AT_ONCE {
        let (near, residue) = sum_and_error_or_nan(sum[l], error[l]);
        let slack =
            of_count * most[l] + 2.0 * f64::EPSILON * (residue.abs() + error_of_error[l].abs());
        let residue = residue + error_of_error[l];
        (low[l], high[l]) = (near + (residue - slack), near + (residue + slack));
    }
    for l in 0..CHANNELS_AT_ONCE {
        // True of NaN, too, which is what is left of sums that are not finite.
        if low[l] != high[l] || low[l].is_nan() {
            low[l] = exact_sum_of_any(terms.iter().map(|term| term[l]));
        }
    }
    low
}

/// a + b, and what rounding took from it: NaN where the sum is not finite, as [`sum_and_error`] is not.
#[inline(always)]
fn sum_and_error_or_nan(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cold]
#[inline(never)]
fn exact_sum_of_any(terms: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    if terms.clone().any(|term| !term.is_finite()) {
        return sum_of_not_finite(terms);
    }
    let largest = (terms.clone()).fold(0.0, |most: f64, term| most.max(term.abs()));
    if largest < f64::MAX / terms.len() as f64 / 4.0 {
        return shewchuk(terms);
    }
    // A power of two: partial sums would overflow.
    let scale = f64::from_bits((1023 - 64) << 52);
    shewchuk(terms.map(|term| term * scale)) / scale
}

/// The sum of those that are not finite: an infinity, or NaN, whose bits would otherwise depend on the order.
pub(crate) fn sum_of_not_finite(terms: impl Iterator<Item = f64>) -> f64 {
    let sum: f64 = terms.filter(|term| !term.is_finite()).sum();
    if sum.is_nan() { f64::NAN } else { sum }
}

/// The numbers of the channels from the first of these on, and zeros where there are no more.
#[inline(always)]
pub(crate) fn loaded(channels: &[f64]) -> OfChannels {
    if let Some(lanes) = channels.first_chunk() {
        return *lanes;
    }
    let mut lanes = [0.0; CHANNELS_AT_ONCE];
    lanes[..channels.len()].copy_from_slice(channels);
    lanes
}

/// The most numbers that can be held without two of them being neighbours (Shewchuk 1997, theorem 10): of the 2,098 bits of f64's range,
/// from 2^-1074 on, every other one.
const MOST_PARTIALS: usize = 1049;

/// Shewchuk 1997, "Adaptive precision floating-point arithmetic", as Python's `math.fsum` has it: the sum is held as numbers that
/// do not overlap, and rounded half to even.
fn shewchuk(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut partials, mut count) = ([0.0f64; MOST_PARTIALS], 0);
    for mut term in terms {
        let mut kept = 0;
        for i in 0..count {
            let (sum, error) = sum_and_error(term, partials[i]);
            if error != 0.0 {
                partials[kept] = error;
                kept += 1;
            }
            term = sum;
        }
        partials[kept] = term;
        count = kept + 1;
    }
    let mut sum = 0.0;
    while count > 0 {
        count -= 1;
        let (next, error) = sum_and_error(sum, partials[count]);
        sum = next;
        if error != 0.0 {
            // Halfway, what is below decides.
            let below = if count > 0 { partials[count - 1] } else { 0.0 };
            if (error > 0.0 && below > 0.0) || (error < 0.0 && below < 0.0) {
                let away = sum + 2.0 * error;
                if away - sum == 2.0 * error {
                    sum = away;
                }
            }
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In every rotation and its reverse.
    fn check(terms: &[f64], expected: f64) {
        let mut terms = terms.to_vec();
        for _ in 0..terms.len() {
            terms.rotate_left(1);
            for terms in [terms.clone(), terms.iter().rev().copied().collect()] {
                let others = |term: &f64| std::array::from_fn(|l| if l == 3 { *term } else { 1.0 });
                let lanes: Vec<OfChannels> = terms.iter().map(others).collect();
                let sums = exact_sums(&lanes);
                assert_eq!(sums[3].to_bits(), expected.to_bits(), "{terms:?}");
                assert_eq!(sums[CHANNELS_AT_ONCE - 1], terms.len() as f64);
                let slow = exact_sum_of_any(terms.iter().copied());
                assert_eq!(slow.to_bits(), expected.to_bits(), "{terms:?}, slowly");
            }
        }
    }

    #[test]
    fn terms_that_all_leave_something_have_room() {
        let term = |power: i32| 4f64.powi(power) * (1.0 + f64::EPSILON);
        let terms: Vec<f64> = (0..60).map(term).collect();
        // 2^120/3, and a rounding's third of that.
        check(&terms, 6_004_799_503_160_663.0 * 2f64.powi(66));
    }

    #[test]
    fn a_sum_is_rounded_once() {
        check(&[], 0.0);
        check(&[-0.0, -0.0], 0.0);
        check(&[1e16, 1.0, -1e16], 1.0);
        check(&[1e300, 1.0, 1e-300, -1e300, -1.0], 1e-300);
        check(&[0.1; 10], 1.0);
        check(&[1.0, 1e100, 1.0, -1e100], 2.0);
    }

    #[test]
    fn a_tie_is_decided_by_what_is_far_below() {
        let tie = [1.0, f64::EPSILON / 2.0];
        check(&tie, 1.0);
        check(&[tie[0], tie[1], 1e-200], 1.0 + f64::EPSILON);
        check(&[tie[0], tie[1], -1e-200], 1.0);
        check(&[tie[0], 3.0 * tie[1], -1e-200], 1.0 + f64::EPSILON);
    }

    #[test]
    fn nothing_overflows_on_the_way() {
        check(&[f64::MAX, f64::MAX, -f64::MAX], f64::MAX);
        check(&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX, 5.0], 5.0);
        check(&[f64::MAX, f64::MAX], f64::INFINITY);
    }

    #[test]
    fn what_is_not_finite_has_one_sum() {
        let (infinity, nan) = (f64::INFINITY, f64::NAN);
        check(&[1.0, infinity, 2.0], infinity);
        check(&[f64::MAX, f64::MAX, -infinity], -infinity);
        for terms in [[infinity, -infinity, 1.0], [-nan, infinity, 1.0]] {
            check(&terms, nan);
        }
    }

    /// Against exact arithmetic in 128 bits.
    #[test]
    fn random_sums_are_right() {
        let mut state = 1u64;
        for _ in 0..2000 {
            let terms: Vec<i64> = (0..9)
                .map(|i| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(i);
                    state.cast_signed() >> (11 + (state % 37))
                })
                .collect();
            // Integers of at most 53 bits are exact; their sum is rounded by the conversion.
            let exact: i128 = terms.iter().map(|&term| i128::from(term) << 40).sum();
            let scaled = |(i, &term): (usize, &i64)| {
                if i % 2 == 0 {
                    term as f64
                } else {
                    term as f64 / 1024.0
                }
            };
            let exact_scaled: i128 = terms
                .iter()
                .enumerate()
                .map(|(i, &term)| i128::from(term) << if i % 2 == 0 { 40 } else { 30 })
                .sum();
            let all: Vec<f64> = terms.iter().map(|&term| term as f64).collect();
            check(&all, exact as f64 / (1u64 << 40) as f64 + 0.0);
            let halves: Vec<f64> = terms.iter().enumerate().map(scaled).collect();
            check(&halves, exact_scaled as f64 / (1u64 << 40) as f64 + 0.0);
        }
    }
}
