//! AVX2 with FMA and F16C: registers of 8 `f32`.
//!
//! Safety of every block here: an [`Avx2`] is made only by [`Avx2::detect`], a register only through an [`Avx2`],
//! and all functions but the last are inlined into [`Avx2::vectorize`], which has the features enabled.
#![expect(
    unsafe_code,
    reason = "vendor intrinsics, and entering a function with target features"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "an instruction set is a vocabulary"
)]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "the loads and stores used are the unaligned ones"
)]

pub(crate) mod registers;

use std::arch::x86_64::*;

use half::{bf16, f16};
use registers::{R32, R64};

use crate::cpu::simd::aligned::Aligned;
use crate::cpu::simd::frame::align_frame;
use crate::cpu::simd::pair::Pair;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};

/// Proof that the machine has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Self(()))
    }
}

impl Simd for Avx2 {
    type F32 = Pair<R32>;
    type F64 = Pair<Pair<R64>>;

    #[inline(always)]
    fn splat_f32(self, value: f32) -> Self::F32 {
        // SAFETY: `self` proves AVX2.
        let half = R32(unsafe { _mm256_set1_ps(value) });
        Pair(half, half)
    }
    #[inline(always)]
    fn splat_f64(self, value: f64) -> Self::F64 {
        // SAFETY: `self` proves AVX2.
        let quarter = R64(unsafe { _mm256_set1_pd(value) });
        Pair(Pair(quarter, quarter), Pair(quarter, quarter))
    }
    #[inline(always)]
    fn load_f32(self, from: &[f32; LANES]) -> Self::F32 {
        let from = from.as_ptr();
        // SAFETY: `self` proves AVX2; the array has 16 values.
        unsafe {
            Pair(
                R32(_mm256_loadu_ps(from)),
                R32(_mm256_loadu_ps(from.add(8))),
            )
        }
    }
    #[inline(always)]
    fn load_f64(self, from: &[f64; LANES]) -> Self::F64 {
        let from = from.as_ptr();
        // SAFETY: `self` proves AVX2; the array has 16 values.
        unsafe {
            Pair(
                Pair(
                    R64(_mm256_loadu_pd(from)),
                    R64(_mm256_loadu_pd(from.add(4))),
                ),
                Pair(
                    R64(_mm256_loadu_pd(from.add(8))),
                    R64(_mm256_loadu_pd(from.add(12))),
                ),
            )
        }
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        let from = from.as_ptr().cast::<__m128i>();
        // SAFETY: `self` proves F16C; the array has 16 values of 2 bytes, two times 16 bytes.
        unsafe {
            Pair(
                R32(_mm256_cvtph_ps(_mm_loadu_si128(from))),
                R32(_mm256_cvtph_ps(_mm_loadu_si128(from.add(1)))),
            )
        }
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        let from = from.as_ptr().cast::<__m128i>();
        // SAFETY: `self` proves AVX2; the array has 16 values of 2 bytes, two times 16 bytes.
        unsafe {
            Pair(
                widen_bf16(_mm_loadu_si128(from)),
                widen_bf16(_mm_loadu_si128(from.add(1))),
            )
        }
    }
    #[inline(always)]
    fn store_f32(self, value: Self::F32, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: `self` proves AVX2; the array has room for 16 values.
        unsafe {
            _mm256_storeu_ps(to, value.0.0);
            _mm256_storeu_ps(to.add(8), value.1.0);
        }
    }
    #[inline(always)]
    fn store_f64(self, value: Self::F64, to: &mut [f64; LANES]) {
        value.write(to);
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]) {
        let to = to.as_mut_ptr().cast::<__m128i>();
        // SAFETY: `self` proves F16C; the array has room for 16 values of 2 bytes, two times 16 bytes.
        unsafe {
            _mm_storeu_si128(to, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.0.0));
            _mm_storeu_si128(
                to.add(1),
                _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.1.0),
            );
        }
    }
    #[inline(always)]
    fn store_bf16(self, value: Self::F32, to: &mut [bf16; LANES]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: `self` proves AVX2; the array has room for 16 values of 2 bytes, 32 bytes.
        unsafe {
            let packed = _mm256_packus_epi32(round_bf16(value.0), round_bf16(value.1));
            _mm256_storeu_si256(to, _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
    }
    #[inline(always)]
    fn store_non_temporal_f32(self, [value]: [Self::F32; 1], to: Aligned<'_, f32, 1>) {
        let [to] = to.get();
        // SAFETY: `self` proves AVX2; the array has room for 16 values, and is aligned, as its type says.
        unsafe {
            _mm256_stream_ps(to.as_mut_ptr(), value.0.0);
            _mm256_stream_ps(to.as_mut_ptr().add(8), value.1.0);
        }
    }
    #[inline(always)]
    fn store_non_temporal_f64(self, [value]: [Self::F64; 1], to: Aligned<'_, f64, 1>) {
        let [to] = to.get();
        // SAFETY: `self` proves AVX2; the array has room for 16 values, and is aligned, as its type says.
        unsafe {
            _mm256_stream_pd(to.as_mut_ptr(), value.0.0.0);
            _mm256_stream_pd(to.as_mut_ptr().add(4), value.0.1.0);
            _mm256_stream_pd(to.as_mut_ptr().add(8), value.1.0.0);
            _mm256_stream_pd(to.as_mut_ptr().add(12), value.1.1.0);
        }
    }
    #[inline(always)]
    fn store_non_temporal_f16(self, [first, second]: [Self::F32; 2], to: Aligned<'_, f16, 2>) {
        let mut halves = [[f16::ZERO; LANES]; 2];
        self.store_f16(first, &mut halves[0]);
        self.store_f16(second, &mut halves[1]);
        store_halves_non_temporal(self, &halves, to);
    }
    #[inline(always)]
    fn store_non_temporal_bf16(self, [first, second]: [Self::F32; 2], to: Aligned<'_, bf16, 2>) {
        let mut halves = [[bf16::ZERO; LANES]; 2];
        self.store_bf16(first, &mut halves[0]);
        self.store_bf16(second, &mut halves[1]);
        store_halves_non_temporal(self, &halves, to);
    }
    #[inline(always)]
    fn store_quantized_f32(self, value: Self::F32, zero_point: Self::F32, to: &mut [i8; LANES]) {
        let (low, high) = (
            quantized(value.0, zero_point.0),
            quantized(value.1, zero_point.1),
        );
        // SAFETY: `self` proves AVX2; the array has room for 16 bytes.
        unsafe {
            let halves = _mm256_packs_epi32(low, high);
            let halves = _mm256_permute4x64_epi64::<0b11_01_10_00>(halves);
            let (low, high) = (
                _mm256_castsi256_si128(halves),
                _mm256_extracti128_si256::<1>(halves),
            );
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi16(low, high));
        }
    }
    #[inline(always)]
    fn prefetch(self, line: *const u8) {
        // SAFETY: SSE is part of x86-64, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[inline(always)]
    fn prefetch_for_write(self, line: *const u8) {
        // SAFETY: SSE is part of x86-64, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) }
    }
    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            align_frame();
            let output = kernel.run(simd);
            // What was streamed is ordered with nothing else until now.
            // SAFETY: SSE is part of x86-64, and a fence touches no memory.
            #[allow(unused_unsafe, reason = "newer Rust calls it safe")]
            unsafe {
                _mm_sfence();
            }
            output
        }
        // SAFETY: `self` proves the three features.
        unsafe { enabled(self, kernel) }
    }
    #[inline(always)]
    fn apart<K: Kernel>(self, part: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<K: Kernel>(simd: Avx2, part: K) -> K::Output {
            align_frame();
            part.run(simd)
        }
        // SAFETY: `self` proves the three features.
        unsafe { enabled(self, part) }
    }
}

