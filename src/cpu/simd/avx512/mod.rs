//! AVX-512 (F, BW, DQ, VL): one register holds 16 `f32`.
//!
//! Safety of every block here: an [`Avx512`] is made only by [`Avx512::detect`], a register only through an
//! [`Avx512`], and all functions but the last are inlined into [`Avx512::vectorize`], which has the features enabled.
//! (The bfloat16 conversions of AVX512-BF16 are not used: they flush subnormals to zero.)
#![expect(
    unsafe_code,
    reason = "vendor intrinsics, and entering a function with target features"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "an instruction set is a vocabulary"
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

/// Proof that the machine has AVX-512 F, BW, DQ and VL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl"))
        .then_some(Self(()))
    }
}

/// Sixteen values of 2 bytes, and back.
impl Avx512 {
    #[inline(always)]
    fn of_f16(_: Self, halves: __m256i) -> R32 {
        // Nothing is rounded; but the other form cannot read from memory in the same instruction.
        // SAFETY: the first argument proves AVX-512 F.
        R32(unsafe { _mm512_cvt_roundph_ps::<_MM_FROUND_CUR_DIRECTION>(halves) })
    }
    #[inline(always)]
    fn of_bf16(_: Self, halves: __m256i) -> R32 {
        // SAFETY: the first argument proves AVX-512 F.
        R32(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))) })
    }
    #[inline(always)]
    fn to_f16(_: Self, value: R32) -> __m256i {
        // SAFETY: the first argument proves AVX-512 F.
        unsafe { _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.0) }
    }
    #[inline(always)]
    fn to_bf16(simd: Self, value: R32) -> __m256i {
        // SAFETY: the first argument proves AVX-512 F.
        unsafe { _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(Self::rounded(simd, value))) }
    }
    /// Rounded to bfloat16, each in the upper half of its lane.
    #[inline(always)]
    fn rounded(_: Self, value: R32) -> __m512i {
        let value = value.0;
        // SAFETY: the first argument proves AVX-512 F.
        unsafe {
            let bits = _mm512_castps_si512(value);
            // NaNs stay as they are: their upper halves are NaNs, for they come from an operation or from a bfloat16.
            let ordered = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(value, value);
            let odd = _mm512_mask_test_epi32_mask(ordered, bits, _mm512_set1_epi32(1 << 16));
            let below = _mm512_mask_add_epi32(bits, ordered, bits, _mm512_set1_epi32(0x7fff));
            _mm512_mask_add_epi32(below, odd, bits, _mm512_set1_epi32(0x8000))
        }
    }
}

impl Simd for Avx512 {
    type F32 = R32;
    type F64 = Pair<R64>;

