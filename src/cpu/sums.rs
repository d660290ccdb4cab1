//! The reduction behind both statistics and gradients: Σa and Σa·b of each channel, read once.
//!
//! Chains of `f32` additions are short ([`CHAIN`] values) and end in `f64`, so that the error of a sum does not grow
//! with the number of values.

use std::ops::Range;

use super::simd::{LANES, Simd, Vector};
use super::tiles::{Matrix, Span, Tile};
use crate::Element;

/// Values that one lane adds up before it is emptied into `f64`.
pub(crate) const CHAIN: usize = 8;
/// Vectors of columns worked on side by side, so that one addition need not wait for the one before.
const ABREAST: usize = 4;

/// The two terms of every value of a run of memory.
pub(crate) trait Terms<S: Simd, T: Element> {
    /// What is needed of one run.
    type Run: Copy;
    /// Lends a run.
    fn run(&self, span: Span) -> Self::Run;
    /// a and b of the sixteen values from `at` on.
    fn terms(&self, simd: S, run: Self::Run, at: usize) -> (T::Vector<S>, T::Vector<S>);
    /// a and b of the last values from `at` on, `count` < 16 of them; the other lanes of a are zero, those of b finite.
    fn last_terms(
        &self,
        simd: S,
        run: Self::Run,
        at: usize,
        count: usize,
    ) -> (T::Vector<S>, T::Vector<S>);
}

/// A step's terms, for a channel or for columns.
pub(crate) trait Reduction<T: Element> {
    /// The terms of one channel's values.
    type OfUnit<'r, S: Simd>: Terms<S, T>
    where
        Self: 'r;
    /// The terms of a tile's columns.
    type OfColumns<'r, S: Simd>: Terms<S, T>
    where
        Self: 'r;
    /// For the `i`-th unit of the tile.
    fn of_unit<S: Simd>(&self, simd: S, i: usize) -> Self::OfUnit<'_, S>;
    /// For all columns of the tile.
    fn of_columns<S: Simd>(&self, simd: S) -> Self::OfColumns<'_, S>;
}

/// Σa and Σa·b of one channel, in sixteen lanes.
#[derive(Clone, Copy)]
pub(crate) struct UnitSums<W> {
    first: W,
    second: W,
}

impl<W: Vector<Scalar = f64>> UnitSums<W> {
    #[inline(always)]
    pub(crate) fn zero<S: Simd<F64 = W>>(simd: S) -> Self {
        Self {
            first: simd.splat_f64(0.0),
            second: simd.splat_f64(0.0),
        }
    }

    /// Both sums.
    #[inline(always)]
    pub(crate) fn total(self) -> (f64, f64) {
        (
            sum_lanes(self.first.to_array()),
            sum_lanes(self.second.to_array()),
        )
    }
}

/// Adds some rows of every unit of a tile: the lanes of a vector are values of one channel.
#[inline(always)]
pub(crate) fn add_units<S: Simd, T: Element, R: Reduction<T>>(
    simd: S,
    matrix: &Matrix,
    tile: &Tile,
    reduction: &R,
    sums: &mut [UnitSums<S::F64>],
) {
    for row in tile.rows.clone() {
        for (i, unit) in tile.units.clone().enumerate() {
            let span = tile.unit_run(matrix, row, unit);
            sums[i] = add_run::<S, T, _>(simd, &reduction.of_unit(simd, i), span, sums[i]);
        }
    }
}

/// Adds one run of one channel.
#[inline(always)]
fn add_run<S: Simd, T: Element, R: Terms<S, T>>(
    simd: S,
    of: &R,
    span: Span,
    mut sums: UnitSums<S::F64>,
) -> UnitSums<S::F64> {
    let len = span.len();
    let run = of.run(span);
    let zero = T::splat(simd, T::Compute::default());
    let mut at = 0;
    while len - at >= CHAIN * LANES {
        let (mut first, mut second) = ([zero; 4], [zero; 4]);
        for half in 0..CHAIN / 4 {
            for i in 0..4 {
                let (a, b) = of.terms(simd, run, at + (4 * half + i) * LANES);
                first[i] = first[i].add(a);
                second[i] = a.mul_add(b, second[i]);
            }
        }
        sums.first = sums
            .first
            .add(first[0].add(first[1]).add(first[2].add(first[3])).widen());
        sums.second = sums.second.add(
            second[0]
                .add(second[1])
                .add(second[2].add(second[3]))
                .widen(),
        );
        at += CHAIN * LANES;
    }
    if at == len {
        return sums;
    }
    let (mut first, mut second) = (zero, zero);
    while len - at >= LANES {
        let (a, b) = of.terms(simd, run, at);
        first = first.add(a);
        second = a.mul_add(b, second);
        at += LANES;
    }
    if at < len {
        let (a, b) = of.last_terms(simd, run, at, len - at);
        first = first.add(a);
        second = a.mul_add(b, second);
    }
    sums.first = sums.first.add(first.widen());
    sums.second = sums.second.add(second.widen());
    sums
}

