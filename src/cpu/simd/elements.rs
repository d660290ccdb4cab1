//! The types of values, and how an instruction set reads and writes sixteen of each.
//!
//! A type has functions of its own in [`Simd`], because each level has instructions of its own for it; here they get one name.

use half::{bf16, f16};

use crate::cpu::simd::Simd;
use crate::cpu::simd::aligned::{Aligned, CACHE_LINE, NARROWEST_VALUE};
use crate::cpu::simd::vector::{LANES, Vector};
use crate::numeric::{Numeric, Real};

/// What an element type needs of an instruction set. Sealed: only this crate can name it.
pub trait SimdElement: Numeric {
    /// The type computed in.
    type Scalar: Real;
    /// Sixteen of them.
    type Vector<S: Simd>: Vector<Scalar = Self::Scalar, Wide = S::F64>;
    /// The greatest computed value that is stored as zero: ReLU's output is positive above it.
    const ROUNDS_TO_ZERO: Self::Scalar;
    /// The least computed value that is stored as 6 or more: ReLU6's output is less than 6 below it.
    const ROUNDS_TO_SIX: Self::Scalar;
    /// Half of what is from 1 to the next value that is stored.
    const ROUNDOFF: Self::Scalar;
    /// How many times sixteen elements fill a cache line, at least once.
    const VECTORS_IN_LINE: usize = {
        let bytes = LANES * size_of::<Self>();
        if bytes < CACHE_LINE {
            CACHE_LINE / bytes
        } else {
            1
        }
    };

    /// Sixteen times the same value.
    fn splat<S: Simd>(simd: S, value: Self::Scalar) -> Self::Vector<S>;
    /// Reads 16 values of the compute type.
    fn load_compute<S: Simd>(simd: S, from: &[Self::Scalar; LANES]) -> Self::Vector<S>;
    /// Reads 16 elements.
    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> Self::Vector<S>;
    /// Rounds and writes 16 elements.
    fn store<S: Simd>(simd: S, value: Self::Vector<S>, to: &mut [Self; LANES]);
    /// Rounds and writes [`Self::VECTORS_IN_LINE`] times 16 elements past the caches, where the level can.
    fn store_non_temporal<S: Simd, const L: usize>(
        simd: S,
        values: [Self::Vector<S>; L],
        to: Aligned<'_, Self, L>,
    );
    /// Reads fewer than 16 elements, then zeros.
    fn load_partial<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;
    /// Rounds and writes the first of the values, fewer than 16.
    fn store_partial<S: Simd>(simd: S, value: Self::Vector<S>, to: &mut [Self]);
    /// Writes `clamp(round(value) + zero_point, −128, 127)` of 16 values, ties to even, NaN as the zero point.
    fn store_quantized<S: Simd>(
        simd: S,
        value: Self::Vector<S>,
        zero_point: Self::Vector<S>,
        to: &mut [i8; LANES],
    );
}

/// `$vector` is the level's vector of `$scalar`; `$i` counts the vectors in a cache line.
macro_rules! simd_element {
    (
        $element:ty, computed in $scalar:ty as $vector:ident, lines of [$($i:literal),+] ($line:literal), zero up to $zero:expr, six from $six:expr, roundoff $roundoff:expr,
        $splat:ident $load_compute:ident
        $load:ident $store:ident $store_non_temporal:ident $load_partial:ident $store_partial:ident
        $store_quantized:ident
    ) => {
        impl SimdElement for $element {
            type Scalar = $scalar;
            type Vector<S: Simd> = S::$vector;
            const ROUNDS_TO_ZERO: $scalar = $zero;
            const ROUNDS_TO_SIX: $scalar = $six;
            const ROUNDOFF: $scalar = $roundoff;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: $scalar) -> S::$vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn load_compute<S: Simd>(simd: S, from: &[$scalar; LANES]) -> S::$vector {
                simd.$load_compute(from)
            }
            #[inline(always)]
            fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> S::$vector {
                simd.$load(from)
            }
            #[inline(always)]
            fn store<S: Simd>(simd: S, value: S::$vector, to: &mut [Self; LANES]) {
                simd.$store(value, to);
            }
            #[inline(always)]
            fn store_non_temporal<S: Simd, const L: usize>(
                simd: S,
                values: [S::$vector; L],
                to: Aligned<'_, Self, L>,
            ) {
                const { assert!(Self::VECTORS_IN_LINE == $line && size_of::<Self>() >= NARROWEST_VALUE) }
                simd.$store_non_temporal([$(values[$i]),+], to.line::<$line>());
            }
            #[inline(always)]
            fn load_partial<S: Simd>(simd: S, from: &[Self]) -> S::$vector {
                simd.$load_partial(from)
            }
            #[inline(always)]
            fn store_partial<S: Simd>(simd: S, value: S::$vector, to: &mut [Self]) {
                simd.$store_partial(value, to);
            }
            #[inline(always)]
            fn store_quantized<S: Simd>(
                simd: S,
                value: S::$vector,
                zero_point: S::$vector,
                to: &mut [i8; LANES],
            ) {
                simd.$store_quantized(value, zero_point, to);
            }
        }
    };
}

simd_element!(
    f32, computed in f32 as F32, lines of [0] (1), zero up to 0.0, six from 6.0, roundoff f32::EPSILON / 2.0,
    splat_f32 load_f32
    load_f32 store_f32 store_non_temporal_f32 load_partial_f32 store_partial_f32
    store_quantized_f32
);

simd_element!(
    f64, computed in f64 as F64, lines of [0] (1), zero up to 0.0, six from 6.0, roundoff f64::EPSILON / 2.0,
    splat_f64 load_f64
    load_f64 store_f64 store_non_temporal_f64 load_partial_f64 store_partial_f64
    store_quantized_f64
);

// 2^-25, half the smallest half, and 6 − 2^-9, half a step below: ties go to even, to zero and to 6.
simd_element!(
    f16, computed in f32 as F32, lines of [0, 1] (2), zero up to 1.0 / (1 << 25) as f32, six from 6.0 - 1.0 / (1 << 9) as f32, roundoff 1.0 / (1 << 11) as f32,
    splat_f32 load_f32
    load_f16 store_f16 store_non_temporal_f16 load_partial_f16 store_partial_f16
    store_quantized_f32
);

// 2^-134, half the smallest bfloat16, and 6 − 2^-6: ties go to even here too.
simd_element!(
    bf16, computed in f32 as F32, lines of [0, 1] (2), zero up to f32::from_bits(0x0000_8000), six from 6.0 - 1.0 / (1 << 6) as f32, roundoff 1.0 / (1 << 8) as f32,
    splat_f32 load_f32
    load_bf16 store_bf16 store_non_temporal_bf16 load_partial_bf16 store_partial_bf16
    store_quantized_f32
);
