//! NEON on aarch64: registers of 4 `f32` or 2 `f64`.
//!
//! Safety of every block here: a [`Neon`] is made only by [`Neon::detect`], a register only through a [`Neon`], and
//! all functions but the last are inlined into [`Neon::vectorize`], which has the feature enabled.
#![expect(
    unsafe_code,
    reason = "vendor intrinsics, and entering a function with target features"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "an instruction set is a vocabulary"
)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use half::{bf16, f16};

use crate::cpu::simd::pair::Pair;
use crate::cpu::simd::registers::Registers;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};

/// Proof that the machine has NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct R32(float32x4_t);

#[derive(Clone, Copy)]
pub(crate) struct R64(float64x2_t);

impl Vector for R32 {
    type Scalar = f32;
    type Wide = Pair<R64>;
    const WIDTH: usize = 4;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // Not the maximum, which makes 0 of -0 where the other levels leave -0. NaN is not below zero.
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        unsafe {
            Self(vreinterpretq_f32_u32(vbicq_u32(
                vreinterpretq_u32_f32(self.0),
                vcltzq_f32(self.0),
            )))
        }
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "4 bits of a mask")]
    fn compare_mask(self, threshold: Self) -> u16 {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        unsafe {
            let lane = vld1q_u32([1, 2, 4, 8].as_ptr());
            vaddvq_u32(vbicq_u32(lane, vcleq_f32(self.0, threshold.0))) as u16
        }
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        unsafe {
            Self(vreinterpretq_f32_u32(vandq_u32(
                vreinterpretq_u32_f32(self.0),
                lanes_of_4(bits),
            )))
        }
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vbslq_f32(lanes_of_4(bits), self.0, other.0) })
    }
    #[inline(always)]
    fn widen(self) -> Pair<R64> {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        unsafe {
            Pair(
                R64(vcvt_f64_f32(vget_low_f32(self.0))),
                R64(vcvt_high_f64_f32(self.0)),
            )
        }
    }
    #[inline(always)]
    fn write(self, to: &mut [f32]) {
        assert!(to.len() >= Self::WIDTH);
        // SAFETY: NEON as above; the line before checked that there is room for 4 values.
        unsafe { vst1q_f32(to.as_mut_ptr(), self.0) }
    }
}

impl Vector for R64 {
    type Scalar = f64;
    type Wide = Self;
    const WIDTH: usize = 2;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vaddq_f64(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vsubq_f64(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vmulq_f64(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vfmaq_f64(addend.0, self.0, factor.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON. (As for `f32`.)
        Self(unsafe {
            vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(self.0), vcltzq_f64(self.0)))
        })
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "2 bits of a mask")]
    fn compare_mask(self, threshold: Self) -> u16 {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        unsafe {
            let lane = vld1q_u64([1, 2].as_ptr());
            vaddvq_u64(vbicq_u64(lane, vcleq_f64(self.0, threshold.0))) as u16
        }
    }
    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe {
            vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(self.0), lanes_of_2(bits)))
        })
    }
    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        // SAFETY: a register exists only where `Neon::detect` found NEON.
        Self(unsafe { vbslq_f64(lanes_of_2(bits), self.0, other.0) })
    }
    #[inline(always)]
    fn widen(self) -> Self {
        self
    }
    #[inline(always)]
    fn write(self, to: &mut [f64]) {
        assert!(to.len() >= Self::WIDTH);
        // SAFETY: NEON as above; the line before checked that there is room for 2 values.
        unsafe { vst1q_f64(to.as_mut_ptr(), self.0) }
    }
}

impl Simd for Neon {
    type F32 = Registers<R32, 4>;
    type F64 = Registers<Pair<R64>, 4>;

