//! Sums of every unit of a tile, where neighbouring values are of one channel: taken four runs side by side, alone or beside
//! the pass that writes the tile before.
//!
//! Beside it, memory is read and written at the same time, and what was read is in cache when its own turn to be written
//! comes. The order of the additions is the same with and without: bits do not depend on who took which tile.

use super::coefficients::{Coefficients, Columns, TileColumns, UnitColumns};
use super::lockstep::{ABREAST, Abreast, Groups};
use super::matrix::Matrix;
use super::scratch::Scratch;
use super::simd::{LANES, Simd, Vector};
use super::sums::{CHAIN, Terms, add_terms, low_bits, sum_lanes};
use super::tiles::{Span, Tile};
use crate::{Compute, Element};

/// How far ahead memory is fetched, in vectors: the processor's own prefetch begins anew in every page.
const AHEAD: usize = 8;

/// Whether the sums of a tile can be taken beside the pass that writes another: they go the same way.
pub(crate) fn can_be_beside(matrix: &Matrix, tile: &Tile, written: &Tile) -> bool {
    let one_run = matrix.rows_are_one_run() && written.has_whole_rows(matrix);
    matrix.has_units() && tile.has_form_of(written) && !one_run
}

/// Σa and Σa·b of the units of a tile.
pub(crate) struct TileSums<'a, T: Element, R, const N: usize> {
    terms: R,
    numbers: Numbers<'a, T::Compute, N>,
    /// What is left to add.
    groups: Option<Groups<'a>>,
    first_unit: usize,
    /// Of a unit.
    width: usize,
    /// Both sums of every column, or of a vector's lanes where work is by units.
    chains: Scratch<T::Compute>,
    /// Values that each column's have added up.
    chained: usize,
    totals: [Vec<f64>; 2],
}

