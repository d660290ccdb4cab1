//! From `f64` to the nearest value of another type.

use crate::{DType, Element};

/// The nearest value of type `T`, ties to even; beyond its range infinity.
///
/// `half`'s own conversions look at the upper 32 bits only (or go through `f32`, which rounds twice): a value a little
/// above a tie is then taken for the tie. Marking in the lowest bit they see that there was more below it ("rounding to
/// odd") gives them all they need: those 20 bits are more than `f16` (10) or `bf16` (7) keep, by more than two.
pub(crate) fn nearest<T: Element>(value: f64) -> T {
    match T::DTYPE {
        DType::F16 | DType::BF16 => T::from_f64(round_to_odd(value)),
        DType::F32 | DType::F64 => T::from_f64(value),
    }
}

fn round_to_odd(value: f64) -> f64 {
    let (upper, lower) = (value.to_bits() >> 32, value.to_bits() << 32);
    f64::from_bits((upper | u64::from(lower != 0)) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    /// Every finite positive value and its successor: below, at and above the middle between them.
    fn check_all<T: Element>(from_bits: impl Fn(u16) -> T, infinity: u16) {
        for bits in 0..infinity - 1 {
            let (low, high) = (from_bits(bits), from_bits(bits + 1));
            let middle = f64::midpoint(low.to_f64(), high.to_f64());
            let even = if bits % 2 == 0 { low } else { high };
            assert_eq!(nearest::<T>(middle), even, "{middle:e}");
            assert_eq!(nearest::<T>(middle.next_down()), low, "below {middle:e}");
            assert_eq!(nearest::<T>(middle.next_up()), high, "above {middle:e}");
            assert_eq!(nearest::<T>(low.to_f64()), low);
        }
    }

    #[test]
    fn halves_are_rounded_once() {
        check_all(f16::from_bits, f16::INFINITY.to_bits());
        check_all(bf16::from_bits, bf16::INFINITY.to_bits());
    }

    #[test]
    fn values_beyond_the_range_become_infinite() {
        assert_eq!(nearest::<f16>(65519.99), f16::MAX);
        assert_eq!(nearest::<f16>(65520.0), f16::INFINITY);
        assert_eq!(nearest::<bf16>(-1e39), bf16::NEG_INFINITY);
        assert!(nearest::<f32>(1e39).is_infinite());
        assert!(nearest::<bf16>(f64::NAN).is_nan() && nearest::<f16>(-f64::NAN).is_nan());
        assert!(nearest::<bf16>(f64::from_bits(f64::INFINITY.to_bits() + 1)).is_nan());
    }
}
