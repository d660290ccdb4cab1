//! The registers: one holds 8 `f32` or 4 `f64`.
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
pub(crate) struct R32(pub(crate) __m256);

#[derive(Clone, Copy)]
pub(crate) struct R64(pub(crate) __m256d);

impl Vector for R32 {
    type Scalar = f32;
    type Wide = Pair<R64>;
    const WIDTH: usize = 8;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found FMA.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2. (The maximum gives its second operand on NaN.)
        Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }
    #[inline(always)]
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "8 bits of a mask"
    )]
    fn compare_mask(self, threshold: Self) -> u16 {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(self.0, threshold.0)) as u16 }
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_and_ps(self.0, lanes_of_8(bits)) })
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_blendv_ps(other.0, self.0, lanes_of_8(bits)) })
    }
    #[inline(always)]
    fn widen(self) -> Pair<R64> {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        unsafe {
            Pair(
                R64(_mm256_cvtps_pd(_mm256_castps256_ps128(self.0))),
                R64(_mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0))),
            )
        }
    }
    #[inline(always)]
    fn write(self, to: &mut [f32]) {
        assert!(to.len() >= Self::WIDTH);
        // SAFETY: AVX2 as above; the line before checked that there is room for 8 values.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }
}

impl Vector for R64 {
    type Scalar = f64;
    type Wide = Self;
    const WIDTH: usize = 4;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found FMA.
        Self(unsafe { _mm256_fmadd_pd(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2. (The maximum gives its second operand on NaN.)
        Self(unsafe { _mm256_max_pd(_mm256_setzero_pd(), self.0) })
    }
    #[inline(always)]
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "4 bits of a mask"
    )]
    fn compare_mask(self, threshold: Self) -> u16 {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_NLE_UQ>(self.0, threshold.0)) as u16 }
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_and_pd(self.0, lanes_of_4(bits)) })
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        // SAFETY: a register exists only where `Avx2::detect` found AVX2.
        Self(unsafe { _mm256_blendv_pd(other.0, self.0, lanes_of_4(bits)) })
    }
    #[inline(always)]
    fn widen(self) -> Self {
        self
    }
    #[inline(always)]
    fn write(self, to: &mut [f64]) {
        assert!(to.len() >= Self::WIDTH);
        // SAFETY: AVX2 as above; the line before checked that there is room for 4 values.
        unsafe { _mm256_storeu_pd(to.as_mut_ptr(), self.0) }
    }
}

/// All bits of the lanes whose bit is set, of eight.
#[inline(always)]
fn lanes_of_8(bits: u16) -> __m256 {
    // SAFETY: called with registers only, which exist only where `Avx2::detect` found AVX2.
    unsafe {
        let lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        let all = _mm256_set1_epi32(i32::from(bits));
        _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, lane), lane))
    }
}

/// All bits of the lanes whose bit is set, of four.
#[inline(always)]
fn lanes_of_4(bits: u16) -> __m256d {
    // SAFETY: called with registers only, which exist only where `Avx2::detect` found AVX2.
    unsafe {
        let lane = _mm256_setr_epi64x(1, 2, 4, 8);
        let all = _mm256_set1_epi64x(i64::from(bits));
        _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(all, lane), lane))
    }
}
