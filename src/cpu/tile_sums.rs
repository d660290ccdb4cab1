//! Sums of every unit of a tile, where neighbouring values are of one channel: taken four runs side by side, alone or beside
//! the pass that writes the tile before.
//!
//! Beside it, memory is read and written at the same time, and what was read is in cache when its own turn to be written
//! comes. The order of the additions is the same with and without: bits do not depend on who took which tile.

use super::abreast::{ABREAST, Abreast, Groups};
use super::blocks::Blocks;
use super::coefficients::Coefficients;
use super::matrix::Matrix;
use super::scratch::Scratch;
use super::simd::{LANES, Simd, Vector};
use super::sums::{CHAIN, Terms, add_terms, sum_lanes};
use super::threads::Order;
use super::tiles::{Span, Tile};
use crate::Element;

/// How far ahead memory is fetched, in vectors: the processor's own prefetch begins anew in every page.
const AHEAD: usize = 8;

/// Whether the sums of a tile can be taken beside the pass that writes another: they go the same way.
pub(crate) fn can_be_beside(matrix: &Matrix, tile: &Tile, written: &Tile) -> bool {
    let one_run = matrix.rows_are_one_run() && written.has_whole_rows(matrix);
    matrix.has_units() && tile.has_form_of(written) && !one_run
}

/// In which order the rows of a tile are added up: neighbouring tiles the other way round, so that what was read last, and
/// is in cache still where all is too large for it, is written first. By the tile alone, for bits depend on it.
fn order_of_sums(tile: &Tile) -> Order {
    if tile.units.start.is_multiple_of(2) {
        Order::LastFirst
    } else {
        Order::FirstFirst
    }
}

/// In which order a tile's rows are written: as those of the next one are added up, if that is done beside.
pub(crate) fn order_of_writing(next: Option<&Tile>) -> Order {
    next.map_or(Order::LastFirst, order_of_sums)
}

/// Σa and Σa·b of the units of a tile.
pub(crate) struct TileSums<'a, T: Element, R, const N: usize, const M: usize> {
    terms: R,
    /// Where work is by units, what the terms take: the first `N` of these numbers.
    of_units: Option<&'a Coefficients<T::Compute, M>>,
    blocks: Blocks<T::Compute, N>,
    /// What is left to add.
    groups: Option<Groups<'a>>,
    first_unit: usize,
    /// Of a unit.
    width: usize,
    /// Values that each column's sums have added up.
    chained: usize,
    totals: [Scratch<f64>; 2],
}

impl<'a, T: Element, R, const N: usize, const M: usize> TileSums<'a, T, R, N, M> {
    #[inline(always)]
    pub(crate) fn of<S: Simd>(
        simd: S,
        matrix: &'a Matrix,
        tile: &'a Tile,
        coefficients: &'a Coefficients<T::Compute, M>,
        terms: R,
    ) -> Self {
        let (width, by_columns) = (tile.within.len(), matrix.by_columns());
        let numbers = coefficients.of_channels(tile.units.clone());
        let units = || Scratch::zeros(tile.units.len());
        Self {
            terms,
            of_units: (!by_columns).then_some(coefficients),
            blocks: if by_columns {
                Blocks::of_columns::<S, T>(simd, numbers, width)
            } else {
                Blocks::of_unit()
            },
            groups: Some(Groups::row_by_row(
                matrix,
                tile,
                S::FOUR_ABREAST,
                order_of_sums(tile),
            )),
            first_unit: tile.units.start,
            width,
            chained: 0,
            totals: [units(), units()],
        }
    }

    /// Nothing to add up.
    pub(crate) fn nothing(terms: R) -> Self {
        Self {
            terms,
            of_units: None,
            blocks: Blocks::none(),
            groups: None,
            first_unit: 0,
            width: 0,
            chained: 0,
            totals: [Scratch::of_len(0), Scratch::of_len(0)],
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
            blocks: &mut self.blocks,
            at: 0,
            len: 0,
            column_bits: 0,
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
        let (column_bits, chain_bits) = match self.of_units {
            None => (usize::MAX, usize::MAX),
            Some(coefficients) => {
                let numbers = coefficients.of_channel(unit);
                self.blocks.begin_unit::<S, T>(simd, numbers);
                (0, CHAIN / A * LANES - 1)
            }
        };
        GroupSums {
            runs: self.terms.runs(spans),
            terms: &self.terms,
            blocks: &mut self.blocks,
            at: 0,
            len: spans[0].len(),
            column_bits,
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
        if self.of_units.is_some() {
            for i in 0..2 {
                let total = &mut self.totals[i][group.unit - self.first_unit];
                *total += sum_lanes(group.wide[i].to_array());
            }
            return;
        }
        self.chained += A;
        if self.chained + ABREAST > CHAIN {
            self.add_columns_to_units(simd);
            self.blocks.clear_sums::<S, T>(simd);
            self.chained = 0;
        }
    }

    /// Adds the sums of all columns to those of their units.
    #[inline(always)]
    fn add_columns_to_units<S: Simd>(&mut self, simd: S) {
        for unit in 0..self.totals[0].len() {
            let columns = unit * self.width..(unit + 1) * self.width;
            let sums = self.blocks.sums_of::<S, T>(simd, columns);
            self.totals[0][unit] += sum_lanes(sums[0].to_array());
            self.totals[1][unit] += sum_lanes(sums[1].to_array());
        }
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
    pub(crate) fn all<S: Simd>(mut self, simd: S) -> [Scratch<f64>; 2]
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
    pub(crate) fn end<S: Simd>(mut self, simd: S) -> [Scratch<f64>; 2] {
        if self.chained > 0 {
            self.add_columns_to_units(simd);
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
    blocks: &'s mut Blocks<T::Compute, N>,
    at: usize,
    len: usize,
    /// Which bits of a place are its column's: none, where work is by units.
    column_bits: usize,
    /// A unit's sums are emptied where a place has none of these bits.
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
    /// Adds the next `L` whole vectors of each run, if there are so many, while what comes after them is fetched.
    #[inline(always)]
    pub(crate) fn advance<const L: usize>(&mut self, simd: S) {
        if self.len - self.at >= L * LANES {
            self.terms.fetch(simd, self.runs, self.at, AHEAD * LANES);
            for _ in 0..L {
                self.add(simd, LANES);
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, simd: S, count: usize) {
        let column = self.at & self.column_bits;
        let with = self.blocks.numbers::<S, T>(simd, column);
        let new = self.terms.terms(simd, self.runs, with, self.at, count);
        let mut sums = add_terms::<S, T, A>(new, self.blocks.sums::<S, T>(simd, column));
        self.at += count;
        if self.at & self.chain_bits == 0 {
            for i in 0..2 {
                self.wide[i] = self.wide[i].add(sums[i].widen());
            }
            sums = [T::splat(simd, T::Compute::default()); 2];
        }
        self.blocks.set_sums::<S, T>(simd, column, sums);
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
            let sums = self.blocks.sums::<S, T>(simd, 0);
            for i in 0..2 {
                self.wide[i] = self.wide[i].add(sums[i].widen());
            }
        }
        GroupEnd {
            unit: self.unit,
            empty,
            wide: self.wide,
        }
    }
}
