//! The registers: one holds 16 `f32` or 8 `f64`.
//!
//! Safety of every block here: only the parent module makes registers, and only where it has the proof that the machine has them.
#![expect(unsafe_code, reason = "vendor intrinsics")]
#![allow(
    clippy::wildcard_imports,
    reason = "an instruction set is a vocabulary"
)]

use std::arch::x86_64::*;

use crate::cpu::simd::pair::Pair;
use crate::cpu::simd::vector::Vector;

#[derive(Clone, Copy)]
pub(crate) struct R32(pub(crate) __m512);

#[derive(Clone, Copy)]
pub(crate) struct R64(pub(crate) __m512d);

impl Vector for R32 {
    type Scalar = f32;
    type Wide = Pair<R64>;
    const WIDTH: usize = 16;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F. (The maximum gives its second
        // operand on NaN.)
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn compare_mask(self, threshold: Self) -> u16 {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(self.0, threshold.0) }
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_maskz_mov_ps(bits, self.0) })
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_mask_mov_ps(other.0, bits, self.0) })
    }
    #[inline(always)]
    fn widen(self) -> Pair<R64> {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F and DQ.
        unsafe {
            Pair(
                R64(_mm512_cvtps_pd(_mm512_castps512_ps256(self.0))),
                R64(_mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(self.0))),
            )
        }
    }
    #[inline(always)]
    fn write(self, to: &mut [f32]) {
        assert!(to.len() >= Self::WIDTH);
        // SAFETY: AVX-512 F as above; the line before checked that there is room for 16 values.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
}

impl Vector for R64 {
    type Scalar = f64;
    type Wide = Self;
    const WIDTH: usize = 8;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_fmadd_pd(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F. (The maximum gives its second
        // operand on NaN.)
        Self(unsafe { _mm512_max_pd(_mm512_setzero_pd(), self.0) })
    }
    #[inline(always)]
    fn compare_mask(self, threshold: Self) -> u16 {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        u16::from(unsafe { _mm512_cmp_pd_mask::<_CMP_NLE_UQ>(self.0, threshold.0) })
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "8 bits of a mask")]
    fn mask_and(self, bits: u16) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_maskz_mov_pd(bits as u8, self.0) })
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "8 bits of a mask")]
    fn blend(self, bits: u16, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx512::detect` found AVX-512 F.
        Self(unsafe { _mm512_mask_mov_pd(other.0, bits as u8, self.0) })
    }
    #[inline(always)]
    fn widen(self) -> Self {
        self
    }
    #[inline(always)]
    fn write(self, to: &mut [f64]) {
        assert!(to.len() >= Self::WIDTH);
        // SAFETY: AVX-512 F as above; the line before checked that there is room for 8 values.
        unsafe { _mm512_storeu_pd(to.as_mut_ptr(), self.0) }
    }
}
