//! The data types, and the one place where each is given what it needs.

use std::fmt::{self, Debug};

use half::{bf16, f16};

use crate::cpu::simd::SimdElement;

/// The name of a data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

/// A data type of the values x, y, dx, dy: `f32`, `f16`, `bf16` or `f64`. Sealed.
///
/// `Element::Compute` is what is computed in, and the type of every per-channel array: `f64` for `f64`, `f32` for the
/// others.
pub trait Element:
    SimdElement + Copy + Default + Debug + PartialEq + PartialOrd + Send + Sync + 'static
{
    /// The type's name.
    const DTYPE: DType;
    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// The nearest value of this type, ties to even; beyond its range infinity.
    fn from_f64(value: f64) -> Self;
}

/// A type of per-channel arrays: `f32` or `f64`. Sealed.
pub trait Compute: Element<Compute = Self> {
    /// The largest finite value.
    const LARGEST: f64;
}

impl Compute for f32 {
    const LARGEST: f64 = f32::MAX as f64;
}

impl Compute for f64 {
    const LARGEST: f64 = f64::MAX;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is asked for"
    )]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Element for f64 {
    const DTYPE: DType = DType::F64;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}

impl Element for f16 {
    const DTYPE: DType = DType::F16;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f16::to_f64(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        f16::from_f64(value)
    }
}

impl Element for bf16 {
    const DTYPE: DType = DType::BF16;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        bf16::to_f64(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        bf16::from_f64(value)
    }
}
