//! Logarithms, by the rules of `exponential.rs`: the same operations at every instruction set.

use crate::exponential::{Exponential, polynomial};

/// What logarithms take of each type.
pub trait Logarithm: Exponential {
    /// m and n of a normal number m·2ⁿ above zero, m from √½ to √2.
    fn significand_and_exponent(self) -> [Self; 2];
    /// ln(m) / s of m = (1 + s) / (1 − s), by s², for m from √½ to √2.
    fn logarithm_series(square: Self) -> Self;
}

/// ln(1 + t) of t from −1 to 0, within 4 roundoffs: of small t it has the digits that 1 + t would lose. Where 1 + t is less than
/// `least`, a normal number, it is ln(`least`).
#[inline(always)]
pub(crate) fn logarithm_of_one_plus<C: Logarithm>(t: C, least: C) -> C {
    let one = C::from(1.0);
    let sum = one + t;
    // What rounding took from it: nothing, where t is below −½.
    let low = t - (sum - one);
    let sum = if sum < least { least } else { sum };
    let [m, n] = sum.significand_and_exponent();
    let s = (m - one) / (m + one);
    n * C::LN2 + (s * C::logarithm_series(s * s) + (low / sum + n * C::LN2_LOW))
}

/// `$terms` are 2/(2n + 1), from the last to 2.
macro_rules! logarithm {
    ($real:ty, $bits:ty, $signed:ty, $digits:literal, $root_of_half:expr, $terms:expr) => {
        impl Logarithm for $real {
            #[inline(always)]
            #[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "bits")]
            fn significand_and_exponent(self) -> [Self; 2] {
                let least = <$real>::to_bits($root_of_half) as $signed;
                let n = ((self.to_bits() as $signed) - least) >> $digits;
                let m = ((self.to_bits() as $signed) - (n << $digits)) as $bits;
                [<$real>::from_bits(m), n as $real]
            }

            #[inline(always)]
            fn logarithm_series(square: Self) -> Self {
                polynomial(square, $terms)
            }
        }
    };
}

logarithm!(
    f32,
    u32,
    i32,
    23,
    std::f32::consts::FRAC_1_SQRT_2,
    [2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0]
);

logarithm!(
    f64,
    u64,
    i64,
    52,
    std::f64::consts::FRAC_1_SQRT_2,
    [
        2.0 / 21.0,
        2.0 / 19.0,
        2.0 / 17.0,
        2.0 / 15.0,
        2.0 / 13.0,
        2.0 / 11.0,
        2.0 / 9.0,
        2.0 / 7.0,
        2.0 / 5.0,
        2.0 / 3.0,
        2.0
    ]
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Real;

    /// From −1 to 0, and denser at both ends.
    fn arguments() -> impl Iterator<Item = f64> {
        let near_zero = (0..300).map(|i| -0.8f64.powi(i));
        let near_one = (1..50).map(|i| 0.5f64.powi(i) - 1.0);
        near_zero
            .chain(near_one)
            .chain((0..100_000).map(|i| f64::from(i) / -1e5))
    }

    fn check<C: Real>() {
        for t in arguments() {
            let t = C::nearest(t);
            if t.value() == -1.0 {
                continue;
            }
            let found = logarithm_of_one_plus(t, C::nearest(C::SMALLEST_NORMAL)).value();
            let exact = t.value().ln_1p();
            let off = (found - exact).abs();
            let most = 4.0 * (C::EPSILON / 2.0) * exact.abs();
            assert!(off <= most, "{t:?}: {off:e} of {exact:e}");
        }
    }

    #[test]
    fn logarithms_are_off_by_four_roundoffs_at_most() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn both_ends() {
        assert_eq!(logarithm_of_one_plus(0.0f32, 0.5), 0.0);
        let least = 2f64.powi(-30);
        let found = logarithm_of_one_plus(-1.0, least);
        assert!((found - least.ln()).abs() < 1e-14);
        assert_eq!(logarithm_of_one_plus(-1.5, least), found);
    }
}
