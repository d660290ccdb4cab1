//! SIMD of WebAssembly: registers of 4 `f32` or 2 `f64`.
//!
//! A module that has these instructions does not load where they are missing, so a build has this level or it has not: the target
//! feature `simd128` says so. There is no fused multiply-add, and the bits are those of the portable level.
#![allow(
    clippy::wildcard_imports,
    reason = "an instruction set is a vocabulary"
)]

use std::arch::wasm32::*;

use bytemuck::cast;
use half::{bf16, f16};

use crate::cpu::simd::pair::Pair;
use crate::cpu::simd::registers::Registers;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};

/// The instruction set. Where it compiles it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simd128;

#[derive(Clone, Copy)]
pub(crate) struct R32(v128);

#[derive(Clone, Copy)]
pub(crate) struct R64(v128);

impl Vector for R32 {
    type Scalar = f32;
    type Wide = Pair<R64>;
    const WIDTH: usize = 4;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // Not the maximum, which makes 0 of -0 where the other levels leave -0. NaN is not below zero.
        Self(v128_andnot(self.0, f32x4_lt(self.0, f32x4_splat(0.0))))
    }
    #[inline(always)]
    fn compare_mask(self, threshold: Self) -> u16 {
        u16::from(i32x4_bitmask(v128_not(f32x4_le(self.0, threshold.0))))
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        Self(v128_and(self.0, lanes_of_4(bits)))
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        Self(v128_bitselect(self.0, other.0, lanes_of_4(bits)))
    }
    #[inline(always)]
    fn widen(self) -> Pair<R64> {
        let upper = i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0);
        Pair(
            R64(f64x2_promote_low_f32x4(self.0)),
            R64(f64x2_promote_low_f32x4(upper)),
        )
    }
    #[inline(always)]
    fn write(self, to: &mut [f32]) {
        to[..Self::WIDTH].copy_from_slice(&cast::<v128, [f32; 4]>(self.0));
    }
}

impl Vector for R64 {
    type Scalar = f64;
    type Wide = Self;
    const WIDTH: usize = 2;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f64x2_add(self.0, other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(f64x2_sub(self.0, other.0))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f64x2_mul(self.0, other.0))
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Self(v128_andnot(self.0, f64x2_lt(self.0, f64x2_splat(0.0))))
    }
    #[inline(always)]
    fn compare_mask(self, threshold: Self) -> u16 {
        u16::from(i64x2_bitmask(v128_not(f64x2_le(self.0, threshold.0))))
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        Self(v128_and(self.0, lanes_of_2(bits)))
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        Self(v128_bitselect(self.0, other.0, lanes_of_2(bits)))
    }
    #[inline(always)]
    fn widen(self) -> Self {
        self
    }
    #[inline(always)]
    fn write(self, to: &mut [f64]) {
        to[..Self::WIDTH].copy_from_slice(&cast::<v128, [f64; 2]>(self.0));
    }
}

impl Simd for Simd128 {
    type F32 = Registers<R32, 4>;
    type F64 = Registers<Pair<R64>, 4>;
    /// Most engines have the sixteen registers of SSE to put them in.
    const FOUR_STREAMS: bool = false;

