//! The data types, and the one place where each is given what it needs.

use std::fmt::{self, Debug};

use half::{bf16, f16};

use crate::cpu::kernels::KernelElement;
use crate::cpu::simd::elements::SimdElement;
#[cfg(feature = "cuda")]
use crate::cuda::memory::CudaElement;

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

/// Without the feature `cuda`, nothing.
#[cfg(not(feature = "cuda"))]
pub trait CudaElement {}
#[cfg(not(feature = "cuda"))]
impl<T> CudaElement for T {}

/// A data type of the values x, y, dx, dy: `f32`, `f16`, `bf16` or `f64`. Sealed.
pub trait Element:
    SimdElement<Scalar = <Self as Element>::Compute>
    + KernelElement
    + CudaElement
    + Copy
    + Default
    + Debug
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + 'static
{
    /// What is computed in, and the type of every per-channel array: `f64` for `f64`, `f32` for the others.
    type Compute: Compute;
    /// The type's name.
    const DTYPE: DType;
    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// The nearest value of this type, ties to even; beyond its range infinity.
    fn from_f64(value: f64) -> Self;
}

/// A type of per-channel arrays: `f32` or `f64`. Sealed.
pub trait Compute: Element<Compute = Self> + crate::cpu::memory::scratch::ScratchElement {
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
    type Compute = f32;
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
    type Compute = f64;
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
    type Compute = f32;
    const DTYPE: DType = DType::F16;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f16::to_f64(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        f16::from_f64(round_to_odd(value))
    }
}

impl Element for bf16 {
    type Compute = f32;
    const DTYPE: DType = DType::BF16;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        bf16::to_f64(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        bf16::from_f64(round_to_odd(value))
    }
}

/// A value that `half` rounds as it would have to round this one.
///
/// Its own conversions look at the upper 32 bits only (or go through `f32`, which rounds twice): a value a little above
/// a tie is then taken for the tie. Marking in the lowest bit they see that there was more below it ("rounding to odd")
/// gives them all they need: those 20 bits are more than `f16` (10) or `bf16` (7) keep, by more than two.
fn round_to_odd(value: f64) -> f64 {
    let (upper, lower) = (value.to_bits() >> 32, value.to_bits() << 32);
    f64::from_bits((upper | u64::from(lower != 0)) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every finite positive value and its successor: below, at and above the middle between them.
    fn check_all<T: Element>(from_bits: impl Fn(u16) -> T, infinity: u16) {
        for bits in 0..infinity - 1 {
            let (low, high) = (from_bits(bits), from_bits(bits + 1));
            let middle = f64::midpoint(low.to_f64(), high.to_f64());
            let even = if bits % 2 == 0 { low } else { high };
            assert_eq!(T::from_f64(middle), even, "{middle:e}");
            assert_eq!(T::from_f64(middle.next_down()), low, "below {middle:e}");
            assert_eq!(T::from_f64(middle.next_up()), high, "above {middle:e}");
            assert_eq!(T::from_f64(low.to_f64()), low);
        }
    }

    #[test]
    fn halves_are_rounded_once() {
        check_all(f16::from_bits, f16::INFINITY.to_bits());
        check_all(bf16::from_bits, bf16::INFINITY.to_bits());
    }

    #[test]
    fn values_beyond_the_range_become_infinite() {
        assert_eq!(<f16 as Element>::from_f64(65519.99), f16::MAX);
        assert_eq!(<f16 as Element>::from_f64(65520.0), f16::INFINITY);
        assert_eq!(<bf16 as Element>::from_f64(-1e39), bf16::NEG_INFINITY);
        assert!(f32::from_f64(1e39).is_infinite());
        assert!(
            <bf16 as Element>::from_f64(f64::NAN).is_nan()
                && <f16 as Element>::from_f64(-f64::NAN).is_nan()
        );
        assert!(<bf16 as Element>::from_f64(f64::from_bits(f64::INFINITY.to_bits() + 1)).is_nan());
    }
}
