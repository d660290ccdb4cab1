//! The types of values, and how an instruction set reads and writes sixteen of each.

use half::{bf16, f16};

use crate::cpu::simd::aligned::Aligned;
use crate::cpu::simd::{LANES, Simd, Vector};

/// What an element type needs of an instruction set. Sealed: only this crate can name it.
pub trait SimdElement: Sized {
    /// The type computed in.
    type Scalar: Copy + Default;
    /// Sixteen of them.
    type Vector<S: Simd>: Vector<Scalar = Self::Scalar, Wide = S::F64>;
    /// The greatest computed value that is stored as zero: ReLU's output is positive above it.
    const ROUNDS_TO_ZERO: Self::Scalar;
    /// How many times sixteen elements fill a cache line, at least once.
    const VECTORS_IN_LINE: usize = 1;

    /// Sixteen times the same value.
    fn splat<S: Simd>(simd: S, value: Self::Scalar) -> Self::Vector<S>;
    /// Reads 16 values of the compute type.
    fn load_compute<S: Simd>(simd: S, from: &[Self::Scalar; LANES]) -> Self::Vector<S>;
    /// Writes 16 values of the compute type.
    fn store_compute<S: Simd>(simd: S, value: Self::Vector<S>, to: &mut [Self::Scalar; LANES]);
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
}

impl SimdElement for f32 {
    type Scalar = f32;
    type Vector<S: Simd> = S::F32;
    const ROUNDS_TO_ZERO: f32 = 0.0;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: f32) -> S::F32 {
        simd.splat_f32(value)
    }
    #[inline(always)]
    fn load_compute<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load_f32(from)
    }
    #[inline(always)]
    fn store_compute<S: Simd>(simd: S, value: S::F32, to: &mut [f32; LANES]) {
        simd.store_f32(value, to);
    }
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load_f32(from)
    }
    #[inline(always)]
    fn store<S: Simd>(simd: S, value: S::F32, to: &mut [f32; LANES]) {
        simd.store_f32(value, to);
    }
    #[inline(always)]
    fn store_non_temporal<S: Simd, const L: usize>(
        simd: S,
        values: [S::F32; L],
        to: Aligned<'_, f32, L>,
    ) {
        let to = to.line::<1>();
        simd.store_non_temporal_f32(values[0], to);
    }
    #[inline(always)]
    fn load_partial<S: Simd>(simd: S, from: &[f32]) -> S::F32 {
        simd.load_partial_f32(from)
    }
    #[inline(always)]
    fn store_partial<S: Simd>(simd: S, value: S::F32, to: &mut [f32]) {
        simd.store_partial_f32(value, to);
    }
}

impl SimdElement for f64 {
    type Scalar = f64;
    type Vector<S: Simd> = S::F64;
    const ROUNDS_TO_ZERO: f64 = 0.0;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: f64) -> S::F64 {
        simd.splat_f64(value)
    }
    #[inline(always)]
    fn load_compute<S: Simd>(simd: S, from: &[f64; LANES]) -> S::F64 {
        simd.load_f64(from)
    }
    #[inline(always)]
    fn store_compute<S: Simd>(simd: S, value: S::F64, to: &mut [f64; LANES]) {
        simd.store_f64(value, to);
    }
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f64; LANES]) -> S::F64 {
        simd.load_f64(from)
    }
    #[inline(always)]
    fn store<S: Simd>(simd: S, value: S::F64, to: &mut [f64; LANES]) {
        simd.store_f64(value, to);
    }
    #[inline(always)]
    fn store_non_temporal<S: Simd, const L: usize>(
        simd: S,
        values: [S::F64; L],
        to: Aligned<'_, f64, L>,
    ) {
        let to = to.line::<1>();
        simd.store_non_temporal_f64(values[0], to);
    }
    #[inline(always)]
    fn load_partial<S: Simd>(simd: S, from: &[f64]) -> S::F64 {
        simd.load_partial_f64(from)
    }
    #[inline(always)]
    fn store_partial<S: Simd>(simd: S, value: S::F64, to: &mut [f64]) {
        simd.store_partial_f64(value, to);
    }
}

impl SimdElement for f16 {
    const VECTORS_IN_LINE: usize = 2;
    type Scalar = f32;
    type Vector<S: Simd> = S::F32;
    /// 2^-25, half the smallest half: the tie goes to even, to zero.
    const ROUNDS_TO_ZERO: f32 = 1.0 / (1 << 25) as f32;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: f32) -> S::F32 {
        simd.splat_f32(value)
    }
    #[inline(always)]
    fn load_compute<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load_f32(from)
    }
    #[inline(always)]
    fn store_compute<S: Simd>(simd: S, value: S::F32, to: &mut [f32; LANES]) {
        simd.store_f32(value, to);
    }
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f16; LANES]) -> S::F32 {
        simd.load_f16(from)
    }
    #[inline(always)]
    fn store<S: Simd>(simd: S, value: S::F32, to: &mut [f16; LANES]) {
        simd.store_f16(value, to);
    }
    #[inline(always)]
    fn store_non_temporal<S: Simd, const L: usize>(
        simd: S,
        values: [S::F32; L],
        to: Aligned<'_, f16, L>,
    ) {
        let to = to.line::<2>();
        simd.store_non_temporal_f16([values[0], values[1]], to);
    }
    #[inline(always)]
    fn load_partial<S: Simd>(simd: S, from: &[f16]) -> S::F32 {
        simd.load_partial_f16(from)
    }
    #[inline(always)]
    fn store_partial<S: Simd>(simd: S, value: S::F32, to: &mut [f16]) {
        simd.store_partial_f16(value, to);
    }
}

impl SimdElement for bf16 {
    const VECTORS_IN_LINE: usize = 2;
    type Scalar = f32;
    type Vector<S: Simd> = S::F32;
    /// 2^-134, half the smallest bfloat16: the tie goes to even, to zero.
    const ROUNDS_TO_ZERO: f32 = f32::from_bits(0x0000_8000);
    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: f32) -> S::F32 {
        simd.splat_f32(value)
    }
    #[inline(always)]
    fn load_compute<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load_f32(from)
    }
    #[inline(always)]
    fn store_compute<S: Simd>(simd: S, value: S::F32, to: &mut [f32; LANES]) {
        simd.store_f32(value, to);
    }
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[bf16; LANES]) -> S::F32 {
        simd.load_bf16(from)
    }
    #[inline(always)]
    fn store<S: Simd>(simd: S, value: S::F32, to: &mut [bf16; LANES]) {
        simd.store_bf16(value, to);
    }
    #[inline(always)]
    fn store_non_temporal<S: Simd, const L: usize>(
        simd: S,
        values: [S::F32; L],
        to: Aligned<'_, bf16, L>,
    ) {
        let to = to.line::<2>();
        simd.store_non_temporal_bf16([values[0], values[1]], to);
    }
    #[inline(always)]
    fn load_partial<S: Simd>(simd: S, from: &[bf16]) -> S::F32 {
        simd.load_partial_bf16(from)
    }
    #[inline(always)]
    fn store_partial<S: Simd>(simd: S, value: S::F32, to: &mut [bf16]) {
        simd.store_partial_bf16(value, to);
    }
}