    #[inline(always)]
    fn splat_f32(self, value: f32) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 F.
        R32(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    fn splat_f64(self, value: f64) -> Self::F64 {
        // SAFETY: `self` proves AVX-512 F.
        let half = R64(unsafe { _mm512_set1_pd(value) });
        Pair(half, half)
    }
    #[inline(always)]
    fn load_f32(self, from: &[f32; LANES]) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 F; the array has 16 values.
        R32(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn load_f64(self, from: &[f64; LANES]) -> Self::F64 {
        let from = from.as_ptr();
        // SAFETY: `self` proves AVX-512 F; the array has 16 values.
        unsafe {
            Pair(
                R64(_mm512_loadu_pd(from)),
                R64(_mm512_loadu_pd(from.add(8))),
            )
        }
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 F; the array has 16 values of 2 bytes, 32 bytes.
        Self::of_f16(self, unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 F; the array has 16 values of 2 bytes, 32 bytes.
        Self::of_bf16(self, unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
    }
    #[inline(always)]
    fn store_f32(self, value: Self::F32, to: &mut [f32; LANES]) {
        value.write(to);
    }
    #[inline(always)]
    fn store_f64(self, value: Self::F64, to: &mut [f64; LANES]) {
        value.write(to);
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]) {
        // SAFETY: `self` proves AVX-512 F; the array has room for 16 values of 2 bytes, 32 bytes.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), Self::to_f16(self, value)) }
    }
    #[inline(always)]
    fn store_bf16(self, value: Self::F32, to: &mut [bf16; LANES]) {
        // SAFETY: `self` proves AVX-512 F; the array has room for 16 values of 2 bytes, 32 bytes.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), Self::to_bf16(self, value)) }
    }
    #[inline(always)]
    fn store_non_temporal_f32(self, [value]: [Self::F32; 1], to: Aligned<'_, f32, 1>) {
        // SAFETY: `self` proves AVX-512 F; the array has room for 16 values, and is aligned, as its type says.
        unsafe { _mm512_stream_ps(to.get()[0].as_mut_ptr(), value.0) }
    }
    #[inline(always)]
    fn store_non_temporal_f64(self, [value]: [Self::F64; 1], to: Aligned<'_, f64, 1>) {
        let [to] = to.get();
        // SAFETY: `self` proves AVX-512 F; the array has room for 16 values, and is aligned, as its type says.
        unsafe {
            _mm512_stream_pd(to.as_mut_ptr(), value.0.0);
            _mm512_stream_pd(to.as_mut_ptr().add(8), value.1.0);
        }
    }
    #[inline(always)]
    fn store_non_temporal_f16(self, [first, second]: [Self::F32; 2], to: Aligned<'_, f16, 2>) {
        store_halves_non_temporal([Self::to_f16(self, first), Self::to_f16(self, second)], to);
    }
    #[inline(always)]
    fn store_non_temporal_bf16(self, [first, second]: [Self::F32; 2], to: Aligned<'_, bf16, 2>) {
        let rounded = [Self::rounded(self, first), Self::rounded(self, second)];
        // SAFETY: `self` proves AVX-512 F and BW; the array has room for 64 bytes, and is aligned to them, as its type says.
        unsafe {
            let line = _mm512_permutex2var_epi16(rounded[0], upper_halves(), rounded[1]);
            _mm512_stream_si512(to.get().as_mut_ptr().cast(), line);
        }
    }
    #[inline(always)]
    fn load_partial_f32(self, from: &[f32]) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 F; the lanes whose bits are set are in the slice, and no others are touched.
        R32(unsafe { _mm512_maskz_loadu_ps(first_lanes(from.len()), from.as_ptr()) })
    }
    #[inline(always)]
    fn store_partial_f32(self, value: Self::F32, to: &mut [f32]) {
        // SAFETY: `self` proves AVX-512 F; the lanes whose bits are set are in the slice, and no others are touched.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), value.0) }
    }
    #[inline(always)]
    fn load_partial_f16(self, from: &[f16]) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 BW and VL; the lanes whose bits are set are in the slice, and no others are touched.
        Self::of_f16(self, unsafe {
            _mm256_maskz_loadu_epi16(first_lanes(from.len()), from.as_ptr().cast())
        })
    }
    #[inline(always)]
    fn store_partial_f16(self, value: Self::F32, to: &mut [f16]) {
        let (lanes, halves) = (first_lanes(to.len()), Self::to_f16(self, value));
        // SAFETY: `self` proves AVX-512 BW and VL; the lanes whose bits are set are in the slice, and no others are touched.
        unsafe { _mm256_mask_storeu_epi16(to.as_mut_ptr().cast(), lanes, halves) }
    }
    #[inline(always)]
    fn load_partial_bf16(self, from: &[bf16]) -> Self::F32 {
        // SAFETY: `self` proves AVX-512 BW and VL; the lanes whose bits are set are in the slice, and no others are touched.
        Self::of_bf16(self, unsafe {
            _mm256_maskz_loadu_epi16(first_lanes(from.len()), from.as_ptr().cast())
        })
    }
    #[inline(always)]
    fn store_partial_bf16(self, value: Self::F32, to: &mut [bf16]) {
        let (lanes, halves) = (first_lanes(to.len()), Self::to_bf16(self, value));
        // SAFETY: `self` proves AVX-512 BW and VL; the lanes whose bits are set are in the slice, and no others are touched.
        unsafe { _mm256_mask_storeu_epi16(to.as_mut_ptr().cast(), lanes, halves) }
    }
    #[inline(always)]
    fn store_quantized_f32(self, value: Self::F32, zero_point: Self::F32, to: &mut [i8; LANES]) {
        // SAFETY: `self` proves AVX-512 F; the array has room for 16 bytes.
        unsafe {
            let ordered = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(value.0, value.0);
            let whole = _mm512_maskz_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(ordered, value.0);
            let moved = _mm512_add_ps(whole, zero_point.0);
            let least = _mm512_max_ps(moved, _mm512_set1_ps(-128.0));
            let kept = _mm512_min_ps(least, _mm512_set1_ps(127.0));
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(kept));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
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
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn enabled<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
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
        // SAFETY: `self` proves the four features.
        unsafe { enabled(self, kernel) }
    }
    #[inline(always)]
    fn apart<K: Kernel>(self, part: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn enabled<K: Kernel>(simd: Avx512, part: K) -> K::Output {
            align_frame();
            part.run(simd)
        }
        // SAFETY: `self` proves the four features.
        unsafe { enabled(self, part) }
    }
}

/// The bits of the first lanes, fewer than 16.
#[inline(always)]
fn first_lanes(count: usize) -> u16 {
    assert!(count < LANES);
    (1 << count) - 1
}

/// Which halves of two registers are the upper ones of their lanes.
#[inline(always)]
fn upper_halves() -> __m512i {
    const PLACES: [u16; 2 * LANES] = {
        let mut places = [1; 2 * LANES];
        let mut i = 1;
        while i < places.len() {
            places[i] = places[i - 1] + 2;
            i += 1;
        }
        places
    };
    // SAFETY: called beneath an `Avx512` only, which proves AVX-512 F; the array has 64 bytes.
    unsafe { _mm512_loadu_si512(PLACES.as_ptr().cast()) }
}

/// Writes 16 values of 2 bytes past the caches, if the place is aligned to them.
#[inline(always)]
fn store_halves_non_temporal<T>([first, second]: [__m256i; 2], to: Aligned<'_, T, 2>) {
    const { assert!(size_of::<[[T; LANES]; 2]>() == 64) }
    // SAFETY: halves come from an `Avx512` only, which proves AVX-512 F; the array has room for 64 bytes, and is aligned to
    // them, as its type says.
    unsafe {
        let line = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
        _mm512_stream_si512(to.get().as_mut_ptr().cast(), line);
    }
}
