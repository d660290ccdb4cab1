//! The columns of a tile by sixteen: the sums of their values, and what is needed to take them, side by side, so that one place
//! leads to all.

use std::ops::Range;

use super::scratch::Scratch;
use super::simd::{LANES, Simd, Vector};
use crate::{Compute, Element};

/// Σa and Σa·b.
const SUMS: usize = 2;

/// Blocks of sixteen columns, each with both sums and `N` numbers of every column.
pub(super) struct Blocks<C: Compute, const N: usize>(Scratch<C>);

impl<C: Compute, const N: usize> Blocks<C, N> {
    /// Values of a block.
    const LEN: usize = (SUMS + N) * LANES;

    /// No columns.
    pub(super) fn none() -> Self {
        Self(Scratch::of_len(0))
    }

    /// One block, for one unit at a time.
    pub(super) fn of_unit() -> Self {
        Self(Scratch::of_len(Self::LEN))
    }

    /// The columns of units that are so wide, from the numbers of each; sums are zero.
    #[inline(always)]
    pub(super) fn of_columns<S: Simd, T: Element<Compute = C>>(
        simd: S,
        numbers: [&[C]; N],
        width: usize,
    ) -> Self {
        let units = numbers[0].len();
        let mut blocks = Self(Scratch::of_len((units * width).div_ceil(LANES) * Self::LEN));
        let zero = T::splat(simd, C::default());
        let (mut unit, mut left) = (0, width);
        for block in blocks.0.chunks_exact_mut(Self::LEN) {
            let (mut vectors, mut filled) = ([zero; N], 0);
            while filled < LANES && unit < units {
                let count = left.min(LANES - filled);
                for i in 0..N {
                    let value = T::splat(simd, numbers[i][unit]);
                    vectors[i] = vectors[i].add(value.keep(lanes(filled, count)));
                }
                filled += count;
                left -= count;
                if left == 0 {
                    (unit, left) = (unit + 1, width);
                }
            }
            write::<S, T>(simd, block, 0, zero);
            write::<S, T>(simd, block, 1, zero);
            for i in 0..N {
                write::<S, T>(simd, block, SUMS + i, vectors[i]);
            }
        }
        blocks
    }

    /// Begins a unit: sums are zero.
    #[inline(always)]
    pub(super) fn begin_unit<S: Simd, T: Element<Compute = C>>(
        &mut self,
        simd: S,
        numbers: [C; N],
    ) {
        let block = &mut self.0[..Self::LEN];
        write::<S, T>(simd, block, 0, T::splat(simd, C::default()));
        write::<S, T>(simd, block, 1, T::splat(simd, C::default()));
        for i in 0..N {
            write::<S, T>(simd, block, SUMS + i, T::splat(simd, numbers[i]));
        }
    }

    /// The sums of sixteen columns. (A block begins at `column`, here and below.)
    #[inline(always)]
    pub(super) fn sums<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        column: usize,
    ) -> [T::Vector<S>; SUMS] {
        let block = &self.0[column * (SUMS + N)..][..Self::LEN];
        [read::<S, T>(simd, block, 0), read::<S, T>(simd, block, 1)]
    }

    /// The numbers of sixteen columns.
    #[inline(always)]
    pub(super) fn numbers<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        column: usize,
    ) -> [T::Vector<S>; N] {
        let block = &self.0[column * (SUMS + N)..][..Self::LEN];
        let mut numbers = [T::splat(simd, C::default()); N];
        for i in 0..N {
            numbers[i] = read::<S, T>(simd, block, SUMS + i);
        }
        numbers
    }

    /// Replaces the sums of sixteen columns.
    #[inline(always)]
    pub(super) fn set_sums<S: Simd, T: Element<Compute = C>>(
        &mut self,
        simd: S,
        column: usize,
        sums: [T::Vector<S>; SUMS],
    ) {
        let block = &mut self.0[column * (SUMS + N)..][..Self::LEN];
        write::<S, T>(simd, block, 0, sums[0]);
        write::<S, T>(simd, block, 1, sums[1]);
    }

    /// What some columns add up to, spread over sixteen lanes.
    #[inline(always)]
    pub(super) fn sums_of<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        columns: Range<usize>,
    ) -> [S::F64; SUMS] {
        let mut wide = [simd.splat_f64(0.0); SUMS];
        let mut at = columns.start;
        while at < columns.end {
            let first = at % LANES;
            let count = (LANES - first).min(columns.end - at);
            let sums = self.sums::<S, T>(simd, at - first);
            for i in 0..SUMS {
                wide[i] = wide[i].add(sums[i].keep(lanes(first, count)).widen());
            }
            at += count;
        }
        wide
    }

    /// Makes all sums zero.
    #[inline(always)]
    pub(super) fn clear_sums<S: Simd, T: Element<Compute = C>>(&mut self, simd: S) {
        let zero = T::splat(simd, C::default());
        for block in self.0.chunks_exact_mut(Self::LEN) {
            write::<S, T>(simd, block, 0, zero);
            write::<S, T>(simd, block, 1, zero);
        }
    }
}

/// So many lanes from the first on.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "one bit for each of sixteen lanes"
)]
fn lanes(first: usize, count: usize) -> u16 {
    debug_assert!(first + count <= LANES);
    (((1u32 << count) - 1) << first) as u16
}

#[inline(always)]
fn read<S: Simd, T: Element>(simd: S, block: &[T::Compute], i: usize) -> T::Vector<S> {
    match block[i * LANES..].first_chunk::<LANES>() {
        Some(values) => T::load_compute(simd, values),
        None => unreachable!("a block is whole vectors"),
    }
}

#[inline(always)]
fn write<S: Simd, T: Element>(simd: S, block: &mut [T::Compute], i: usize, value: T::Vector<S>) {
    match block[i * LANES..].first_chunk_mut::<LANES>() {
        Some(to) => T::store_compute(simd, value, to),
        None => unreachable!("a block is whole vectors"),
    }
}