/// What the terms take.
enum Numbers<'a, C: Compute, const N: usize> {
    OfColumns(TileColumns<'a, C, N>),
    /// Where work is by units: of the one that is being added up.
    OfUnit(&'a Coefficients<C, N>, UnitColumns<C, N>),
}

impl<'a, T: Element, R, const N: usize> TileSums<'a, T, R, N> {
    #[inline(always)]
    pub(crate) fn of<S: Simd>(
        simd: S,
        matrix: &'a Matrix,
        tile: &'a Tile,
        coefficients: &'a Coefficients<T::Compute, N>,
        terms: R,
    ) -> Self {
        let (numbers, columns) = if matrix.by_columns() {
            let columns = coefficients.of_columns::<S, T>(simd, matrix, tile);
            (
                Numbers::OfColumns(columns),
                tile.columns(matrix).len() + LANES,
            )
        } else {
            (Numbers::OfUnit(coefficients, UnitColumns::default()), LANES)
        };
        let units = || vec![0.0; tile.units.len()];
        Self {
            terms,
            numbers,
            groups: Some(Groups::row_by_row(matrix, tile, S::FOUR_ABREAST)),
            first_unit: tile.units.start,
            width: tile.within.len(),
            chains: Scratch::zeros(2 * columns),
            chained: 0,
            totals: [units(), units()],
        }
    }

    /// Nothing to add up.
    pub(crate) fn nothing(terms: R) -> Self {
        Self {
            terms,
            numbers: Numbers::OfColumns(TileColumns::none()),
            groups: None,
            first_unit: 0,
            width: 0,
            chains: Scratch::of_len(0),
            chained: 0,
            totals: [Vec::new(), Vec::new()],
        }
    }

    /// The next group, to be added up vector by vector: of no values, where there is nothing to add up.
    #[inline(always)]
    pub(crate) fn next_group<S: Simd, const A: usize>(
        &mut self,
        simd: S,
    ) -> GroupSums<'_, S, T, R, N, A>
    where
        R: Terms<S, T, N>,
    {
        if let Some(group) = self.groups.as_mut().and_then(Groups::next) {
            match group.runs.as_slice().try_into() {
                Ok(spans) => return self.begin(simd, group.unit, spans),
                Err(_) => unreachable!("tiles of one form have the same groups"),
            }
        }
        GroupSums {
            runs: self.terms.no_runs(),
            terms: &self.terms,
            columns: Columns::none(),
            at: 0,
            len: 0,
            column_bits: 0,
            chains: [&mut [], &mut []],
            chain_bits: 0,
            wide: [simd.splat_f64(0.0); 2],
            unit: 0,
        }
    }

    #[inline(always)]
    fn begin<S: Simd, const A: usize>(
        &mut self,
        simd: S,
        unit: usize,
        spans: [Span; A],
    ) -> GroupSums<'_, S, T, R, N, A>
    where
        R: Terms<S, T, N>,
    {
        let (columns, column_bits, chain_bits) = match &mut self.numbers {
            Numbers::OfColumns(columns) => (columns.lend(), usize::MAX, usize::MAX),
            Numbers::OfUnit(all, of_unit) => {
                *of_unit = all.of_unit(unit);
                (of_unit.lend(), 0, CHAIN / A * LANES - 1)
            }
        };
        let half = self.chains.len() / 2;
        let (first, second) = self.chains.split_at_mut(half);
        GroupSums {
            runs: self.terms.runs(spans),
            terms: &self.terms,
            columns,
            at: 0,
            len: spans[0].len(),
            column_bits,
            chains: [first, &mut second[..half]],
            chain_bits,
            wide: [simd.splat_f64(0.0); 2],
            unit,
        }
    }

    /// Keeps what a group's values add up to.
    #[inline(always)]
    pub(crate) fn end_group<S: Simd, const A: usize>(&mut self, simd: S, group: &GroupEnd<S>) {
        if group.empty {
            return;
        }
        if let Numbers::OfUnit(..) = self.numbers {
            for i in 0..2 {
                let total = &mut self.totals[i][group.unit - self.first_unit];
                *total += sum_lanes(group.wide[i].to_array());
            }
            return;
        }
        self.chained += A;
        if self.chained + ABREAST > CHAIN {
            self.empty_columns(simd);
        }
    }

    /// Empties the sums of all columns into those of their units.
    #[inline(always)]
    fn empty_columns<S: Simd>(&mut self, simd: S) {
        for i in 0..2 {
            let columns = self.chains.len() / 2;
            let chain = &mut self.chains[i * columns..(i + 1) * columns];
            let totals = &mut self.totals[i];
            for (unit, total) in totals.iter_mut().enumerate() {
                let mut wide = simd.splat_f64(0.0);
                let (mut at, end) = (unit * self.width, (unit + 1) * self.width);
                while at < end {
                    let mut sum = load::<S, T>(simd, chain, at);
                    if end - at < LANES {
                        sum = sum.keep(low_bits(end - at));
                    }
                    wide = wide.add(sum.widen());
                    at += LANES;
                }
                *total += sum_lanes(wide.to_array());
            }
            chain.fill(T::Compute::default());
        }
        self.chained = 0;
    }

    #[inline(always)]
    fn add_group<S: Simd, const A: usize>(&mut self, simd: S, unit: usize, spans: [Span; A])
    where
        R: Terms<S, T, N>,
    {
        let end = self.begin(simd, unit, spans).end(simd);
        self.end_group::<S, A>(simd, &end);
    }

    /// Adds everything, and gives Σa and Σa·b of each unit.
    #[inline(always)]
    pub(crate) fn all<S: Simd>(mut self, simd: S) -> [Vec<f64>; 2]
    where
        R: Terms<S, T, N>,
    {
        while let Some(group) = self.groups.as_mut().and_then(Groups::next) {
            match group.runs {
                Abreast::Four(spans) if S::FOUR_ABREAST => {
                    self.add_group(simd, group.unit, spans);
                }
                Abreast::Four(_) => unreachable!("no groups of four were asked for"),
                Abreast::One(span) => self.add_group(simd, group.unit, [span]),
            }
        }
        self.end(simd)
    }

    /// Σa and Σa·b of each unit, once all groups have been added.
    #[inline(always)]
    pub(crate) fn end<S: Simd>(mut self, simd: S) -> [Vec<f64>; 2] {
        if self.chained > 0 {
            self.empty_columns(simd);
        }
        self.totals
    }
}

/// What the values of a group are added to, vector by vector.
pub(crate) struct GroupSums<
    's,
    S: Simd,
    T: Element,
    R: Terms<S, T, N>,
    const N: usize,
    const A: usize,
> {
    terms: &'s R,
    runs: R::Runs<A>,
    columns: Columns<'s, T::Compute, N>,
    at: usize,
    len: usize,
    /// Which bits of a place are its column's: none, where work is by units.
    column_bits: usize,
    chains: [&'s mut [T::Compute]; 2],
    /// A unit's chains are emptied where a place has none of these bits.
    chain_bits: usize,
    wide: [S::F64; 2],
    unit: usize,
}

/// A group that has been added up.
pub(crate) struct GroupEnd<S: Simd> {
    unit: usize,
    empty: bool,
    wide: [S::F64; 2],
}

impl<S: Simd, T: Element, R: Terms<S, T, N>, const N: usize, const A: usize>
    GroupSums<'_, S, T, R, N, A>
{
    /// Adds the next whole vector of each run, if there is one, while what comes after it is fetched.
    #[inline(always)]
    pub(crate) fn advance(&mut self, simd: S) {
        if self.len - self.at >= LANES {
            self.terms.fetch(simd, self.runs, self.at, AHEAD * LANES);
            self.add(simd, LANES);
        }
    }

    #[inline(always)]
    fn add(&mut self, simd: S, count: usize) {
        let column = self.at & self.column_bits;
        let with = self.columns.at::<S, T>(simd, column);
        let new = self.terms.terms(simd, self.runs, with, self.at, count);
        let chain = [
            load::<S, T>(simd, self.chains[0], column),
            load::<S, T>(simd, self.chains[1], column),
        ];
        let sums = add_terms::<S, T, A>(new, chain);
        store::<S, T>(simd, sums[0], self.chains[0], column);
        store::<S, T>(simd, sums[1], self.chains[1], column);
        self.at += count;
        if self.at & self.chain_bits == 0 {
            self.empty(simd);
        }
    }

    /// Empties a unit's chains.
    #[inline(always)]
    fn empty(&mut self, simd: S) {
        let zero = T::splat(simd, T::Compute::default());
        for i in 0..2 {
            let sum = load::<S, T>(simd, self.chains[i], 0);
            self.wide[i] = self.wide[i].add(sum.widen());
            store::<S, T>(simd, zero, self.chains[i], 0);
        }
    }

    /// Adds what is left.
    #[inline(always)]
    pub(crate) fn end(mut self, simd: S) -> GroupEnd<S> {
        while self.len - self.at >= LANES {
            self.add(simd, LANES);
        }
        if self.at < self.len {
            self.add(simd, (self.len - self.at) % LANES);
        }
        let empty = self.len == 0;
        if self.column_bits == 0 && !empty {
            self.empty(simd);
        }
        GroupEnd {
            unit: self.unit,
            empty,
            wide: self.wide,
        }
    }
}

#[inline(always)]
fn load<S: Simd, T: Element>(simd: S, chain: &[T::Compute], column: usize) -> T::Vector<S> {
    match chain[column..].first_chunk::<LANES>() {
        Some(values) => T::load_compute(simd, values),
        None => unreachable!("chains are padded to whole vectors"),
    }
}

#[inline(always)]
fn store<S: Simd, T: Element>(
    simd: S,
    value: T::Vector<S>,
    chain: &mut [T::Compute],
    column: usize,
) {
    match chain[column..].first_chunk_mut::<LANES>() {
        Some(to) => T::store_compute(simd, value, to),
        None => unreachable!("chains are padded to whole vectors"),
    }
}