#[inline(always)]
fn widen_bf16(bits: __m128i) -> R32 {
    // SAFETY: called by `load_bf16` only, whose `self` proves AVX2.
    R32(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits))) })
}

/// The upper halves, rounded to nearest even, in the low halves of the lanes; NaN made quiet.
#[inline(always)]
fn round_bf16(value: R32) -> __m256i {
    // SAFETY: a register exists only where `Avx2::detect` found AVX2.
    unsafe {
        let bits = _mm256_castps_si256(value.0);
        let upper = _mm256_srli_epi32::<16>(bits);
        let odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
        let carried = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        let quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
        let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(value.0, value.0));
        _mm256_blendv_epi8(_mm256_srli_epi32::<16>(carried), quiet, is_nan)
    }
}

/// The nearest whole numbers, ties to even, plus the zero point, from −128 to 127; of NaN the zero point.
#[inline(always)]
fn quantized(value: R32, zero_point: R32) -> __m256i {
    // SAFETY: a register exists only where `Avx2::detect` found AVX2.
    unsafe {
        let ordered = _mm256_cmp_ps::<_CMP_ORD_Q>(value.0, value.0);
        let whole = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value.0);
        let moved = _mm256_add_ps(_mm256_and_ps(whole, ordered), zero_point.0);
        let least = _mm256_max_ps(moved, _mm256_set1_ps(-128.0));
        _mm256_cvtps_epi32(_mm256_min_ps(least, _mm256_set1_ps(127.0)))
    }
}

/// Writes 16 values of 2 bytes past the caches, if the place is aligned to a register.
#[inline(always)]
fn store_halves_non_temporal<T>(_: Avx2, from: &[[T; LANES]; 2], to: Aligned<'_, T, 2>) {
    const { assert!(size_of::<[T; LANES]>() == 32) }
    for (from, to) in from.iter().zip(to.get()) {
        // SAFETY: the first argument proves AVX2; both arrays have 32 bytes, and the second is aligned to them: it is the first
        // or the second half of a cache line, as the type of both halves says.
        unsafe {
            let halves = _mm256_loadu_si256(from.as_ptr().cast());
            _mm256_stream_si256(to.as_mut_ptr().cast(), halves);
        }
    }
}
