//! The reduction behind both statistics and gradients: Σa and Σa·b of each channel, read once.
//!
//! Chains of `f32` additions are short ([`CHAIN`] values) and end in `f64`, so that the error of a sum does not grow
//! with the number of values.

use std::ops::Range;

use super::lockstep::ABREAST;
use super::matrix::Matrix;
use super::simd::{LANES, Simd, SimdElement, Vector};
use super::tiles::{Span, Tile};
use crate::Element;

/// Values that one lane of a sum adds up before it is emptied into `f64`.
pub(crate) const CHAIN: usize = 32;
/// Vectors added up side by side, so that one addition need not wait for the one before.
const VECTORS: usize = 4;

/// The terms a and b of `N` vectors.
pub(crate) type TermsOf<S, T, const N: usize> = (
    [<T as SimdElement>::Vector<S>; N],
    [<T as SimdElement>::Vector<S>; N],
);

/// The two terms of every value of a run of memory.
pub(crate) trait Terms<S: Simd, T: Element> {
    /// What is needed of one run.
    type Run: Copy;
    /// What is needed of `N` times sixteen columns.
    type Coefficients<const N: usize>: Copy;
    /// What is needed of neighbouring rows.
    type Rows: Copy;
    /// Lends a run and the same columns of the rows that follow, `count` rows in all.
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows;
    /// The run of the `i`-th of the rows.
    fn row(&self, rows: Self::Rows, i: usize) -> Self::Run;
    /// What the columns from `at` on need.
    fn coefficients<const N: usize>(&self, simd: S, at: usize) -> Self::Coefficients<N>;
    /// a and b of the `N` times sixteen values from `at` on.
    fn terms<const N: usize>(
        &self,
        simd: S,
        run: Self::Run,
        with: Self::Coefficients<N>,
        at: usize,
    ) -> TermsOf<S, T, N>;
    /// a and b of the last values from `at` on, `count` < 16 of them; the other lanes of a are zero, those of b finite.
    fn last_terms(
        &self,
        simd: S,
        run: Self::Run,
        with: Self::Coefficients<1>,
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, 1>;
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

/// Σa and Σa·b of one channel, in sixteen lanes: short chains, and what they were emptied into.
struct UnitSums<S: Simd, T: Element> {
    simd: S,
    first: [T::Vector<S>; VECTORS],
    second: [T::Vector<S>; VECTORS],
    /// Values in a lane of the chains.
    chained: usize,
    wide: [S::F64; 2],
}

impl<S: Simd, T: Element> UnitSums<S, T> {
    #[inline(always)]
    fn zero(simd: S) -> Self {
        let zero = [T::splat(simd, T::Compute::default()); VECTORS];
        Self {
            simd,
            first: zero,
            second: zero,
            chained: 0,
            wide: [simd.splat_f64(0.0); 2],
        }
    }

    #[inline(always)]
    fn empty(&mut self) {
        let zero = T::splat(self.simd, T::Compute::default());
        for (sums, wide) in [&mut self.first, &mut self.second]
            .into_iter()
            .zip(&mut self.wide)
        {
            let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            *wide = wide.add(sum.widen());
            *sums = [zero; VECTORS];
        }
        self.chained = 0;
    }

    /// Adds one run of the channel.
    #[inline(always)]
    fn add_run<R: Terms<S, T>>(&mut self, of: &R, run: R::Run, len: usize) {
        const STEP: usize = VECTORS * LANES;
        let simd = self.simd;
        let with = of.coefficients::<VECTORS>(simd, 0);
        let with_one = of.coefficients::<1>(simd, 0);
        let mut at = 0;
        while at < len {
            if len - at >= STEP {
                let steps = ((len - at) / STEP).min(CHAIN - self.chained);
                // Copies, which stay in registers.
                let (mut first, mut second) = (self.first, self.second);
                for _ in 0..steps {
                    let (a, b) = of.terms::<VECTORS>(simd, run, with, at);
                    for i in 0..VECTORS {
                        first[i] = first[i].add(a[i]);
                        second[i] = a[i].mul_add(b[i], second[i]);
                    }
                    at += STEP;
                }
                (self.first, self.second) = (first, second);
                self.chained += steps;
            } else {
                for i in 0..VECTORS {
                    if at >= len {
                        break;
                    }
                    let ([a], [b]) = if len >= LANES {
                        // At the end the last vector of the run, without what was added before.
                        let start = at.min(len - LANES);
                        let ([a], [b]) = of.terms::<1>(simd, run, with_one, start);
                        let new = u16::MAX << (at - start);
                        ([a.keep(new)], [b.keep(new)])
                    } else {
                        of.last_terms(simd, run, with_one, at, len)
                    };
                    self.first[i] = self.first[i].add(a);
                    self.second[i] = a.mul_add(b, self.second[i]);
                    at += LANES;
                }
                self.chained += 1;
            }
            if self.chained == CHAIN {
                self.empty();
            }
        }
    }

    /// Both sums.
    #[inline(always)]
    fn total(mut self) -> (f64, f64) {
        self.empty();
        (
            sum_lanes(self.wide[0].to_array()),
            sum_lanes(self.wide[1].to_array()),
        )
    }
}

/// Adds up every unit of a tile: the lanes of a vector are values of one channel.
#[inline(always)]
pub(crate) fn add_units<S: Simd, T: Element, R: Reduction<T>>(
    simd: S,
    matrix: &Matrix,
    tile: &Tile,
    reduction: &R,
    [first, second]: [&mut [f64]; 2],
) {
    for (i, unit) in tile.units.clone().enumerate() {
        let of = reduction.of_unit(simd, i);
        let mut sums = UnitSums::<S, T>::zero(simd);
        let first_run = tile.unit_run(matrix, tile.rows.start, unit);
        let rows = of.rows(first_run, tile.rows.len(), matrix.row_len());
        for row in 0..tile.rows.len() {
            sums.add_run(&of, of.row(rows, row), first_run.len());
        }
        (first[i], second[i]) = sums.total();
    }
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
    let first = tile.run(matrix, tile.rows.start);
    // The last row of the matrix may be short: it is added alone.
    let short = tile.run(matrix, tile.rows.end - 1).len() < first.len();
    let whole = tile.rows.len() - usize::from(short);
    let (fourth, mut row) = (whole / ABREAST, 0);
    while row < tile.rows.len() {
        let (rows, run) = if row < ABREAST * fourth {
            // A few rows of each fourth of the tile, in turn: memory is read faster in four places.
            let count = (CHAIN / ABREAST).min(fourth - row / ABREAST);
            let rows = ChainOfRows {
                first: row / ABREAST,
                across: fourth,
                down: 1,
                count: ABREAST * count,
            };
            (rows, first)
        } else if row < whole {
            (ChainOfRows::following(row, whole - row), first)
        } else {
            let run = tile.run(matrix, tile.rows.end - 1);
            (ChainOfRows::following(0, 1), run)
        };
        let all = if row < whole { whole } else { 1 };
        let memory = of.rows(run, all, matrix.row_len());
        add_rows::<S, T, _>(simd, &of, memory, rows, run.len(), sums);
        row += rows.count;
    }
}

/// Which rows are added up before the sums are emptied.
#[derive(Clone, Copy)]
struct ChainOfRows {
    first: usize,
    /// From one of four neighbours in the chain to the next.
    across: usize,
    /// From four to the next four.
    down: usize,
    count: usize,
}

impl ChainOfRows {
    /// One after the other.
    fn following(first: usize, count: usize) -> Self {
        Self {
            first,
            across: 1,
            down: ABREAST,
            count,
        }
    }

    #[inline(always)]
    fn row(self, i: usize) -> usize {
        self.first + i % ABREAST * self.across + i / ABREAST * self.down
    }
}

/// Adds rows of equal length.
#[inline(always)]
fn add_rows<S: Simd, T: Element, R: Terms<S, T>>(
    simd: S,
    of: &R,
    memory: R::Rows,
    rows: ChainOfRows,
    len: usize,
    sums: &mut ColumnSums,
) {
    let zero = T::splat(simd, T::Compute::default());
    let mut at = 0;
    while len - at >= VECTORS * LANES {
        let (mut first, mut second) = ([zero; VECTORS], [zero; VECTORS]);
        let with = of.coefficients::<VECTORS>(simd, at);
        for i in 0..rows.count {
            let run = of.row(memory, rows.row(i));
            let (a, b) = of.terms::<VECTORS>(simd, run, with, at);
            for i in 0..VECTORS {
                first[i] = first[i].add(a[i]);
                second[i] = a[i].mul_add(b[i], second[i]);
            }
        }
        for i in 0..VECTORS {
            sums.add(simd, at + i * LANES, first[i].widen(), second[i].widen());
        }
        at += VECTORS * LANES;
    }
    while at < len {
        let (mut first, mut second) = (zero, zero);
        let with = of.coefficients::<1>(simd, at);
        for i in 0..rows.count {
            let run = of.row(memory, rows.row(i));
            let ([a], [b]) = if len - at >= LANES {
                of.terms::<1>(simd, run, with, at)
            } else {
                of.last_terms(simd, run, with, at, len - at)
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