    #[inline(always)]
    fn splat_f32(self, value: f32) -> Self::F32 {
        Registers([R32(f32x4_splat(value)); 4])
    }
    #[inline(always)]
    fn splat_f64(self, value: f64) -> Self::F64 {
        let half = R64(f64x2_splat(value));
        Registers([Pair(half, half); 4])
    }
    #[inline(always)]
    fn load_f32(self, from: &[f32; LANES]) -> Self::F32 {
        let [a, b, c, d] = cast::<_, [v128; 4]>(*from);
        Registers([R32(a), R32(b), R32(c), R32(d)])
    }
    #[inline(always)]
    fn load_f64(self, from: &[f64; LANES]) -> Self::F64 {
        let [a, b, c, d] = cast::<_, [[v128; 2]; 4]>(*from);
        Registers([pair(a), pair(b), pair(c), pair(d)])
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        let [a, b, c, d] = widened(cast(*from));
        Registers([
            R32(f32_from_f16(a)),
            R32(f32_from_f16(b)),
            R32(f32_from_f16(c)),
            R32(f32_from_f16(d)),
        ])
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        let [a, b, c, d] = widened(cast(*from));
        Registers([
            R32(i32x4_shl(a, 16)),
            R32(i32x4_shl(b, 16)),
            R32(i32x4_shl(c, 16)),
            R32(i32x4_shl(d, 16)),
        ])
    }
    #[inline(always)]
    fn store_f32(self, value: Self::F32, to: &mut [f32; LANES]) {
        let [a, b, c, d] = value.0;
        *to = cast([a.0, b.0, c.0, d.0]);
    }
    #[inline(always)]
    fn store_f64(self, value: Self::F64, to: &mut [f64; LANES]) {
        let [a, b, c, d] = value.0;
        *to = cast([
            [a.0.0, a.1.0],
            [b.0.0, b.1.0],
            [c.0.0, c.1.0],
            [d.0.0, d.1.0],
        ]);
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]) {
        let [a, b, c, d] = value.0;
        *to = cast([
            u16x8_narrow_i32x4(f16_from_f32(a.0), f16_from_f32(b.0)),
            u16x8_narrow_i32x4(f16_from_f32(c.0), f16_from_f32(d.0)),
        ]);
    }
    #[inline(always)]
    fn store_bf16(self, value: Self::F32, to: &mut [bf16; LANES]) {
        let [a, b, c, d] = value.0;
        *to = cast([
            u16x8_narrow_i32x4(bf16_from_f32(a.0), bf16_from_f32(b.0)),
            u16x8_narrow_i32x4(bf16_from_f32(c.0), bf16_from_f32(d.0)),
        ]);
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

#[inline(always)]
fn pair([lower, upper]: [v128; 2]) -> Pair<R64> {
    Pair(R64(lower), R64(upper))
}

/// All bits of the lanes whose bit is set, of four.
#[inline(always)]
fn lanes_of_4(bits: u16) -> v128 {
    let lane = i32x4(1, 2, 4, 8);
    i32x4_eq(v128_and(i32x4_splat(i32::from(bits)), lane), lane)
}

/// All bits of the lanes whose bit is set, of two.
#[inline(always)]
fn lanes_of_2(bits: u16) -> v128 {
    let lane = i64x2(1, 2);
    i64x2_eq(v128_and(i64x2_splat(i64::from(bits)), lane), lane)
}

/// Sixteen values of 16 bits, each in 32.
#[inline(always)]
fn widened([first, second]: [v128; 2]) -> [v128; 4] {
    [
        u32x4_extend_low_u16x8(first),
        u32x4_extend_high_u16x8(first),
        u32x4_extend_low_u16x8(second),
        u32x4_extend_high_u16x8(second),
    ]
}

/// Exact. Exponent 31 (infinity, NaN) becomes 255; the others are rebiased from 15 to 127 by an exact multiplication, which turns
/// the half's subnormals into normal numbers on its way.
#[inline(always)]
fn f32_from_f16(bits: v128) -> v128 {
    let magnitude = i32x4_shl(v128_and(bits, i32x4_splat(0x7fff)), 13);
    let rebias = f32x4_splat(f32::from_bits((127 + 127 - 15) << 23));
    let finite = f32x4_mul(magnitude, rebias);
    let special = v128_or(magnitude, i32x4_splat(0x7f80_0000));
    let is_special = i32x4_ge(magnitude, i32x4_splat(0x0f80_0000));
    let absolute = v128_bitselect(special, finite, is_special);
    v128_or(absolute, i32x4_shl(v128_and(bits, i32x4_splat(0x8000)), 16))
}

/// Nearest, ties to even; a NaN stays a (quiet) NaN with as much of its payload as there is room for.
#[inline(always)]
fn f16_from_f32(value: v128) -> v128 {
    let magnitude = v128_and(value, i32x4_splat(0x7fff_ffff));
    // Rebiased from 127 to 15, and rounded by what is carried into the bits that stay.
    let odd = v128_and(u32x4_shr(magnitude, 13), i32x4_splat(1));
    let carried = i32x4_add(magnitude, i32x4_add(odd, i32x4_splat(0xfff - (112 << 23))));
    let normal = u32x4_shr(carried, 13);
    // The last digit of 0.5 is the smallest half: the addition rounds to it.
    let one_half = f32x4_splat(0.5);
    let subnormal = i32x4_sub(f32x4_add(magnitude, one_half), one_half);
    let is_subnormal = i32x4_lt(magnitude, i32x4_splat((127 - 14) << 23));
    let finite = v128_bitselect(subnormal, normal, is_subnormal);
    let payload = v128_and(u32x4_shr(magnitude, 13), i32x4_splat(0x3ff));
    let is_nan = i32x4_gt(magnitude, i32x4_splat(0x7f80_0000));
    let special = v128_bitselect(
        v128_or(payload, i32x4_splat(0x7e00)),
        i32x4_splat(0x7c00),
        is_nan,
    );
    let is_special = i32x4_ge(magnitude, i32x4_splat((127 + 16) << 23));
    let absolute = v128_bitselect(special, finite, is_special);
    v128_or(
        absolute,
        v128_and(u32x4_shr(value, 16), i32x4_splat(0x8000)),
    )
}

/// Nearest, ties to even; a NaN stays a (quiet) NaN.
#[inline(always)]
fn bf16_from_f32(value: v128) -> v128 {
    let upper = u32x4_shr(value, 16);
    let odd = v128_and(upper, i32x4_splat(1));
    let carried = i32x4_add(value, i32x4_add(odd, i32x4_splat(0x7fff)));
    let quiet = v128_or(upper, i32x4_splat(0x40));
    v128_bitselect(u32x4_shr(carried, 16), quiet, f32x4_eq(value, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Copy, const N: usize>(values: &[T]) -> &[T; N] {
        values.try_into().unwrap()
    }

    #[test]
    fn every_half_is_read_exactly() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for sixteen in all.chunks_exact(LANES) {
            let halves: Vec<f16> = sixteen.iter().map(|&bits| f16::from_bits(bits)).collect();
            let found = Simd128.load_f16(read(&halves)).to_array();
            for (found, half) in found.iter().zip(&halves) {
                let expected = half.to_f32_const();
                assert!(
                    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                    "{half:?}"
                );
            }
        }
    }

    /// Each half, its neighbours in `f32`, and the middles between it and the next.
    #[test]
    fn halves_are_rounded_as_half_rounds_them() {
        for upper in 0..=u16::MAX {
            let f16_value = f16::from_bits(upper).to_f32_const().to_bits();
            let bf16_value = u32::from(upper) << 16;
            let near = |bits: u32, middle: u32| {
                [0, 1, middle - 1, middle, middle + 1, 2 * middle - 1]
                    .map(|offset| f32::from_bits(bits.wrapping_add(offset)))
            };
            let mut values = [0.0; LANES];
            values[..6].copy_from_slice(&near(f16_value, 1 << 12));
            values[6..12].copy_from_slice(&near(bf16_value, 1 << 15));
            values[12] = f16::from_bits(upper).to_f32_const() + 2f32.powi(-25);
            let mut halves = [f16::ZERO; LANES];
            let mut bfloats = [bf16::ZERO; LANES];
            Simd128.store_f16(Simd128.load_f32(&values), &mut halves);
            Simd128.store_bf16(Simd128.load_f32(&values), &mut bfloats);
            for i in 0..LANES {
                let expected = f16::from_f32_const(values[i]);
                assert!(
                    halves[i].to_bits() == expected.to_bits()
                        || halves[i].is_nan() && expected.is_nan(),
                    "{:e}",
                    values[i]
                );
                let expected = bf16::from_f32(values[i]);
                assert!(
                    bfloats[i].to_bits() == expected.to_bits()
                        || bfloats[i].is_nan() && expected.is_nan(),
                    "{:e}",
                    values[i]
                );
            }
        }
    }
}
