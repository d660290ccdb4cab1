//! The numbers of the columns of a row, handed out vector by vector: those of a unit stay in registers until it ends.

use crate::cpu::reduce::terms::lanes;
use crate::cpu::simd::{LANES, Simd, Vector};
use crate::element::{Compute, Element};

/// The numbers of units that lie side by side, which come again after `period` of them.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a, C, const N: usize> {
    /// Columns of a unit. Where it is one, the numbers go on for a vector after `period`.
    pub width: usize,
    pub period: usize,
    pub values: [&'a [C]; N],
}

impl<C: Compute, const N: usize> Numbers<'_, C, N> {
    /// Those of no units.
    pub(crate) fn none() -> Self {
        Self {
            width: 1,
            period: 0,
            values: [&[]; N],
        }
    }

    /// Those of one unit.
    pub(crate) fn of_unit(self, unit: usize) -> Self {
        Self {
            width: usize::MAX,
            period: 1,
            values: self.values.map(|values| &values[unit..]),
        }
    }

    /// The numbers of sixteen units, one column each, from `unit` on.
    #[inline(always)]
    pub(crate) fn of_columns<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        unit: usize,
    ) -> [T::Vector<S>; N] {
        // Not by `map`: an intrinsic behind its closure is a call.
        let mut numbers = [T::splat(simd, C::default()); N];
        for i in 0..N {
            numbers[i] = match self.values[i][unit..].first_chunk::<LANES>() {
                Some(values) => T::load_compute(simd, values),
                None => unreachable!("columns are padded to whole vectors"),
            };
        }
        numbers
    }

    /// The numbers of a unit, for all its columns.
    #[inline(always)]
    fn of_whole_unit<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        unit: usize,
    ) -> [T::Vector<S>; N] {
        let mut numbers = [T::splat(simd, C::default()); N];
        for i in 0..N {
            numbers[i] = T::splat(simd, self.values[i][unit]);
        }
        numbers
    }
}

/// A place among the columns.
pub(crate) struct Cursor<'a, S: Simd, T: Element, const N: usize> {
    numbers: Numbers<'a, T::Compute, N>,
    /// Those of the unit that has been begun.
    current: [T::Vector<S>; N],
    /// How many of its columns are left.
    left: usize,
    /// The unit after it.
    next: usize,
}

impl<'a, S: Simd, T: Element, const N: usize> Cursor<'a, S, T, N> {
    /// Where the first unit begins.
    #[inline(always)]
    pub(crate) fn at_start(simd: S, numbers: Numbers<'a, T::Compute, N>) -> Self {
        if numbers.width == 1 {
            return Self {
                numbers,
                current: [T::splat(simd, T::Compute::default()); N],
                left: 0,
                next: 0,
            };
        }
        Self {
            numbers,
            current: numbers.of_whole_unit::<S, T>(simd, 0),
            left: numbers.width,
            next: 1 % numbers.period,
        }
    }

    /// How many columns are left of the unit that has been begun, where units have more than one.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Columns of a unit.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.numbers.width
    }

    /// The numbers of the next `count` columns, at most sixteen.
    #[inline(always)]
    pub(crate) fn advance(&mut self, simd: S, count: usize) -> [T::Vector<S>; N] {
        if self.left >= count {
            self.left -= count;
            return self.current;
        }
        if self.numbers.width == 1 {
            let numbers = self.numbers.of_columns::<S, T>(simd, self.next);
            self.next += count;
            if self.next >= self.numbers.period {
                self.next -= self.numbers.period;
            }
            return numbers;
        }
        let (mut mixed, mut filled) = (self.current, self.left);
        while filled < count {
            self.current = self.numbers.of_whole_unit::<S, T>(simd, self.next);
            self.next += 1;
            if self.next == self.numbers.period {
                self.next = 0;
            }
            for i in 0..N {
                mixed[i] = mixed[i].choose(lanes(0, filled), self.current[i]);
            }
            filled += self.numbers.width;
        }
        self.left = filled - count;
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::portable::Portable;

    /// Columns of five units, twice, in vectors some of which are short.
    #[test]
    fn every_column_has_the_numbers_of_its_unit() {
        let values: [f32; 5] = [-0.0, 1.0, 2.0, 3.0, 4.0];
        for width in [2, 3, 5, 15, 16, 17, 49, 64] {
            let numbers = Numbers {
                width,
                period: values.len(),
                values: [&values[..]],
            };
            let mut cursor = Cursor::<Portable, f32, 1>::at_start(Portable, numbers);
            let (mut at, all) = (0, 2 * values.len() * width);
            for count in [7, 16, 16, 1, 16].into_iter().cycle() {
                let count = count.min(all - at);
                let [vector] = cursor.advance(Portable, count);
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
