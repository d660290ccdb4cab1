//! Numbers, as far as kernels need to know them. It imports nothing of the kernels, only what is below them.

use std::fmt::Debug;

use half::{bf16, f16};

use crate::cpu::memory::scratch::ScratchElement;
use crate::logarithm::Logarithm;
use crate::normal_distribution::NormalDistribution;

/// A value that is stored. Sealed: only this crate can name it. Users know its methods as those of [`Element`](crate::Element).
pub trait Numeric: Copy + Default + Debug + PartialEq + PartialOrd + Send + Sync + 'static {
    /// The value, exactly.
    fn value(self) -> f64;
    /// The nearest value of this type, ties to even; beyond its range infinity.
    fn nearest(value: f64) -> Self;
}

/// The nearest value of a factor made of finite ones, and instead of infinity the type's largest: a constant channel has x − mean
/// = 0, and zero times infinity would be NaN. `of` are the numbers that it is made of.
pub(crate) fn finite_factor<C: Real>(value: f64, of: &[f64]) -> C {
    let nearest = C::nearest(value);
    let largest = C::nearest(C::LARGEST.copysign(value));
    if nearest.value().is_infinite() && of.iter().all(|of| of.is_finite()) {
        largest
    } else {
        nearest
    }
}

/// A value that is computed with: `f32` or `f64`. Sealed: only this crate can name it.
pub trait Real: Numeric + NormalDistribution + Logarithm + ScratchElement {
    /// The largest finite value.
    const LARGEST: f64;
    /// Smaller ones than this have fewer digits, and are slow.
    const SMALLEST_NORMAL: f64;
    /// From 1 to the next number.
    const EPSILON: f64;
    /// Where squares are less than this on average, some may have lost bits to subnormals, or vanished.
    const SMALLEST_SURE_SQUARE: f64;
    /// A power of two that makes deviations of which squares vanish large enough.
    const ENLARGES: f64;
    /// One that makes those small enough of which squares, or the deviations themselves, overflow.
    const REDUCES: f64;
    /// A power of two that enlarges products of a subnormal number so far that what they lose is not seen in their sum.
    const ENLARGES_PRODUCTS: f64;
}

impl Real for f32 {
    const LARGEST: f64 = f32::MAX as f64;
    const SMALLEST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
    const EPSILON: f64 = f32::EPSILON as f64;
    const SMALLEST_SURE_SQUARE: f64 = 1e-30;
    const ENLARGES: f64 = f64::from_bits((1023 + 100) << 52);
    const REDUCES: f64 = f64::from_bits((1023 - 70) << 52);
    const ENLARGES_PRODUCTS: f64 = f64::from_bits((1023 + 32) << 52);
}

impl Real for f64 {
    const LARGEST: f64 = f64::MAX;
    const SMALLEST_NORMAL: f64 = f64::MIN_POSITIVE;
    const EPSILON: f64 = f64::EPSILON;
    const SMALLEST_SURE_SQUARE: f64 = 1e-280;
    const ENLARGES: f64 = f64::from_bits((1023 + 600) << 52);
    const REDUCES: f64 = f64::from_bits((1023 - 540) << 52);
    const ENLARGES_PRODUCTS: f64 = f64::from_bits((1023 + 64) << 52);
}

impl Numeric for f32 {
    #[inline(always)]
    fn value(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is asked for"
    )]
    fn nearest(value: f64) -> Self {
        value as f32
    }
}

impl Numeric for f64 {
    #[inline(always)]
    fn value(self) -> f64 {
        self
    }
    #[inline(always)]
    fn nearest(value: f64) -> Self {
        value
    }
}

impl Numeric for f16 {
    #[inline(always)]
    fn value(self) -> f64 {
        self.to_f64()
    }
    #[inline(always)]
    fn nearest(value: f64) -> Self {
        f16::from_f64(round_to_odd(value))
    }
}

impl Numeric for bf16 {
    #[inline(always)]
    fn value(self) -> f64 {
        self.to_f64()
    }
    #[inline(always)]
    fn nearest(value: f64) -> Self {
        bf16::from_f64(round_to_odd(value))
    }
}

/// A value that `half` rounds as it would have to round this one.
///
/// Its own conversions look at the upper 32 bits only (or go through `f32`, which rounds twice): a value a little above
/// a tie is then taken for the tie. Marking in the lowest bit they see that there was more below it ("rounding to odd")
/// gives them all they need: those 20 bits are more than `f16` (10) or `bf16` (7) keep, by more than two.
fn round_to_odd(value: f64) -> f64 {
    let (upper, lower) = (value.to_bits() >> 32, value.to_bits() << 32);
    f64::from_bits((upper | u64::from(lower != 0)) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every finite positive value and its successor: below, at and above the middle between them.
    fn check_all<T: Numeric>(from_bits: impl Fn(u16) -> T, infinity: u16) {
        for bits in 0..infinity - 1 {
            let (low, high) = (from_bits(bits), from_bits(bits + 1));
            let middle = f64::midpoint(low.value(), high.value());
            let even = if bits % 2 == 0 { low } else { high };
            assert_eq!(T::nearest(middle), even, "{middle:e}");
            assert_eq!(T::nearest(middle.next_down()), low, "below {middle:e}");
            assert_eq!(T::nearest(middle.next_up()), high, "above {middle:e}");
            assert_eq!(T::nearest(low.value()), low);
        }
    }

    #[test]
    fn halves_are_rounded_once() {
        check_all(f16::from_bits, f16::INFINITY.to_bits());
        check_all(bf16::from_bits, bf16::INFINITY.to_bits());
    }

    #[test]
    fn values_beyond_the_range_become_infinite() {
        assert_eq!(f16::nearest(65519.99), f16::MAX);
        assert_eq!(f16::nearest(65520.0), f16::INFINITY);
        assert_eq!(bf16::nearest(-1e39), bf16::NEG_INFINITY);
        assert!(f32::nearest(1e39).is_infinite());
        assert!(bf16::nearest(f64::NAN).is_nan() && f16::nearest(-f64::NAN).is_nan());
        assert!(bf16::nearest(f64::from_bits(f64::INFINITY.to_bits() + 1)).is_nan());
    }
}
