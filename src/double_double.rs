//! Numbers as the sum of two of `f64`, of which the second has what rounding took from the first.

/// a + b, and what rounding took from it (Knuth). Without a finite sum there is no error to speak of: it would be NaN, and is
/// asked for that, which loops of vectors can do.
#[inline(always)]
pub(crate) fn sum_and_error(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    let error = (a - (sum - of_b)) + (b - of_b);
    (sum, if error.is_nan() { 0.0 } else { error })
}

/// The difference of two numbers that are pairs.
#[inline(always)]
pub(crate) fn difference(a: [f64; 2], b: [f64; 2]) -> f64 {
    let (difference, error) = sum_and_error(a[0], -b[0]);
    difference + (error + (a[1] - b[1]))
}

/// A pair, moved by so much.
#[inline(always)]
pub(crate) fn moved([high, low]: [f64; 2], by: f64) -> (f64, f64) {
    let (sum, error) = sum_and_error(high, by);
    sum_and_error(sum, error + low)
}
