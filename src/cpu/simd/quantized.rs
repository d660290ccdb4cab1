//! The nearest byte of a value, one at a time: what vectors do that have no instructions of their own for it.

/// What has been added to a number within ±2²² has as its lowest bits a whole number, rounded to nearest even: 1.5·2²³, from which on
/// numbers are 1 apart.
const ROUNDS_F32: f32 = 12_582_912.0;
/// The same of `f64`: 1.5·2⁵².
const ROUNDS_F64: f64 = 6_755_399_441_055_744.0;

/// The functions for a type: without branches, so that a loop over them packs.
macro_rules! quantized {
    ($name:ident, $type:ty, $rounds:expr) => {
        /// `clamp(round(value) + zero_point, −128, 127)`, ties to even; NaN as the zero point.
        #[inline(always)]
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lowest byte is the number"
        )]
        pub(crate) fn $name(value: $type, zero_point: $type) -> i8 {
            let (low, high) = (-128.0 - zero_point, 127.0 - zero_point);
            let value = if value.is_nan() { 0.0 } else { value };
            let value = if value < low { low } else { value };
            let value = if value > high { high } else { value };
            ((value + $rounds) + zero_point).to_bits() as i8
        }
    };
}

quantized!(quantized_f32, f32, ROUNDS_F32);
quantized!(quantized_f64, f64, ROUNDS_F64);

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers in range, and rounding that is asked for"
)]
mod tests {
    use super::*;

    fn textbook(value: f64, zero_point: i8) -> i8 {
        if value.is_nan() {
            return zero_point;
        }
        let whole = value.round_ties_even() + f64::from(zero_point);
        whole.clamp(-128.0, 127.0) as i8
    }

    #[test]
    fn every_tie_and_its_neighbours_are_rounded_to_even() {
        for zero_point in [-128, -3, 0, 1, 127i8] {
            for halves in -600..600 {
                let value = f64::from(halves) / 2.0;
                for value in [value, value.next_up(), value.next_down()] {
                    let found = quantized_f64(value, f64::from(zero_point));
                    assert_eq!(found, textbook(value, zero_point), "{value} {zero_point}");
                }
                let value = halves as f32 / 2.0;
                for value in [value, value.next_up(), value.next_down()] {
                    let found = quantized_f32(value, f32::from(zero_point));
                    assert_eq!(
                        found,
                        textbook(value.into(), zero_point),
                        "{value} {zero_point}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_beyond_every_number_has_a_byte() {
        for (value, expected) in [
            (f64::INFINITY, 127),
            (f64::NEG_INFINITY, -128),
            (f64::NAN, -5),
            (1e300, 127),
            (-1e300, -128),
            (-0.0, -5),
            (5e-324, -5),
        ] {
            assert_eq!(quantized_f64(value, -5.0), expected, "{value}");
            assert_eq!(quantized_f32(value as f32, -5.0), expected, "{value}");
        }
    }
}
