//! Sixteen lanes out of however many registers that takes.

use crate::cpu::simd::{LANES, Vector};

/// One machine register (for `f64` two of them, so that both types count alike).
pub(crate) trait Register: Copy {
    type Scalar: Copy + Default;
    type Wide: Register<Scalar = f64, Wide = Self::Wide>;
    /// Values in it.
    const WIDTH: usize;

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn relu(self) -> Self;
    /// In the low [`Register::WIDTH`] bits.
    fn compare_mask(self, threshold: Self) -> u16;
    /// By the low [`Register::WIDTH`] bits.
    fn mask_and(self, bits: u16) -> Self;
    /// By the low [`Register::WIDTH`] bits.
    fn blend(self, bits: u16, other: Self) -> Self;
    fn widen(self) -> Self::Wide;
    /// Writes the values to the first [`Register::WIDTH`] places.
    fn write(self, to: &mut [Self::Scalar]);
}

/// `N` registers that hold 16 values together.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<R, const N: usize>(pub(crate) [R; N]);

impl<R: Register, const N: usize> Vector for Lanes<R, N> {
    type Scalar = R::Scalar;
    type Wide = Lanes<R::Wide, N>;

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
        Lanes(wide)
    }

    #[inline(always)]
    fn to_array(self) -> [R::Scalar; LANES] {
        let mut values = [R::Scalar::default(); LANES];
        for i in 0..N {
            self.0[i].write(&mut values[i * R::WIDTH..(i + 1) * R::WIDTH]);
        }
        values
    }
}
