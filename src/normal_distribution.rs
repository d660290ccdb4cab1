//! The normal distribution, by the same operations in the same order as `kernels/normal_distribution.cuh`.

use crate::exponential::{ExpOfNegative, Exponential, polynomial};

/// What its tail takes of each type.
pub trait NormalDistribution: Exponential {
    /// From here on Φ(−a) is zero.
    const FARTHEST: Self;
    /// 1/√(2π).
    const DENSITY_AT_ZERO: Self;
    /// The first half of the digits, whose square is exact.
    fn first_digits(self) -> Self;
    /// (a + [`MIDDLE`])·Φ(−a)·exp(a²/2) of t = (a − [`MIDDLE`]) / (a + [`MIDDLE`]).
    fn scaled_tail(t: Self) -> Self;
}

/// Of the a from 0 to infinity this is in the middle, seen by t.
const MIDDLE: f32 = 4.0;

/// Φ(−a) and a·φ(a) of a ≥ 0: the distribution and its density, which is 0 at infinity too. Neither loses digits to the other or to
/// 1, however far out: Φ(−a) is off by 7 roundoffs at most.
#[inline(always)]
pub(crate) fn lower_tail<C: NormalDistribution>(a: C) -> [C; 2] {
    let a = if a > C::FARTHEST { C::FARTHEST } else { a };
    let (half, middle, first) = (C::from(0.5), C::from(MIDDLE), a.first_digits());
    // a² = first² + (a + first)·(a − first): rounded, it would cost exp as many roundoffs as it is large.
    let e = ExpOfNegative::of_sum(half * (first * first), half * ((a + first) * (a - first)));
    let e = e.value();
    let inverse = C::from(1.0) / (a + middle);
    let scaled = C::scaled_tail((a - middle) * inverse);
    [e * (inverse * scaled), a * (e * C::DENSITY_AT_ZERO)]
}

/// `$tail` are the coefficients of the polynomial of least relative error (by Remez' exchange, in 50 digits) from a = 0 to
/// [`NormalDistribution::FARTHEST`], from the highest on.
macro_rules! normal_distribution {
    ($real:ty, farthest $farthest:literal, density $density:literal, first digits $digits:literal, tail $tail:expr) => {
        impl NormalDistribution for $real {
            const FARTHEST: Self = $farthest;
            const DENSITY_AT_ZERO: Self = $density;

            #[inline(always)]
            fn first_digits(self) -> Self {
                Self::from_bits(self.to_bits() & $digits)
            }

            #[inline(always)]
            fn scaled_tail(t: Self) -> Self {
                polynomial(t, $tail)
            }
        }
    };
}

// Off by 1.0e-8 of itself, a sixth of a roundoff.
normal_distribution!(
    f32,
    farthest 16.0,
    density 3.989_423e-1,
    first digits 0xffff_f000,
    tail [
        -1.380_761_7e-4,
        1.667_268_4e-4,
        1.566_339e-3,
        -3.505_838_8e-3,
        -7.521_952e-3,
        6.040_276e-2,
        -1.865_240_3e-1,
        3.871_369_7e-1,
        -6.078_965_7e-1,
        7.552_851_4e-1,
    ]
);

// Off by 2.1e-17 of itself, a fifth of a roundoff.
normal_distribution!(
    f64,
    farthest 40.0,
    density 3.989_422_804_014_327e-1,
    first digits 0xffff_ffff_f800_0000,
    tail [
        -1.225_747_142_904_672_5e-9,
        -4.024_169_864_065_239e-10,
        1.468_203_846_267_055_8e-8,
        1.627_972_550_473_698_3e-8,
        -7.723_734_444_030_106e-8,
        -1.568_918_480_017_406_8e-7,
        2.641_102_687_789_158e-7,
        1.022_096_542_321_798e-6,
        -6.251_638_135_221_944e-7,
        -5.920_128_845_345_293e-6,
        7.149_373_714_821_949e-7,
        3.514_460_635_732_814_5e-5,
        -1.907_831_573_487_961e-6,
        -2.310_949_109_526_524_2e-4,
        1.333_442_462_013_493_5e-4,
        1.630_818_454_148_074_9e-3,
        -3.479_692_361_365_251_5e-3,
        -7.540_188_966_493_278e-3,
        6.039_657_489_065_383e-2,
        -1.865_218_579_596_636e-1,
        3.871_374_007_422_197e-1,
        -6.078_966_419_718_921e-1,
        7.552_851_304_157_515e-1,
    ]
);

#[cfg(test)]
mod tests {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

    use super::*;
    use crate::numeric::Real;

    /// Φ(−a) by the error function of another library, of which a/√2, rounded, is not asked alone.
    fn expected(a: f64) -> f64 {
        let rounded = a * FRAC_1_SQRT_2;
        // What rounding 1/√2 leaves out is −4.83e-17.
        let rest = a.mul_add(FRAC_1_SQRT_2, -rounded) - 4.833_646_656_726_457e-17 * a;
        let slope = -FRAC_2_SQRT_PI * (-rounded * rounded).exp();
        0.5 * (libm::erfc(rounded) + slope * rest)
    }

    /// `of_expected` is by how many roundoffs the other library is off.
    fn check<C: Real + NormalDistribution>(of_expected: f64, smallest: f64) {
        let roundoff = C::EPSILON / 2.0;
        for i in 0..50_000 {
            let a = C::nearest(f64::from(i) * C::FARTHEST.value() / 5e4);
            let [tail, density] = lower_tail(a).map(C::value);
            let (a, exact) = (a.value(), expected(a.value()));
            let off = (tail - exact).abs();
            let most = (7.0 + of_expected) * roundoff * exact + smallest;
            assert!(off <= most, "of {a}: {off:e} beside {exact:e}");
            let exact = a * (-a * a / 2.0).exp() / (2.0 * PI).sqrt();
            let off = (density - exact).abs();
            // The textbook's exponent is rounded.
            let most = (6.0 + of_expected * (1.0 + a * a)) * roundoff * exact + smallest;
            assert!(
                off <= most + a * smallest,
                "at {a}: {off:e} beside {exact:e}"
            );
        }
    }

    #[test]
    fn the_tail_keeps_its_digits() {
        check::<f32>(0.0, f64::from(f32::from_bits(1)));
        check::<f64>(3.0, f64::from_bits(1));
    }

    #[test]
    fn both_ends() {
        assert_eq!(lower_tail(f32::INFINITY), [0.0, 0.0]);
        assert_eq!(lower_tail(f64::INFINITY), [0.0, 0.0]);
        let [tail, density] = lower_tail(0.0f64);
        assert!((tail - 0.5).abs() < 1e-15 && density == 0.0);
        assert!(lower_tail(f32::NAN)[0].is_nan() && lower_tail(f64::NAN)[1].is_nan());
    }
}
