//! The logistic function, by the same operations in the same order as `kernels/logistic.cuh`, and at every instruction set: no
//! fused multiply-add, which not every level has, and no function of a mathematical library, each of which rounds otherwise.

/// σ(v) = 1 / (1 + exp(−v)), for numbers that are computed with.
pub trait Logistic: Copy {
    /// exp(−a) of a ≥ 0, within 1.6 roundoffs of the type (4 for `f64`); NaN of NaN.
    fn exp_of_negative(self) -> Self;
    /// σ(v), and σ(−v), which is 1 − σ(v) without the digits that this would lose.
    fn logistic(self) -> [Self; 2];
}

/// `$round` is 1.5·2^(digits of the significand): a number added to it is rounded to an integer, which its lowest bits then are.
/// The logarithm of 2 is in two parts, so that a multiple of the first is exact. `$terms` are 1/n!, from the last to 1/2!.
macro_rules! logistic {
    ($real:ty, $bits:ty, $signed:ty, $digits:literal, $bias:literal, $round:literal, $most:literal, $ln2:literal, $ln2_low:literal, $log2e:expr, $terms:expr) => {
        impl Logistic for $real {
            #[inline(always)]
            #[expect(
                clippy::cast_possible_wrap,
                clippy::cast_sign_loss,
                reason = "bits, and exponents from 0 to twice the bias"
            )]
            fn exp_of_negative(self) -> Self {
                // Below this, zero is nearest. Written so that NaN stays.
                let a = if self > $most { $most } else { self };
                let rounded = a * -$log2e + $round;
                let n = rounded - $round;
                let r = (-a - n * $ln2) - n * $ln2_low;
                let [mut sum, rest @ ..] = $terms;
                for term in rest {
                    sum = sum * r + term;
                }
                let power = (sum * (r * r) + r) + 1.0;
                // 2^n in two factors: it may be subnormal.
                let n = (rounded.to_bits() as $signed)
                    .wrapping_sub(<$real>::to_bits($round) as $signed);
                let half = n >> 1;
                let two_to = |n: $signed| <$real>::from_bits(((n + $bias) as $bits) << $digits);
                power * two_to(half) * two_to(n - half)
            }

            #[inline(always)]
            fn logistic(self) -> [Self; 2] {
                let e = self.abs().exp_of_negative();
                let inverse = 1.0 / (1.0 + e);
                if self < 0.0 {
                    [e * inverse, inverse]
                } else {
                    [inverse, e * inverse]
                }
            }
        }
    };
}

logistic!(
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

logistic!(
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

    #[test]
    fn exponentials_are_off_by_two_units_at_most() {
        for i in 0..100_000u32 {
            let a = f64::from(i) * 87.0 / 1e5;
            let narrow = f32::nearest(a);
            let exact = (-f64::from(narrow)).exp();
            let off = (f64::from(narrow.exp_of_negative()) - exact).abs() / exact;
            assert!(
                off <= 1.6 * f64::from(f32::EPSILON) / 2.0,
                "{narrow}: {off:e}"
            );
            let exact = (-a * 8.0).exp();
            let off = ((a * 8.0).exp_of_negative() - exact).abs() / exact;
            assert!(off <= 4.0 * f64::EPSILON / 2.0, "{a}: {off:e}");
        }
    }

    #[test]
    fn both_sides_of_the_edges() {
        assert_eq!(0.0f32.logistic(), [0.5, 0.5]);
        assert_eq!(200.0f32.logistic(), [1.0, 0.0]);
        assert_eq!((-200.0f32).logistic(), [0.0, 1.0]);
        assert_eq!((-1e5f64).logistic(), [0.0, 1.0]);
        assert_eq!(f64::INFINITY.logistic(), [1.0, 0.0]);
        assert!(f32::NAN.logistic()[0].is_nan() && f64::NAN.logistic()[1].is_nan());
    }
}
