//! Vectors of 16 values at every instruction set.
//!
//! Every level computes with vectors of [`LANES`] = 16 values, whatever its registers hold, so a kernel is written once
//! and all levels with fused multiply-add give the same bits. A kernel enters a level through [`dispatch::Dispatch::run`]:
//! everything it calls is `#[inline(always)]` and uses plain `for` loops, because an intrinsic behind a closure or an
//! iterator adaptor is a function call (22 times slower, measured).

pub(crate) mod aligned;
pub(crate) mod dispatch;
pub(crate) mod elements;
#[cfg(all(target_arch = "x86_64", any(feature = "avx2", feature = "avx512")))]
pub(crate) mod frame;
pub(crate) mod opaque;
pub(crate) mod portable;
pub(crate) mod quantized;
pub(crate) mod registers;
pub(crate) mod tail_mask;
pub(crate) mod vector;

#[cfg(all(target_arch = "x86_64", feature = "avx2"))]
pub(crate) mod avx2;
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(any(
    all(target_arch = "x86_64", any(feature = "avx2", feature = "avx512")),
    all(target_arch = "wasm32", target_feature = "simd128"),
    target_arch = "aarch64",
))]
pub(crate) mod pair;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod simd128;

use half::{bf16, f16};

use crate::cpu::simd::aligned::Aligned;
use crate::cpu::simd::quantized::{quantized_f32, quantized_f64};
use crate::cpu::simd::vector::{LANES, Vector};

