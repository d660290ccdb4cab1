//! The level that every machine has: registers of one value, left to the compiler to pack.

use half::{bf16, f16};

use crate::cpu::simd::registers::Registers;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};

/// Plain Rust. Needs nothing, so anyone may make one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

macro_rules! register_of_one {
    ($scalar:ty) => {
        impl Vector for $scalar {
            type Scalar = $scalar;
            type Wide = f64;
            const WIDTH: usize = 1;

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self * other
            }
            // Not `mul_add`: without hardware FMA that is a library call.
            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                self * factor + addend
            }
            #[inline(always)]
            fn relu(self) -> Self {
                if self < 0.0 { 0.0 } else { self }
            }
            #[inline(always)]
            #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN counts as above")]
            fn compare_mask(self, threshold: Self) -> u16 {
                u16::from(!(self <= threshold))
            }
            #[inline(always)]
            fn mask_and(self, bits: u16) -> Self {
                if bits & 1 == 1 { self } else { 0.0 }
            }
            #[inline(always)]
            fn blend(self, bits: u16, other: Self) -> Self {
                if bits & 1 == 1 { self } else { other }
            }
            #[inline(always)]
            #[allow(clippy::useless_conversion, reason = "f64 is a register too")]
            fn widen(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn write(self, to: &mut [Self]) {
                to[0] = self;
            }
        }
    };
}

register_of_one!(f32);
register_of_one!(f64);

impl Simd for Portable {
    type F32 = Registers<f32, LANES>;
    type F64 = Registers<f64, LANES>;
    /// Plain Rust is compiled to several times the code: one stream at a time keeps a build short.
    const FOUR_STREAMS: bool = false;

    #[inline(always)]
    fn splat_f32(self, value: f32) -> Self::F32 {
        Registers([value; LANES])
    }
    #[inline(always)]
    fn splat_f64(self, value: f64) -> Self::F64 {
        Registers([value; LANES])
    }
    #[inline(always)]
    fn load_f32(self, from: &[f32; LANES]) -> Self::F32 {
        Registers(*from)
    }
    #[inline(always)]
    fn load_f64(self, from: &[f64; LANES]) -> Self::F64 {
        Registers(*from)
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        let mut values = [0.0; LANES];
        for i in 0..LANES {
            values[i] = f32_from_f16(from[i]);
        }
        Registers(values)
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        let mut values = [0.0; LANES];
        for i in 0..LANES {
            values[i] = f32::from_bits(u32::from(from[i].to_bits()) << 16);
        }
        Registers(values)
    }
    #[inline(always)]
    fn store_f32(self, value: Self::F32, to: &mut [f32; LANES]) {
        *to = value.0;
    }
    #[inline(always)]
    fn store_f64(self, value: Self::F64, to: &mut [f64; LANES]) {
        *to = value.0;
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]) {
        for i in 0..LANES {
            to[i] = f16::from_f32_const(value.0[i]);
        }
    }
    #[inline(always)]
    fn store_bf16(self, value: Self::F32, to: &mut [bf16; LANES]) {
        for i in 0..LANES {
            to[i] = bf16_from_f32(value.0[i]);
        }
    }
    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    #[inline(never)]
    fn apart<K: Kernel>(self, part: K) -> K::Output {
        part.run(self)
    }
}

/// Exact, and without branches so that it packs: `half`'s own conversion asks the CPU for F16C at every value.
#[inline(always)]
fn f32_from_f16(value: f16) -> f32 {
    let bits = u32::from(value.to_bits());
    let magnitude = (bits & 0x7fff) << 13;
    // Exponent 31 (infinity, NaN) becomes 255; the others are rebiased from 15 to 127 by an exact multiplication,
    // which turns the half's subnormals into normal numbers on its way.
    let rebias = f32::from_bits((127 + 127 - 15) << 23);
    let finite = f32::from_bits(magnitude) * rebias;
    let special = f32::from_bits(magnitude | 0x7f80_0000);
    let absolute = if magnitude >= 0x0f80_0000 {
        special
    } else {
        finite
    };
    f32::from_bits(absolute.to_bits() | (bits & 0x8000) << 16)
}

/// Nearest, ties to even; a NaN stays a (quiet) NaN.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half is what is kept"
)]
fn bf16_from_f32(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x0040;
    bf16::from_bits(if value.is_nan() {
        quiet as u16
    } else {
        rounded as u16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_read_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (ours, theirs) = (f32_from_f16(half), half.to_f32_const());
            assert!(
                ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                "{bits:#06x}"
            );
        }
    }

    #[test]
    fn bfloat16_is_rounded_as_half_rounds_it() {
        for upper in 0..=u16::MAX {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(upper) << 16 | lower);
                let (ours, theirs) = (bf16_from_f32(value), bf16::from_f32(value));
                assert!(
                    ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                    "{value:e}"
                );
            }
        }
    }
}
