//! The logistic function, by the same operations in the same order as `kernels/logistic.cuh`.

use crate::exponential::{ExpOfNegative, Exponential};

/// σ(v) = 1 / (1 + exp(−v)), and σ(−v), which is 1 − σ(v) without the digits that this would lose.
#[inline(always)]
pub(crate) fn logistic<C: Exponential>(v: C) -> [C; 2] {
    let e = ExpOfNegative::of(v.magnitude()).value();
    let inverse = C::from(1.0) / (C::from(1.0) + e);
    if v < C::from(0.0) {
        [e * inverse, inverse]
    } else {
        [inverse, e * inverse]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_the_edges() {
        assert_eq!(logistic(0.0f32), [0.5, 0.5]);
        assert_eq!(logistic(200.0f32), [1.0, 0.0]);
        assert_eq!(logistic(-200.0f32), [0.0, 1.0]);
        assert_eq!(logistic(-1e5f64), [0.0, 1.0]);
        assert_eq!(logistic(f64::INFINITY), [1.0, 0.0]);
        assert!(logistic(f32::NAN)[0].is_nan() && logistic(f64::NAN)[1].is_nan());
    }
}
