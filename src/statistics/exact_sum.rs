//! Sums that are rounded once, and so are the same bits in whatever order their terms come.

use crate::cpu::reduce::moments::sum_and_error;

/// Σ of the terms, correctly rounded. Of terms that are not all finite it is the infinity among them, or NaN.
pub(crate) fn exact_sum(terms: &[f64]) -> f64 {
    let (mut sum, mut error, mut most) = (0.0, 0.0, 0.0);
    for &term in terms {
        let (next, lost) = sum_and_error(sum, term);
        sum = next;
        error += lost;
        most += lost.abs();
    }
    // The exact sum is `sum + error`, up to what adding the errors up has lost, which is less than this: where both ends are rounded to
    // the same number, so is the exact sum between them.
    let slack = (terms.len() + 2) as f64 * f64::EPSILON * most;
    let (low, high) = (sum + (error - slack), sum + (error + slack));
    // False of NaN, too.
    if low == high && sum.is_finite() {
        return low;
    }
    exact_sum_of_any(terms)
}

#[cold]
fn exact_sum_of_any(terms: &[f64]) -> f64 {
    if terms.iter().any(|term| !term.is_finite()) {
        return sum_of_not_finite(terms);
    }
    let largest = terms
        .iter()
        .fold(0.0, |most: f64, term| most.max(term.abs()));
    if largest < f64::MAX / terms.len() as f64 / 4.0 {
        return shewchuk(terms.iter().copied());
    }
    // A power of two: partial sums would overflow.
    let scale = f64::from_bits((1023 - 64) << 52);
    shewchuk(terms.iter().map(|term| term * scale)) / scale
}

/// The sum of those that are not finite: an infinity, or NaN, whose bits would otherwise depend on the order.
pub(crate) fn sum_of_not_finite(terms: &[f64]) -> f64 {
    let sum: f64 = terms.iter().filter(|term| !term.is_finite()).sum();
    if sum.is_nan() { f64::NAN } else { sum }
}

/// The most numbers that can be held without overlapping: f64's range has no room for more.
const MOST_PARTIALS: usize = 48;

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
                assert_eq!(exact_sum(&terms).to_bits(), expected.to_bits(), "{terms:?}");
                let slow = exact_sum_of_any(&terms);
                assert_eq!(slow.to_bits(), expected.to_bits(), "{terms:?}, slowly");
            }
        }
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
