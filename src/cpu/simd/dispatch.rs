//! THE ONLY INSTRUCTION-SET DISPATCH.

use std::fmt;

#[cfg(all(target_arch = "x86_64", feature = "avx2"))]
use crate::cpu::simd::avx2;
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
use crate::cpu::simd::avx512;
#[cfg(target_arch = "aarch64")]
use crate::cpu::simd::neon;
use crate::cpu::simd::portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::cpu::simd::simd128;
use crate::cpu::simd::{Kernel, Simd};
use crate::error::{Error, Result};

/// The instruction sets that the CPU backend is written for, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// What the compiler makes of plain Rust for the build's target.
    Portable,
    /// 128-bit registers of WebAssembly, in a build with the target feature `simd128`.
    Simd128,
    /// 128-bit registers of aarch64.
    Neon,
    /// 256-bit registers of x86-64, with FMA and F16C.
    Avx2,
    /// 512-bit registers of x86-64 (F, BW, DQ, VL).
    Avx512,
}

impl Level {
    /// The levels that this build has (features `avx2` and `avx512`) and this machine can run, from the least to the most.
    pub fn available() -> Vec<Level> {
        Dispatch::available()
            .into_iter()
            .map(Dispatch::level)
            .collect()
    }

    /// The best level this machine can run.
    pub fn detect() -> Level {
        Dispatch::detect().level()
    }

    /// Its name: `portable`, `simd128`, `neon`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Simd128 => "simd128",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level together with the proof that the machine has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dispatch {
    Portable(Portable),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(simd128::Simd128),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    #[cfg(all(target_arch = "x86_64", feature = "avx2"))]
    Avx2(avx2::Avx2),
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    Avx512(avx512::Avx512),
}

impl Dispatch {
    /// From the least to the most; under Miri, which runs no vendor intrinsics, the first only.
    fn available() -> Vec<Dispatch> {
        let mut levels = vec![Dispatch::Portable(Portable)];
        if cfg!(miri) {
            return levels;
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        levels.push(Dispatch::Simd128(simd128::Simd128));
        #[cfg(target_arch = "aarch64")]
        levels.extend(neon::Neon::detect().map(Dispatch::Neon));
        #[cfg(all(target_arch = "x86_64", feature = "avx2"))]
        levels.extend(avx2::Avx2::detect().map(Dispatch::Avx2));
        #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
        levels.extend(avx512::Avx512::detect().map(Dispatch::Avx512));
        levels.shrink_to_fit();
        levels
    }

    pub(crate) fn detect() -> Self {
        *Self::available()
            .last()
            .unwrap_or(&Dispatch::Portable(Portable))
    }

    pub(crate) fn of(level: Level) -> Result<Self> {
        let available = Self::available();
        available
            .iter()
            .copied()
            .find(|dispatch| dispatch.level() == level)
            .ok_or_else(|| Error::LevelUnavailable {
                asked: level.name(),
                available: available
                    .iter()
                    .map(|dispatch| dispatch.level().name())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    pub(crate) fn level(self) -> Level {
        match self {
            Dispatch::Portable(_) => Level::Portable,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Dispatch::Simd128(_) => Level::Simd128,
            #[cfg(target_arch = "aarch64")]
            Dispatch::Neon(_) => Level::Neon,
            #[cfg(all(target_arch = "x86_64", feature = "avx2"))]
            Dispatch::Avx2(_) => Level::Avx2,
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Dispatch::Avx512(_) => Level::Avx512,
        }
    }

    /// Runs a kernel at this level.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Dispatch::Portable(simd) => simd.vectorize(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Dispatch::Simd128(simd) => simd.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Dispatch::Neon(simd) => simd.vectorize(kernel),
            #[cfg(all(target_arch = "x86_64", feature = "avx2"))]
            Dispatch::Avx2(simd) => simd.vectorize(kernel),
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Dispatch::Avx512(simd) => simd.vectorize(kernel),
        }
    }
}
