//! The data types by name, and what each brings together: its vectors, the steps compiled for it, what a driver needs of it.

use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};

use crate::cpu::simd::elements::SimdElement;
use crate::cpu::steps::compiled::{ChannelElement, StepElement};
#[cfg(feature = "cuda")]
use crate::cuda::memory::CudaElement;
use crate::numeric::Real;

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

#[cfg(feature = "__gpu")]
impl DType {
    /// Every one.
    pub(crate) const ALL: [Self; 4] = [Self::F32, Self::F16, Self::BF16, Self::F64];
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

/// A `match` on the name of a data type, in which each has the type itself: of [`DType`], or of another library's enum that names
/// them alike (`$names`), where arms for its other names follow.
#[cfg(any(feature = "__gpu", feature = "candle", feature = "safetensors"))]
macro_rules! match_dtype {
    ($dtype:expr, $names:ident as $type:ident => $made:expr $(, $other:pat => $instead:expr)* $(,)?) => {
        match $dtype {
            $names::F16 => {
                type $type = half::f16;
                $made
            }
            $names::BF16 => {
                type $type = half::bf16;
                $made
            }
            $names::F32 => {
                type $type = f32;
                $made
            }
            $names::F64 => {
                type $type = f64;
                $made
            }
            $($other => $instead,)*
        }
    };
}
#[cfg(any(feature = "__gpu", feature = "candle", feature = "safetensors"))]
pub(crate) use match_dtype;

/// Without the feature `cuda`, nothing.
#[cfg(not(feature = "cuda"))]
pub trait CudaElement {}
#[cfg(not(feature = "cuda"))]
impl<T> CudaElement for T {}

/// A data type of the values x, y, dx, dy: `f32`, `f16`, `bf16` or `f64`. Sealed.
pub trait Element:
    SimdElement<Scalar = <Self as Element>::Compute> + StepElement + CudaElement + Pod
{
    /// What is computed in, and the type of every per-channel array: `f64` for `f64`, `f32` for the others.
    type Compute: Compute;
    /// The type's name.
    const DTYPE: DType;
    /// The value, exactly.
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.value()
    }
    /// The nearest value of this type, ties to even; beyond its range infinity.
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Self::nearest(value)
    }
}

/// A type of per-channel arrays: `f32` or `f64`. Sealed.
pub trait Compute: Element<Compute = Self> + Real + ChannelElement {}

impl Compute for f32 {}

impl Compute for f64 {}

impl Element for f32 {
    type Compute = f32;
    const DTYPE: DType = DType::F32;
}

impl Element for f64 {
    type Compute = f64;
    const DTYPE: DType = DType::F64;
}

impl Element for f16 {
    type Compute = f32;
    const DTYPE: DType = DType::F16;
}

impl Element for bf16 {
    type Compute = f32;
    const DTYPE: DType = DType::BF16;
}