    #[inline(always)]
    fn splat_f32(self, value: f32) -> Self::F32 {
        // SAFETY: `self` proves NEON.
        Registers([R32(unsafe { vdupq_n_f32(value) }); 4])
    }
    #[inline(always)]
    fn splat_f64(self, value: f64) -> Self::F64 {
        // SAFETY: `self` proves NEON.
        let half = R64(unsafe { vdupq_n_f64(value) });
        Registers([Pair(half, half); 4])
    }
    #[inline(always)]
    fn load_f32(self, from: &[f32; LANES]) -> Self::F32 {
        let mut lanes = self.splat_f32(0.0);
        for i in 0..4 {
            // SAFETY: `self` proves NEON; the array has 16 values, of which this reads 4 from 4 i.
            lanes.0[i] = R32(unsafe { vld1q_f32(from.as_ptr().add(4 * i)) });
        }
        lanes
    }
    #[inline(always)]
    fn load_f64(self, from: &[f64; LANES]) -> Self::F64 {
        let mut lanes = self.splat_f64(0.0);
        for i in 0..4 {
            // SAFETY: `self` proves NEON; the array has 16 values, of which this reads 4 from 4 i.
            lanes.0[i] = unsafe {
                Pair(
                    R64(vld1q_f64(from.as_ptr().add(4 * i))),
                    R64(vld1q_f64(from.as_ptr().add(4 * i + 2))),
                )
            };
        }
        lanes
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        let mut lanes = self.splat_f32(0.0);
        for i in 0..4 {
            // SAFETY: `self` proves NEON; the array has 16 values, of which this reads 4 from 4 i. FCVTL is part of
            // base NEON and touches nothing but its registers (the intrinsic for it is not stable).
            lanes.0[i] = R32(unsafe {
                let halves = vld1_u16(from.as_ptr().cast::<u16>().add(4 * i));
                let values: float32x4_t;
                asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) values, in(vreg) halves,
                    options(pure, nomem, nostack, preserves_flags));
                values
            });
        }
        lanes
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        let mut lanes = self.splat_f32(0.0);
        for i in 0..4 {
            // SAFETY: `self` proves NEON; the array has 16 values, of which this reads 4 from 4 i.
            lanes.0[i] = R32(unsafe {
                vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(
                    from.as_ptr().cast::<u16>().add(4 * i),
                ))))
            });
        }
        lanes
    }
    #[inline(always)]
    fn store_f32(self, value: Self::F32, to: &mut [f32; LANES]) {
        for i in 0..4 {
            value.0[i].write(&mut to[4 * i..4 * i + 4]);
        }
    }
    #[inline(always)]
    fn store_f64(self, value: Self::F64, to: &mut [f64; LANES]) {
        for i in 0..4 {
            value.0[i].write(&mut to[4 * i..4 * i + 4]);
        }
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]) {
        for i in 0..4 {
            // SAFETY: `self` proves NEON; the array has room for 16 values, of which this writes 4 from 4 i. FCVTN is
            // part of base NEON and touches nothing but its registers; Rust never changes the rounding mode.
            unsafe {
                let halves: uint16x4_t;
                asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) halves, in(vreg) value.0[i].0,
                    options(pure, nomem, nostack, preserves_flags));
                vst1_u16(to.as_mut_ptr().cast::<u16>().add(4 * i), halves);
            }
        }
    }
    #[inline(always)]
    fn store_bf16(self, value: Self::F32, to: &mut [bf16; LANES]) {
        for i in 0..4 {
            let value = value.0[i].0;
            // SAFETY: `self` proves NEON; the array has room for 16 values, of which this writes 4 from 4 i.
            unsafe {
                let bits = vreinterpretq_u32_f32(value);
                let upper = vshrq_n_u32::<16>(bits);
                let odd = vandq_u32(upper, vdupq_n_u32(1));
                let carried = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
                let quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
                let rounded = vbslq_u32(vceqq_f32(value, value), vshrq_n_u32::<16>(carried), quiet);
                vst1_u16(to.as_mut_ptr().cast::<u16>().add(4 * i), vmovn_u32(rounded));
            }
        }
    }
    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn enabled<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves NEON.
        unsafe { enabled(self, kernel) }
    }
    #[inline(always)]
    fn apart<K: Kernel>(self, part: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "neon")]
        fn enabled<K: Kernel>(simd: Neon, part: K) -> K::Output {
            part.run(simd)
        }
        // SAFETY: `self` proves NEON.
        unsafe { enabled(self, part) }
    }
}

/// All bits of the lanes whose bit is set, of four.
#[inline(always)]
fn lanes_of_4(bits: u16) -> uint32x4_t {
    // SAFETY: called with registers only, which exist only where `Neon::detect` found NEON; the array has four values.
    unsafe {
        let lane = vld1q_u32([1, 2, 4, 8].as_ptr());
        vtstq_u32(vdupq_n_u32(u32::from(bits)), lane)
    }
}

/// All bits of the lanes whose bit is set, of two.
#[inline(always)]
fn lanes_of_2(bits: u16) -> uint64x2_t {
    // SAFETY: called with registers only, which exist only where `Neon::detect` found NEON; the array has two values.
    unsafe { vtstq_u64(vdupq_n_u64(u64::from(bits)), vld1q_u64([1, 2].as_ptr())) }
}
