//! A vector out of two that are half as long.

use crate::cpu::simd::vector::Vector;

/// The lower and the upper half of a vector's values. Four registers are a pair of pairs: a loop over them would have to be unrolled
/// again wherever a kernel computes anything, which is most of what such kernels take to compile.
#[derive(Clone, Copy)]
pub(crate) struct Pair<R>(pub(crate) R, pub(crate) R);

impl<R: Vector> Vector for Pair<R> {
    type Scalar = R::Scalar;
    type Wide = Pair<R::Wide>;
    const WIDTH: usize = 2 * R::WIDTH;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.sub(other.0), self.1.sub(other.1))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0.mul(other.0), self.1.mul(other.1))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(
            self.0.mul_add(factor.0, addend.0),
            self.1.mul_add(factor.1, addend.1),
        )
    }

    #[inline(always)]
    fn relu(self) -> Self {
        Self(self.0.relu(), self.1.relu())
    }

    #[inline(always)]
    fn compare_mask(self, threshold: Self) -> u16 {
        self.0.compare_mask(threshold.0) | self.1.compare_mask(threshold.1) << R::WIDTH
    }

    #[inline(always)]
    fn mask_and(self, bits: u16) -> Self {
        Self(self.0.mask_and(bits), self.1.mask_and(bits >> R::WIDTH))
    }

    #[inline(always)]
    fn blend(self, bits: u16, other: Self) -> Self {
        Self(
            self.0.blend(bits, other.0),
            self.1.blend(bits >> R::WIDTH, other.1),
        )
    }

    #[inline(always)]
    fn widen(self) -> Self::Wide {
        Pair(self.0.widen(), self.1.widen())
    }

    #[inline(always)]
    fn write(self, to: &mut [R::Scalar]) {
        let (lower, upper) = to.split_at_mut(R::WIDTH);
        self.0.write(lower);
        self.1.write(upper);
    }
}
