//! Sums of every column of a tile, where neighbouring values are of different channels: the lanes of a vector are columns.
//!
//! Narrow rows are added up a few at a time in registers. Along wide ones the sums are carried from row to row in the first-level
//! cache, so that memory is read in the order in which it lies. Each column's additions are in the same order either way.

use crate::cpu::elementwise::broadcast::CoefficientSlices;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::terms::{CHAIN, Terms, add_terms, end_of_chain, no_sums};
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::span::STREAMS;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;

/// Vectors of columns added up side by side: what four rows have there is one span of memory each.
const VECTORS: usize = 4;

/// Rows of more columns are gone along.
const NARROW: usize = VECTORS * LANES;
/// Columns that are gone along at a time: so many that their sums and coefficients stay in the first-level cache.
const PANEL: usize = 1024;
/// How far ahead memory is prefetched along a row, in vectors: the processor's own prefetch begins anew in every page.
const AHEAD: usize = 8;

/// Σa (`sum`) and Σa·b of every column, padded to whole vectors.
pub(crate) struct ColumnSums {
    pub sum: Scratch<f64>,
    pub sum_of_products: Scratch<f64>,
}

impl ColumnSums {
    pub(crate) fn zero(columns: usize) -> Self {
        let padded = columns.next_multiple_of(LANES);
        Self {
            sum: Scratch::zeros(padded),
            sum_of_products: Scratch::zeros(padded),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.sum.fill(0.0);
        self.sum_of_products.fill(0.0);
    }

    /// Adds to the sixteen columns from `at` on.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, at: usize, sums: [S::F64; 2]) {
        if let (Some(sum), Some(sum_of_products)) = (
            self.sum[at..].first_chunk_mut::<LANES>(),
            self.sum_of_products[at..].first_chunk_mut::<LANES>(),
        ) {
            simd.store_f64(simd.load_f64(sum).add(sums[0]), sum);
            simd.store_f64(simd.load_f64(sum_of_products).add(sums[1]), sum_of_products);
        }
    }
}

/// Adds the rows of a tile. The last row may be short.
#[inline(always)]
pub(crate) fn add_columns<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize>(
    simd: S,
    view: &MatrixView,
    tile: &Tile,
    terms: &R,
    coefficients: CoefficientSlices<'_, T::Scalar, N>,
    sums: &mut ColumnSums,
) {
    let first = tile.span(view, tile.rows.start);
    // The last row of the view may be short: it is added alone.
    let short = tile.span(view, tile.rows.end - 1).len() < first.len();
    let whole = tile.rows.len() - usize::from(short);
    let (fourth, mut row) = (whole / STREAMS, 0);
    let mut carried = Scratch::of_len(2 * PANEL.min(first.len().next_multiple_of(LANES)));
    while row < tile.rows.len() {
        let (chain, span) = if row < STREAMS * fourth {
            // A few rows of each fourth of the tile, in turn: memory is read faster in four places.
            let count = (CHAIN / STREAMS).min(fourth - row / STREAMS);
            let chain = ChainOfRows {
                first: row / STREAMS,
                fourth,
                of_each_fourth: count,
                alone: 0,
            };
            (chain, first)
        } else if row < whole {
            (ChainOfRows::alone(row, whole - row), first)
        } else {
            let span = tile.span(view, tile.rows.end - 1);
            (ChainOfRows::alone(0, 1), span)
        };
        let all = if row < whole { whole } else { 1 };
        let sum = SumOfRows {
            simd,
            terms,
            rows: terms.rows(span, all, view.row_len()),
            chain,
            coefficients,
        };
        let mut from = 0;
        if chain.of_each_fourth > 1 && span.len() > NARROW {
            from = span.len() / LANES * LANES;
            sum.along_rows(from, &mut carried, sums);
        }
        sum.down_columns(from, span.len(), sums);
        row += STREAMS * chain.of_each_fourth + chain.alone;
    }
}

/// Which rows are added up before the sums are flushed: some of each fourth of the tile side by side, or some rows one after
/// the other.
#[derive(Clone, Copy)]
struct ChainOfRows {
    first: usize,
    /// Rows of a fourth.
    fourth: usize,
    of_each_fourth: usize,
    alone: usize,
}

impl ChainOfRows {
    fn alone(first: usize, count: usize) -> Self {
        Self {
            first,
            fourth: 0,
            of_each_fourth: 0,
            alone: count,
        }
    }
}

/// What a chain of rows of equal length adds to the sums of their columns.
struct SumOfRows<'a, S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize> {
    simd: S,
    terms: &'a R,
    rows: R::Rows,
    chain: ChainOfRows,
    coefficients: CoefficientSlices<'a, T::Scalar, N>,
}