/// Σa and Σa·b of every column, padded to whole vectors.
pub(crate) struct ColumnSums {
    pub first: Vec<f64>,
    pub second: Vec<f64>,
}

impl ColumnSums {
    pub(crate) fn zero(columns: usize) -> Self {
        let padded = columns.next_multiple_of(LANES);
        Self {
            first: vec![0.0; padded],
            second: vec![0.0; padded],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first.fill(0.0);
        self.second.fill(0.0);
    }

    /// Adds to the sixteen columns from `at` on.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, at: usize, first: S::F64, second: S::F64) {
        if let (Some(to_first), Some(to_second)) = (
            self.first[at..].first_chunk_mut::<LANES>(),
            self.second[at..].first_chunk_mut::<LANES>(),
        ) {
            simd.store_f64(simd.load_f64(to_first).add(first), to_first);
            simd.store_f64(simd.load_f64(to_second).add(second), to_second);
        }
    }
}

/// Adds the rows of a tile: the lanes of a vector are neighbouring columns. The last row may be short.
#[inline(always)]
pub(crate) fn add_columns<S: Simd, T: Element, R: Reduction<T>>(
    simd: S,
    matrix: &Matrix,
    tile: &Tile,
    reduction: &R,
    sums: &mut ColumnSums,
) {
    let of = reduction.of_columns(simd);
    for rows in chunks(tile.rows.clone(), CHAIN) {
        let last = tile.run(matrix, rows.end - 1).len();
        let whole = tile.run(matrix, rows.start).len();
        if last == whole {
            add_rows::<S, T, _>(simd, matrix, tile, &of, rows, whole, sums);
        } else {
            add_rows::<S, T, _>(
                simd,
                matrix,
                tile,
                &of,
                rows.start..rows.end - 1,
                whole,
                sums,
            );
            add_rows::<S, T, _>(simd, matrix, tile, &of, rows.end - 1..rows.end, last, sums);
        }
    }
}

/// Adds at most [`CHAIN`] rows of equal length.
#[inline(always)]
fn add_rows<S: Simd, T: Element, R: Terms<S, T>>(
    simd: S,
    matrix: &Matrix,
    tile: &Tile,
    of: &R,
    rows: Range<usize>,
    len: usize,
    sums: &mut ColumnSums,
) {
    if rows.is_empty() {
        return;
    }
    let count = rows.len();
    let runs: [R::Run; CHAIN] =
        std::array::from_fn(|i| of.run(tile.run(matrix, rows.start + i.min(count - 1))));
    let zero = T::splat(simd, T::Compute::default());
    let mut at = 0;
    while len - at >= ABREAST * LANES {
        let (mut first, mut second) = ([zero; ABREAST], [zero; ABREAST]);
        for run in &runs[..count] {
            for i in 0..ABREAST {
                let (a, b) = of.terms(simd, *run, at + i * LANES);
                first[i] = first[i].add(a);
                second[i] = a.mul_add(b, second[i]);
            }
        }
        for i in 0..ABREAST {
            sums.add(simd, at + i * LANES, first[i].widen(), second[i].widen());
        }
        at += ABREAST * LANES;
    }
    while at < len {
        let (mut first, mut second) = (zero, zero);
        for run in &runs[..count] {
            let (a, b) = if len - at >= LANES {
                of.terms(simd, *run, at)
            } else {
                of.last_terms(simd, *run, at, len - at)
            };
            first = first.add(a);
            second = a.mul_add(b, second);
        }
        sums.add(simd, at, first.widen(), second.widen());
        at += LANES;
    }
}

/// The sum of sixteen values, as a tree: exact for sixteen equal ones.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// A mask of the lowest bits, fewer than sixteen.
#[inline(always)]
pub(crate) fn low_bits(count: usize) -> u16 {
    debug_assert!(count < LANES);
    (1 << count) - 1
}

/// A range in parts of at most `size`.
#[inline(always)]
pub(crate) fn chunks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(size)
        .map(move |start| start..(start + size).min(end))
}