/// An instruction set. A value of this type proves that the machine has it.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen `f32`.
    type F32: Vector<Scalar = f32, Wide = Self::F64>;
    /// Sixteen `f64`.
    type F64: Vector<Scalar = f64, Wide = Self::F64>;
    /// Whether a pass goes through four streams of memory side by side.
    const FOUR_STREAMS: bool = true;

    /// Sixteen times the same value.
    fn splat_f32(self, value: f32) -> Self::F32;
    /// Sixteen times the same value.
    fn splat_f64(self, value: f64) -> Self::F64;
    /// Reads 16 values.
    fn load_f32(self, from: &[f32; LANES]) -> Self::F32;
    /// Reads 16 values.
    fn load_f64(self, from: &[f64; LANES]) -> Self::F64;
    /// Reads 16 halves as `f32`, exactly.
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32;
    /// Reads 16 bfloat16 as `f32`, exactly.
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32;
    /// Writes 16 values.
    fn store_f32(self, value: Self::F32, to: &mut [f32; LANES]);
    /// Writes 16 values.
    fn store_f64(self, value: Self::F64, to: &mut [f64; LANES]);
    /// Rounds to nearest even and writes 16 halves.
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]);
    /// Rounds to nearest even and writes 16 bfloat16.
    fn store_bf16(self, value: Self::F32, to: &mut [bf16; LANES]);
    /// Writes 16 values past the caches, where the level can.
    #[inline(always)]
    fn store_non_temporal_f32(self, [value]: [Self::F32; 1], to: Aligned<'_, f32, 1>) {
        let [to] = to.get();
        self.store_f32(value, to);
    }
    /// Writes 16 values past the caches, where the level can.
    #[inline(always)]
    fn store_non_temporal_f64(self, [value]: [Self::F64; 1], to: Aligned<'_, f64, 1>) {
        let [to] = to.get();
        self.store_f64(value, to);
    }
    /// Rounds and writes 32 halves past the caches, where the level can.
    #[inline(always)]
    fn store_non_temporal_f16(self, [first, second]: [Self::F32; 2], to: Aligned<'_, f16, 2>) {
        let [to_first, to_second] = to.get();
        self.store_f16(first, to_first);
        self.store_f16(second, to_second);
    }
    /// Rounds and writes 32 bfloat16 past the caches, where the level can.
    #[inline(always)]
    fn store_non_temporal_bf16(self, [first, second]: [Self::F32; 2], to: Aligned<'_, bf16, 2>) {
        let [to_first, to_second] = to.get();
        self.store_bf16(first, to_first);
        self.store_bf16(second, to_second);
    }
    /// Has the cache line at an address loaded into the caches, where the level can. It is a hint, which never faults: the address
    /// may lie beyond the array.
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
    /// The same for a cache line that will be written, so that no other core has it meanwhile.
    #[inline(always)]
    fn prefetch_for_write(self, _: *const u8) {}
    /// Reads fewer than 16 values, then zeros.
    #[inline(always)]
    fn load_partial_f32(self, from: &[f32]) -> Self::F32 {
        let mut values = [f32::default(); LANES];
        values[..from.len()].copy_from_slice(from);
        self.load_f32(&values)
    }
    /// Writes the first of the values, fewer than 16.
    #[inline(always)]
    fn store_partial_f32(self, value: Self::F32, to: &mut [f32]) {
        let mut values = [f32::default(); LANES];
        self.store_f32(value, &mut values);
        to.copy_from_slice(&values[..to.len()]);
    }
    /// Reads fewer than 16 values, then zeros.
    #[inline(always)]
    fn load_partial_f64(self, from: &[f64]) -> Self::F64 {
        let mut values = [f64::default(); LANES];
        values[..from.len()].copy_from_slice(from);
        self.load_f64(&values)
    }
    /// Writes the first of the values, fewer than 16.
    #[inline(always)]
    fn store_partial_f64(self, value: Self::F64, to: &mut [f64]) {
        let mut values = [f64::default(); LANES];
        self.store_f64(value, &mut values);
        to.copy_from_slice(&values[..to.len()]);
    }
    /// Reads fewer than 16 halves, then zeros.
    #[inline(always)]
    fn load_partial_f16(self, from: &[f16]) -> Self::F32 {
        let mut values = [f16::default(); LANES];
        values[..from.len()].copy_from_slice(from);
        self.load_f16(&values)
    }
    /// Writes the first of the values, fewer than 16.
    #[inline(always)]
    fn store_partial_f16(self, value: Self::F32, to: &mut [f16]) {
        let mut values = [f16::default(); LANES];
        self.store_f16(value, &mut values);
        to.copy_from_slice(&values[..to.len()]);
    }
    /// Reads fewer than 16 bfloat16, then zeros.
    #[inline(always)]
    fn load_partial_bf16(self, from: &[bf16]) -> Self::F32 {
        let mut values = [bf16::default(); LANES];
        values[..from.len()].copy_from_slice(from);
        self.load_bf16(&values)
    }
    /// Writes the first of the values, fewer than 16.
    #[inline(always)]
    fn store_partial_bf16(self, value: Self::F32, to: &mut [bf16]) {
        let mut values = [bf16::default(); LANES];
        self.store_bf16(value, &mut values);
        to.copy_from_slice(&values[..to.len()]);
    }
    /// Writes `clamp(round(value) + zero_point, −128, 127)` of 16 values, ties to even, NaN as the zero point.
    #[inline(always)]
    fn store_quantized_f32(self, value: Self::F32, zero_point: Self::F32, to: &mut [i8; LANES]) {
        let (values, zero_points) = (value.to_array(), zero_point.to_array());
        for i in 0..LANES {
            to[i] = quantized_f32(values[i], zero_points[i]);
        }
    }
    /// The same of `f64`.
    #[inline(always)]
    fn store_quantized_f64(self, value: Self::F64, zero_point: Self::F64, to: &mut [i8; LANES]) {
        let (values, zero_points) = (value.to_array(), zero_point.to_array());
        for i in 0..LANES {
            to[i] = quantized_f64(values[i], zero_points[i]);
        }
    }
    /// Runs a kernel with the instruction set enabled.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;
    /// Runs a part of a kernel as a function of its own: what is long and seldom wanted is not repeated in every loop then.
    fn apart<K: Kernel>(self, part: K) -> K::Output;
}

/// Work written once for every instruction set. `run` must be `#[inline(always)]`.
pub trait Kernel {
    /// What it gives.
    type Output;
    /// Does the work with this instruction set.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