impl<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize> SumOfRows<'_, S, T, R, N> {
    /// Adds what is in the first `len` columns, which fill whole vectors, going along the rows.
    #[cfg_attr(not(unoptimized), inline(always))]
    fn along_rows(&self, len: usize, carried: &mut [T::Scalar], sums: &mut ColumnSums) {
        let (simd, terms, chain) = (self.simd, self.terms, self.chain);
        let mut panel = 0;
        while panel < len {
            let end = len.min(panel + PANEL);
            let (carried, _) = carried[..2 * (end - panel)].as_chunks_mut::<LANES>();
            let [none, none_of_products] = no_sums::<S, T, R, N>(simd);
            for sums in carried.chunks_exact_mut(2) {
                none.write(&mut sums[0]);
                none_of_products.write(&mut sums[1]);
            }
            for i in 0..chain.of_each_fourth {
                let streams =
                    terms.row_streams::<STREAMS>(self.rows, chain.first + i, chain.fourth);
                let (mut at, mut v) = (panel, 0);
                while at < end {
                    terms.prefetch(simd, streams, at, AHEAD * LANES);
                    let with = self.coefficients.of_columns::<S, T>(simd, at);
                    let new = terms.terms(simd, streams, with, at, LANES);
                    let before = [
                        T::load_compute(simd, &carried[v]),
                        T::load_compute(simd, &carried[v + 1]),
                    ];
                    let after = add_terms::<S, T, R, N, STREAMS>(simd, new, before);
                    after[0].write(&mut carried[v]);
                    after[1].write(&mut carried[v + 1]);
                    (at, v) = (at + LANES, v + 2);
                }
            }
            let (mut at, mut v) = (panel, 0);
            while at < end {
                let ended = [
                    T::load_compute(simd, &carried[v]),
                    T::load_compute(simd, &carried[v + 1]),
                ];
                sums.add(simd, at, self.end(ended));
                (at, v) = (at + LANES, v + 2);
            }
            panel = end;
        }
    }

    /// The sums at the end of the chain.
    #[inline(always)]
    fn end(&self, sums: [T::Vector<S>; 2]) -> [S::F64; 2] {
        end_of_chain::<S, T, R, N>(self.simd, self.chain.of_each_fourth, sums)
    }

    /// Adds what is in the columns from one on to the last, going down a few of them at a time.
    #[cfg_attr(not(unoptimized), inline(always))]
    fn down_columns(&self, mut at: usize, len: usize, sums: &mut ColumnSums) {
        while len - at >= VECTORS * LANES {
            self.down_vectors::<VECTORS>(at, LANES, sums);
            at += VECTORS * LANES;
        }
        while at < len {
            self.down_vectors::<1>(at, LANES.min(len - at), sums);
            at += LANES;
        }
    }

    /// Adds what is in `V` neighbouring vectors of `count` columns.
    #[cfg_attr(not(unoptimized), inline(always))]
    fn down_vectors<const V: usize>(&self, at: usize, count: usize, sums: &mut ColumnSums) {
        let (simd, terms, chain) = (self.simd, self.terms, self.chain);
        let zero = T::splat(simd, T::Scalar::default());
        let (mut added, mut with) = ([no_sums::<S, T, R, N>(simd); V], [[zero; N]; V]);
        for v in 0..V {
            with[v] = self.coefficients.of_columns::<S, T>(simd, at + v * LANES);
        }
        for i in 0..chain.of_each_fourth {
            let streams = terms.row_streams::<STREAMS>(self.rows, chain.first + i, chain.fourth);
            for v in 0..V {
                if V > 1 {
                    // The next columns of the same rows, where these are done with.
                    terms.prefetch(simd, streams, at + v * LANES, V * LANES);
                }
                let new = terms.terms(simd, streams, with[v], at + v * LANES, count);
                added[v] = add_terms::<S, T, R, N, STREAMS>(simd, new, added[v]);
            }
        }
        for i in 0..chain.alone {
            let streams = terms.row_streams::<1>(self.rows, chain.first + i, 0);
            for v in 0..V {
                let new = terms.terms(simd, streams, with[v], at + v * LANES, count);
                added[v] = add_terms::<S, T, R, N, 1>(simd, new, added[v]);
            }
        }
        for v in 0..V {
            sums.add(simd, at + v * LANES, self.end(added[v]));
        }
    }
}

/// Adds up the columns of each channel, in pairs, where neighbouring columns are of neighbouring channels.
pub(crate) fn gather_columns(
    view: &MatrixView,
    tile: &Tile,
    columns: &mut [f64],
    per_channel: &mut [f64],
) {
    let channels = per_channel.len();
    let mut positions = tile.columns(view).len() / channels;
    while positions > 1 {
        let half = positions.div_ceil(2);
        let (first, second) = columns.split_at_mut(half * channels);
        let of_second = &second[..(positions - half) * channels];
        for (sum, value) in first.iter_mut().zip(of_second) {
            *sum += value;
        }
        positions = half;
    }
    per_channel.copy_from_slice(&columns[..channels]);
}
