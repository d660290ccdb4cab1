//! Exponentials, by the same operations in the same order as `kernels/exponential.cuh`, and at every instruction set: no fused
//! multiply-add, which not every level has, and no function of a mathematical library, each of which rounds otherwise.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// Numbers that exponentials are computed of, and what that takes of each type.
pub trait Exponential:
    Copy
    + PartialOrd
    + From<f32>
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// 1.5·2^(digits of the significand): a number added to it is rounded to an integer, which its lowest bits then are.
    const ROUND: Self;
    /// Of exp(−this) zero is nearest.
    const MOST: Self;
    /// The logarithm of 2, in two parts, so that a multiple of the first is exact.
    const LN2: Self;
    /// What [`Exponential::LN2`] leaves out.
    const LN2_LOW: Self;
    /// Its inverse.
    const LOG2E: Self;

    /// (exp(r) − 1 − r) / r², of r within half the logarithm of 2, and a little beyond.
    fn series(r: Self) -> Self;
    /// 2^n of `rounded` = [`Exponential::ROUND`] + n, in two factors: it may be subnormal.
    fn two_to(rounded: Self) -> [Self; 2];
    /// Without its sign.
    fn magnitude(self) -> Self;
}

/// exp(−a) of a ≥ 0, as 2ⁿ·(1 + p); NaN of NaN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpOfNegative<C> {
    p: C,
    two_to_n: [C; 2],
}

impl<C: Exponential> ExpOfNegative<C> {
    #[inline(always)]
    pub(crate) fn of(a: C) -> Self {
        Self::of_sum(a, C::from(0.0))
    }

    /// Of a + `low`, where that is not one number of the type. `low` is a sixteenth at most.
    #[inline(always)]
    pub(crate) fn of_sum(a: C, low: C) -> Self {
        // Written so that NaN stays.
        let a = if a > C::MOST { C::MOST } else { a };
        let rounded = a * -C::LOG2E + C::ROUND;
        let n = rounded - C::ROUND;
        let r = ((-a - n * C::LN2) - n * C::LN2_LOW) - low;
        Self {
            p: C::series(r) * (r * r) + r,
            two_to_n: C::two_to(rounded),
        }
    }

    /// exp(−a), within 1.6 roundoffs of the type (4 for `f64`).
    #[inline(always)]
    pub(crate) fn value(self) -> C {
        let [first, second] = self.two_to_n;
        (self.p + C::from(1.0)) * first * second
    }

    /// 1 − exp(−a), within 4 roundoffs (5 for `f64`): of small a it has the digits that the difference would lose.
    #[inline(always)]
    pub(crate) fn complement(self) -> C {
        let [first, second] = self.two_to_n;
        let two_to_n = first * second;
        (C::from(1.0) - two_to_n) - self.p * two_to_n
    }
}

/// A polynomial, from the highest coefficient on, by Horner's rule.
#[inline(always)]
pub(crate) fn polynomial<C: Exponential, const N: usize>(at: C, coefficients: [C; N]) -> C {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = sum * at + *coefficient;
    }
    sum
}

/// `$terms` are 1/n!, from the last to 1/2!.
macro_rules! exponential {
    ($real:ty, $bits:ty, $signed:ty, $digits:literal, $bias:literal, $round:literal, $most:literal, $ln2:literal, $ln2_low:literal, $log2e:expr, $terms:expr) => {
        impl Exponential for $real {
            const ROUND: Self = $round;
            const MOST: Self = $most;
            const LN2: Self = $ln2;
            const LN2_LOW: Self = $ln2_low;
            const LOG2E: Self = $log2e;

            #[inline(always)]
            fn series(r: Self) -> Self {
                polynomial(r, $terms)
            }

            #[inline(always)]
            #[expect(
                clippy::cast_possible_wrap,
                clippy::cast_sign_loss,
                reason = "bits, and exponents from 0 to twice the bias"
            )]
            fn two_to(rounded: Self) -> [Self; 2] {
                let n = (rounded.to_bits() as $signed)
                    .wrapping_sub(<$real>::to_bits($round) as $signed);
                let half = n >> 1;
                let power = |n: $signed| <$real>::from_bits(((n + $bias) as $bits) << $digits);
                [power(half), power(n - half)]
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
        }
    };
}

exponential!(
    f32,
    u32,
    i32,
    23,
    127,
    12_582_912.0,
    104.0,
    0.693_359_4,
    -2.121_944_4e-4,
    std::f32::consts::LOG2_E,
    [
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5
    ]
);

exponential!(
    f64,
    u64,
    i64,
    52,
    1023,
    6_755_399_441_055_744.0,
    746.0,
    6.931_471_803_691_238e-1,
    1.908_214_929_270_587_7e-10,
    std::f64::consts::LOG2_E,
    [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5
    ]
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Numeric;

    const ROUNDOFF_F32: f64 = f32::EPSILON as f64 / 2.0;
    const ROUNDOFF_F64: f64 = f64::EPSILON / 2.0;

    /// Exponents from the smallest that count to those of which exp(−a) is just normal.
    fn exponents(most: f64) -> impl Iterator<Item = f64> {
        let small = (0..200).map(|i| 0.8f64.powi(i));
        (0..100_000)
            .map(move |i| f64::from(i) * most / 1e5)
            .chain(small)
    }

    fn check_relative(found: f64, exact: f64, most: f64, a: f64) {
        let off = (found - exact).abs();
        assert!(off <= most * exact.abs(), "{a}: {off:e} of {exact:e}");
    }

    #[test]
    fn exponentials_are_off_by_two_units_at_most() {
        for a in exponents(87.0) {
            let narrow = f32::nearest(a);
            let exact = (-f64::from(narrow)).exp();
            let found = f64::from(ExpOfNegative::of(narrow).value());
            check_relative(found, exact, 1.6 * ROUNDOFF_F32, a);
        }
        for a in exponents(696.0) {
            let found = ExpOfNegative::of(a).value();
            check_relative(found, (-a).exp(), 4.0 * ROUNDOFF_F64, a);
        }
    }

    #[test]
    fn what_is_missing_to_one_keeps_its_digits() {
        for a in exponents(87.0) {
            let narrow = f32::nearest(a);
            let exact = -(-f64::from(narrow)).exp_m1();
            let found = f64::from(ExpOfNegative::of(narrow).complement());
            check_relative(found, exact, 4.0 * ROUNDOFF_F32, a);
        }
        for a in exponents(696.0) {
            let found = ExpOfNegative::of(a).complement();
            check_relative(found, -(-a).exp_m1(), 5.0 * ROUNDOFF_F64, a);
        }
    }

    #[test]
    fn the_two_parts_of_an_exponent_count_as_their_sum() {
        for a in exponents(80.0) {
            let (high, low) = (f32::nearest(a), 0.03f32);
            let exact = (-f64::from(high) - f64::from(low)).exp();
            let found = f64::from(ExpOfNegative::of_sum(high, low).value());
            check_relative(found, exact, 3.0 * ROUNDOFF_F32, a);
        }
    }

    #[test]
    fn both_ends() {
        let (zero, far) = (ExpOfNegative::of(0.0f32), ExpOfNegative::of(f32::INFINITY));
        assert_eq!([zero.value(), zero.complement()], [1.0, 0.0]);
        assert_eq!([far.value(), far.complement()], [0.0, 1.0]);
        let far = ExpOfNegative::of(f64::INFINITY);
        assert_eq!([far.value(), far.complement()], [0.0, 1.0]);
        assert!(ExpOfNegative::of(f32::NAN).value().is_nan());
        assert!(ExpOfNegative::of(f64::NAN).complement().is_nan());
    }
}
