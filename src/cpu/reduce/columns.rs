//! Sums of every column of a tile, where neighbouring values are of different channels: the lanes of a vector are columns,
//! and a few rows are added up in registers.

use crate::cpu::elementwise::broadcast::Numbers;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::terms::{CHAIN, Terms, add_terms};
use crate::cpu::simd::{LANES, Simd, Vector};
use crate::cpu::tiling::span::ABREAST;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::Matrix;
use crate::element::Element;

/// Vectors of columns added up side by side: what four rows have there is one run of memory each.
const VECTORS: usize = 4;

/// Σa and Σa·b of every column, padded to whole vectors.
pub(crate) struct ColumnSums {
    pub first: Scratch<f64>,
    pub second: Scratch<f64>,
}

impl ColumnSums {
    pub(crate) fn zero(columns: usize) -> Self {
        let padded = columns.next_multiple_of(LANES);
        Self {
            first: Scratch::zeros(padded),
            second: Scratch::zeros(padded),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first.fill(0.0);
        self.second.fill(0.0);
    }

    /// Adds to the sixteen columns from `at` on.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, at: usize, [first, second]: [S::F64; 2]) {
        if let (Some(to_first), Some(to_second)) = (
            self.first[at..].first_chunk_mut::<LANES>(),
            self.second[at..].first_chunk_mut::<LANES>(),
        ) {
            simd.store_f64(simd.load_f64(to_first).add(first), to_first);
            simd.store_f64(simd.load_f64(to_second).add(second), to_second);
        }
    }
}

/// Adds the rows of a tile. The last row may be short.
#[inline(always)]
pub(crate) fn add_columns<S: Simd, T: Element, R: Terms<S, T, N>, const N: usize>(
    simd: S,
    matrix: &Matrix,
    tile: &Tile,
    terms: &R,
    numbers: Numbers<'_, T::Compute, N>,
    sums: &mut ColumnSums,
) {
    let first = tile.run(matrix, tile.rows.start);
    // The last row of the matrix may be short: it is added alone.
    let short = tile.run(matrix, tile.rows.end - 1).len() < first.len();
    let whole = tile.rows.len() - usize::from(short);
    let (fourth, mut row) = (whole / ABREAST, 0);
    while row < tile.rows.len() {
        let (chain, run) = if row < ABREAST * fourth {
            // A few rows of each fourth of the tile, in turn: memory is read faster in four places.
            let count = (CHAIN / ABREAST).min(fourth - row / ABREAST);
            let chain = ChainOfRows {
                first: row / ABREAST,
                fourth,
                abreast: count,
                alone: 0,
            };
            (chain, first)
        } else if row < whole {
            (ChainOfRows::alone(row, whole - row), first)
        } else {
            let run = tile.run(matrix, tile.rows.end - 1);
            (ChainOfRows::alone(0, 1), run)
        };
        let all = if row < whole { whole } else { 1 };
        let rows = terms.rows(run, all, matrix.row_len());
        add_chain(simd, terms, rows, chain, numbers, run.len(), sums);
        row += ABREAST * chain.abreast + chain.alone;
    }
}

/// Which rows are added up before the sums are emptied: some of each fourth of the tile side by side, or some rows one after
/// the other.
#[derive(Clone, Copy)]
struct ChainOfRows {
    first: usize,
    /// Rows of a fourth.
    fourth: usize,
    abreast: usize,
    alone: usize,
}

impl ChainOfRows {
    fn alone(first: usize, count: usize) -> Self {
        Self {
            first,
            fourth: 0,
            abreast: 0,
            alone: count,
        }
    }
}

/// Adds rows of equal length.
#[inline(always)]
fn add_chain<S: Simd, T: Element, R: Terms<S, T, N>, const N: usize>(
    simd: S,
    terms: &R,
    rows: R::Rows,
    chain: ChainOfRows,
    numbers: Numbers<'_, T::Compute, N>,
    len: usize,
    sums: &mut ColumnSums,
) {
    let mut at = 0;
    while len - at >= VECTORS * LANES {
        add_vectors::<S, T, R, N, VECTORS>(simd, terms, rows, chain, numbers, at, LANES, sums);
        at += VECTORS * LANES;
    }
    while at < len {
        let count = LANES.min(len - at);
        add_vectors::<S, T, R, N, 1>(simd, terms, rows, chain, numbers, at, count, sums);
        at += LANES;
    }
}

/// Adds what rows have in `V` neighbouring vectors of `count` columns.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the body of one loop, twice")]
fn add_vectors<S: Simd, T: Element, R: Terms<S, T, N>, const N: usize, const V: usize>(
    simd: S,
    terms: &R,
    rows: R::Rows,
    chain: ChainOfRows,
    numbers: Numbers<'_, T::Compute, N>,
    at: usize,
    count: usize,
    sums: &mut ColumnSums,
) {
    let zero = T::splat(simd, T::Compute::default());
    let (mut totals, mut with) = ([[zero; 2]; V], [[zero; N]; V]);
    for v in 0..V {
        with[v] = numbers.of_columns::<S, T>(simd, at + v * LANES);
    }
    for i in 0..chain.abreast {
        let runs = terms.rows_abreast::<ABREAST>(rows, chain.first + i, chain.fourth);
        for v in 0..V {
            if V > 1 {
                // The next columns of the same rows, where these are done with.
                terms.fetch(simd, runs, at + v * LANES, V * LANES);
            }
            let new = terms.terms(simd, runs, with[v], at + v * LANES, count);
            totals[v] = add_terms::<S, T, ABREAST>(new, totals[v]);
        }
    }
    for i in 0..chain.alone {
        let runs = terms.rows_abreast::<1>(rows, chain.first + i, 0);
        for v in 0..V {
            let new = terms.terms(simd, runs, with[v], at + v * LANES, count);
            totals[v] = add_terms::<S, T, 1>(new, totals[v]);
        }
    }
    for v in 0..V {
        let [first, second] = totals[v];
        sums.add(simd, at + v * LANES, [first.widen(), second.widen()]);
    }
}

/// Adds up the columns of each channel, in order, where neighbouring columns are of neighbouring channels.
pub(crate) fn gather_columns(
    matrix: &Matrix,
    tile: &Tile,
    columns: &[f64],
    per_channel: &mut [f64],
) {
    per_channel.fill(0.0);
    for position in columns[..tile.columns(matrix).len()].chunks(per_channel.len()) {
        for (sum, value) in per_channel.iter_mut().zip(position) {
            *sum += value;
        }
    }
}
