//! A vector out of several registers. (`pair.rs` makes one of two vectors, as those of AVX2 and of `f64` are.)

use crate::cpu::simd::vector::Vector;

/// `N` registers that hold the values of a vector together.
#[derive(Clone, Copy)]
pub(crate) struct Registers<R, const N: usize>(pub(crate) [R; N]);

impl<R: Vector, const N: usize> Vector for Registers<R, N> {
    type Scalar = R::Scalar;
    type Wide = Registers<R::Wide, N>;
    const WIDTH: usize = N * R::WIDTH;

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].add(other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].sub(other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].mul(other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn mul_add(mut self, factor: Self, addend: Self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].mul_add(factor.0[i], addend.0[i]);
        }
        self
    }

    #[inline(always)]
    fn relu(mut self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].relu();
        }
        self
    }

    #[inline(always)]
    fn compare_mask(self, threshold: Self) -> u16 {
        let mut bits = 0;
        for i in 0..N {
            bits |= self.0[i].compare_mask(threshold.0[i]) << (i * R::WIDTH);
        }
        bits
    }

    #[inline(always)]
    fn mask_and(mut self, bits: u16) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].mask_and(bits >> (i * R::WIDTH));
        }
        self
    }

    #[inline(always)]
    fn blend(mut self, bits: u16, other: Self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].blend(bits >> (i * R::WIDTH), other.0[i]);
        }
        self
    }

    #[inline(always)]
    fn widen(self) -> Self::Wide {
        let mut wide = [self.0[0].widen(); N];
        for i in 1..N {
            wide[i] = self.0[i].widen();
        }
        Registers(wide)
    }

    #[inline(always)]
    fn write(self, to: &mut [R::Scalar]) {
        for i in 0..N {
            self.0[i].write(&mut to[i * R::WIDTH..(i + 1) * R::WIDTH]);
        }
    }
}
