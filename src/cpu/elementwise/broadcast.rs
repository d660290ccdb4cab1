//! Coefficients broadcast to the columns of a row, vector by vector: those of a plane stay in registers until it ends.

use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::numeric::Real;

/// The coefficients of neighbouring planes, which come again after `period` of them.
#[derive(Clone, Copy)]
pub(crate) struct CoefficientSlices<'a, C, const N: usize> {
    /// Columns of a plane. Where it is one, the coefficients go on for a vector after `period`.
    pub width: usize,
    pub period: usize,
    pub values: [&'a [C]; N],
}

impl<C: Real, const N: usize> CoefficientSlices<'_, C, N> {
    /// The coefficients of no planes.
    pub(crate) fn none() -> Self {
        Self {
            width: 1,
            period: 0,
            values: [&[]; N],
        }
    }

    /// The coefficients of one plane.
    pub(crate) fn of_plane(self, plane: usize) -> Self {
        Self {
            width: usize::MAX,
            period: 1,
            values: self.values.map(|values| &values[plane..]),
        }
    }

    /// The coefficients of sixteen planes, one column each, from `plane` on.
    #[inline(always)]
    pub(crate) fn of_columns<S: Simd, T: SimdElement<Scalar = C>>(
        &self,
        simd: S,
        plane: usize,
    ) -> [T::Vector<S>; N] {
        // Not by `map`: an intrinsic behind its closure is a call.
        let mut vectors = [T::splat(simd, C::default()); N];
        for i in 0..N {
            vectors[i] = match self.values[i][plane..].first_chunk::<LANES>() {
                Some(values) => T::load_compute(simd, values),
                None => unreachable!("columns are padded to whole vectors"),
            };
        }
        vectors
    }

    /// The coefficients of a plane, for all its columns.
    #[inline(always)]
    fn of_whole_plane<S: Simd, T: SimdElement<Scalar = C>>(
        &self,
        simd: S,
        plane: usize,
    ) -> [T::Vector<S>; N] {
        let mut vectors = [T::splat(simd, C::default()); N];
        for i in 0..N {
            vectors[i] = T::splat(simd, self.values[i][plane]);
        }
        vectors
    }
}

/// Hands out the coefficients of the columns of a row, from the first on.
pub(crate) struct Broadcast<'a, S: Simd, T: SimdElement, const N: usize> {
    slices: CoefficientSlices<'a, T::Scalar, N>,
    /// The coefficients of the plane that has been begun.
    current: [T::Vector<S>; N],
    /// How many of its columns are left.
    left: usize,
    /// The plane after it.
    next: usize,
}

impl<'a, S: Simd, T: SimdElement, const N: usize> Broadcast<'a, S, T, N> {
    /// Where the first plane begins.
    #[inline(always)]
    pub(crate) fn at_start(simd: S, slices: CoefficientSlices<'a, T::Scalar, N>) -> Self {
        if slices.width == 1 {
            return Self {
                slices,
                current: [T::splat(simd, T::Scalar::default()); N],
                left: 0,
                next: 0,
            };
        }
        Self {
            slices,
            current: slices.of_whole_plane::<S, T>(simd, 0),
            left: slices.width,
            next: 1 % slices.period,
        }
    }

    /// How many columns are left of the plane that has been begun, where planes have more than one.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Columns of a plane.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.slices.width
    }

    /// The coefficients of the next `count` columns, at most sixteen.
    #[inline(always)]
    pub(crate) fn advance(&mut self, simd: S, count: usize) -> [T::Vector<S>; N] {
        if self.left >= count {
            self.left -= count;
            return self.current;
        }
        if self.slices.width == 1 {
            let vectors = self.slices.of_columns::<S, T>(simd, self.next);
            self.next += count;
            if self.next >= self.slices.period {
                self.next -= self.slices.period;
            }
            return vectors;
        }
        let (mut mixed, mut filled) = (self.current, self.left);
        while filled < count {
            self.current = self.slices.of_whole_plane::<S, T>(simd, self.next);
            self.next += 1;
            if self.next == self.slices.period {
                self.next = 0;
            }
            for i in 0..N {
                mixed[i] = mixed[i].blend(lane_mask(0, filled), self.current[i]);
            }
            filled += self.slices.width;
        }
        self.left = filled - count;
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::portable::Portable;

    /// Columns of five planes, twice, in vectors some of which are short.
    #[test]
    fn every_column_has_the_coefficients_of_its_plane() {
        let values: [f32; 5] = [-0.0, 1.0, 2.0, 3.0, 4.0];
        for width in [2, 3, 5, 15, 16, 17, 49, 64] {
            let slices = CoefficientSlices {
                width,
                period: values.len(),
                values: [&values[..]],
            };
            let mut broadcast = Broadcast::<Portable, f32, 1>::at_start(Portable, slices);
            let (mut at, all) = (0, 2 * values.len() * width);
            for count in [7, 16, 16, 1, 16].into_iter().cycle() {
                let count = count.min(all - at);
                let [vector] = broadcast.advance(Portable, count);
                for (i, value) in vector.to_array()[..count].iter().enumerate() {
                    let wanted = values[(at + i) / width % values.len()];
                    assert_eq!(value.to_bits(), wanted.to_bits(), "{width}: {at} + {i}");
                }
                at += count;
                if at == all {
                    break;
                }
            }
        }
    }
}
