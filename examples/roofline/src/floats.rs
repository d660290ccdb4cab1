//! The data types that are measured, and arrays of each as the `f32` that the limit moves: the same memory, so that the limit finds in cache what
//! the passes find there, on the same pages.
#![expect(unsafe_code, reason = "memory of one type read as another")]

use batchnorm::Element;
use clap::ValueEnum;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// The name of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Type {
    F32,
    F16,
    Bf16,
}

#[cfg(feature = "cuda")]
impl Type {
    /// As the library names it.
    pub(crate) fn of_library(self) -> batchnorm::DType {
        match self {
            Type::F32 => batchnorm::DType::F32,
            Type::F16 => batchnorm::DType::F16,
            Type::Bf16 => batchnorm::DType::BF16,
        }
    }
}

/// A type whose arrays can be moved as `f32`.
pub(crate) trait Floats: Element {
    fn floats(values: &[Self]) -> &[f32];
    fn floats_mut(values: &mut [Self]) -> &mut [f32];
}

impl Floats for f32 {
    fn floats(values: &[Self]) -> &[f32] {
        values
    }
    fn floats_mut(values: &mut [Self]) -> &mut [f32] {
        values
    }
}

macro_rules! pairs {
    ($($half:ty),*) => {$(
        /// Pairs, as many as there are at the alignment of `f32`: all but one value at either end.
        impl Floats for $half {
            fn floats(values: &[Self]) -> &[f32] {
                let bits: &[u16] = values.reinterpret_cast();
                // SAFETY: any 32 bits are an `f32`, and `align_to` gives those that are aligned as one.
                unsafe { bits.align_to().1 }
            }
            fn floats_mut(values: &mut [Self]) -> &mut [f32] {
                let bits: &mut [u16] = values.reinterpret_cast_mut();
                // SAFETY: as above; and any 16 bits are a half.
                unsafe { bits.align_to_mut().1 }
            }
        }
    )*};
}

pairs!(f16, bf16);
