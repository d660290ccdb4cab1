//! `out = scales · inputs + shift`, as fast as one thread can move the bytes: with ordinary stores, which leave what they
//! write in the caches (and first read it from memory), or with stores past them.
//!
//! The fastest registers of an x86-64 machine; elsewhere what the compiler makes of a plain loop, with ordinary stores
//! only.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "vendor intrinsics, and entering a function with target features"
    )
)]

/// What the first and the second input are multiplied with. Powers of two: the products are exact, so that a sum has the
/// same bits with and without fused multiply-add.
pub(crate) const SCALES: [f32; 2] = [0.5, 0.25];
/// What is added.
pub(crate) const SHIFT: f32 = 0.75;

/// Where what is written goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stores {
    /// Into the caches, and from there to memory some time.
    WriteBack,
    /// To memory.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other target has stable intrinsics for it")
    )]
    NonTemporal,
}

/// The loops of the best instruction set there is. A value of this type proves that the machine has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream(Instructions);

#[derive(Debug, Clone, Copy)]
enum Instructions {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Stream {
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self(Instructions::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Instructions::Avx2);
            }
        }
        Self(Instructions::Plain)
    }

    /// The stores there are.
    pub(crate) fn stores(self) -> &'static [Stores] {
        match self.0 {
            Instructions::Plain => &[Stores::WriteBack],
            #[cfg(target_arch = "x86_64")]
            _ => &[Stores::WriteBack, Stores::NonTemporal],
        }
    }

    /// Writes `out[i] = SCALES[0]·inputs[0][i] + ... + SHIFT`. All have the same length.
    pub(crate) fn run<const N: usize>(self, stores: Stores, inputs: [&[f32]; N], out: &mut [f32]) {
        const { assert!(N <= SCALES.len()) };
        assert!(inputs.iter().all(|input| input.len() == out.len()));
        match (self.0, stores) {
            (Instructions::Plain, _) => plain(inputs, out),
            // SAFETY: `detect` found AVX2 and FMA; the lengths were checked two lines before.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx2, Stores::WriteBack) => unsafe {
                avx2::run::<N, false>(inputs, out);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx2, Stores::NonTemporal) => unsafe {
                avx2::run::<N, true>(inputs, out);
            },
            // SAFETY: `detect` found AVX-512 F; the lengths were checked above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, Stores::WriteBack) => unsafe {
                avx512::run::<N, false>(inputs, out);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, Stores::NonTemporal) => unsafe {
                avx512::run::<N, true>(inputs, out);
            },
        }
    }
}

/// One value.
#[inline(always)]
pub(crate) fn value<const N: usize>(inputs: [f32; N]) -> f32 {
    let mut sum = SHIFT;
    for k in 0..N {
        sum += SCALES[k] * inputs[k];
    }
    sum
}

#[inline(never)]
fn plain<const N: usize>(inputs: [&[f32]; N], out: &mut [f32]) {
    // Cut to one length, so that no access is checked again.
    let inputs = inputs.map(|input| &input[..out.len()]);
    for i in 0..out.len() {
        out[i] = value(inputs.map(|input| input[i]));
    }
}

/// The loop of one instruction set: the feature, the register and its width, and the words for what is done with it.
macro_rules! stream_with {
    ($name:ident, $features:literal, $register:ident, $lanes:literal, $splat:ident, $load:ident, $fma:ident, $stream:ident) => {
        #[cfg(target_arch = "x86_64")]
        mod $name {
            use std::arch::x86_64::{_mm_sfence, $fma, $load, $register, $splat, $stream};

            use super::{SCALES, SHIFT, plain};

            /// # Safety
            /// Every input is as long as `out`.
            #[inline(never)]
            #[target_feature(enable = $features)]
            pub(super) unsafe fn run<const N: usize, const NON_TEMPORAL: bool>(
                inputs: [&[f32]; N],
                out: &mut [f32],
            ) {
                // SAFETY: a register is so many `f32`, and any bits are one.
                let (head, body, tail) = unsafe { out.align_to_mut::<$register>() };
                let (start, end) = (head.len(), head.len() + $lanes * body.len());
                plain(inputs.map(|input| &input[..start]), head);
                plain(inputs.map(|input| &input[end..]), tail);
                for (index, out) in body.iter_mut().enumerate() {
                    let mut sum = $splat(SHIFT);
                    for k in 0..N {
                        let from = inputs[k].as_ptr().wrapping_add(start + $lanes * index);
                        // SAFETY: `index` is below the number of registers in `out`, and the input is as long (this
                        // function's promise).
                        let input = unsafe { $load(from) };
                        sum = $fma(input, $splat(SCALES[k]), sum);
                    }
                    if NON_TEMPORAL {
                        // SAFETY: a reference to a register is aligned as the store wants it. Nothing reads what it
                        // wrote before the fence.
                        unsafe { $stream(std::ptr::from_mut(out).cast(), sum) };
                    } else {
                        *out = sum;
                    }
                }
                if NON_TEMPORAL {
                    _mm_sfence();
                }
            }
        }
    };
}

stream_with!(
    avx2,
    "avx2,fma",
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_fmadd_ps,
    _mm256_stream_ps
);
stream_with!(
    avx512,
    "avx512f",
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    _mm512_stream_ps
);
