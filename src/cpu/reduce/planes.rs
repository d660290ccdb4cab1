//! Sums of every unit of a tile, where neighbouring values are of one channel: taken four runs side by side, alone or beside
//! the pass that writes the tile before.
//!
//! Beside it, memory is read and written at the same time, and what was read is in cache when its own turn to be written
//! comes. The order of the additions is the same with and without: bits do not depend on who took which tile.

use crate::cpu::elementwise::broadcast::{Cursor, Numbers};
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::parallel::Order;
use crate::cpu::reduce::terms::{Terms, add_terms, lanes, sum_lanes};
use crate::cpu::simd::{LANES, Simd, Vector};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::streams::{Abreast, Groups};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::Matrix;
use crate::element::Element;

/// How far ahead memory is fetched, in vectors: the processor's own prefetch begins anew in every page.
const AHEAD: usize = 8;

/// Additions to a lane of a unit's sums before they are emptied into `f64`.
const LONGEST_CHAIN: usize = 16;
/// What a unit's totals take.
const UNIT_LANES: usize = 2 * LANES;

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
pub(crate) struct TileSums<'a, T: Element, R, const N: usize> {
    terms: R,
    /// What the terms of each unit take.
    numbers: Numbers<'a, T::Compute, N>,
    /// Whether a run is of one unit.
    by_units: bool,
    first_unit: usize,
    /// What is left to add.
    groups: Option<Groups<'a>>,
    /// Of each unit both sums, spread over sixteen lanes.
    totals: Scratch<f64>,
}

impl<'a, T: Element, R, const N: usize> TileSums<'a, T, R, N> {
    /// Terms take the first `N` of the coefficients.
    #[inline(always)]
    pub(crate) fn of<S: Simd, const M: usize>(
        matrix: &'a Matrix,
        tile: &'a Tile,
        coefficients: &'a Coefficients<T::Compute, M>,
        terms: R,
    ) -> Self {
        let order = order_of_sums(tile);
        Self {
            terms,
            numbers: coefficients.of_units(tile),
            by_units: !matrix.along_rows(),
            first_unit: tile.units.start,
            groups: Some(Groups::row_by_row(matrix, tile, S::FOUR_ABREAST, order)),
            totals: Scratch::zeros(tile.units.len() * UNIT_LANES),
        }
    }

    /// Nothing to add up.
    pub(crate) fn nothing(terms: R) -> Self {
        Self {
            terms,
            numbers: Numbers::none(),
            by_units: false,
            first_unit: 0,
            groups: None,
            totals: Scratch::of_len(0),
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
            cursor: Cursor::at_start(simd, Numbers::none()),
            at: 0,
            len: 0,
            sums: [T::splat(simd, T::Compute::default()); 2],
            chained: 0,
            unit: 0,
            totals: &mut [],
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
        let (unit, numbers) = if self.by_units {
            let unit = unit - self.first_unit;
            (unit, self.numbers.of_unit(unit))
        } else {
            (0, self.numbers)
        };
        GroupSums {
            runs: self.terms.runs(spans),
            terms: &self.terms,
            cursor: Cursor::at_start(simd, numbers),
            at: 0,
            len: spans[0].len(),
            sums: [T::splat(simd, T::Compute::default()); 2],
            chained: 0,
            unit,
            totals: &mut self.totals,
        }
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
                    self.begin(simd, group.unit, spans).end(simd);
                }
                Abreast::Four(_) => unreachable!("no groups of four were asked for"),
                Abreast::One(span) => self.begin(simd, group.unit, [span]).end(simd),
            }
        }
        self.end()
    }

    /// Σa and Σa·b of each unit, once all groups have been added.
    #[inline(always)]
    pub(crate) fn end(self) -> [Scratch<f64>; 2] {
        let units = self.totals.len() / UNIT_LANES;
        let mut sums = [Scratch::of_len(units), Scratch::of_len(units)];
        for (unit, lanes) in self.totals.chunks_exact(UNIT_LANES).enumerate() {
            for (sum, lanes) in sums.iter_mut().zip(lanes.as_chunks().0) {
                sum[unit] = sum_lanes(*lanes);
            }
        }
        sums
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
    cursor: Cursor<'s, S, T, N>,
    at: usize,
    len: usize,
    /// Of the unit that has been begun.
    sums: [T::Vector<S>; 2],
    /// How many times they were added to.
    chained: usize,
    unit: usize,
    totals: &'s mut [f64],
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
        let mut left = self.cursor.left();
        // That a unit has ended is noticed here, not when it did: this goes into the loop of every pass, where one more place
        // that empties is felt.
        if left == 0 || self.chained == LONGEST_CHAIN {
            self.empty(simd);
            if left == 0 {
                self.unit += 1;
                left = self.cursor.width();
            }
        }
        let with = self.cursor.advance(simd, count);
        let new = self.terms.terms(simd, self.runs, with, self.at, count);
        self.at += count;
        if left >= count {
            self.sums = add_terms::<S, T, A>(new, self.sums);
            self.chained += 1;
            return;
        }
        // One unit ends in this vector, or several.
        let zero = [T::splat(simd, T::Compute::default()); 2];
        let new = add_terms::<S, T, A>(new, zero);
        let (mut from, mut to) = (0, left);
        loop {
            for i in 0..2 {
                self.sums[i] = self.sums[i].add(new[i].keep(lanes(from, to)));
            }
            if to == count {
                self.chained = 1;
                return;
            }
            self.empty(simd);
            self.unit += 1;
            (from, to) = (to, count.min(to + self.cursor.width()));
        }
    }

    /// Adds the sums to the totals of their unit.
    #[inline(always)]
    fn empty(&mut self, simd: S) {
        let totals = &mut self.totals[self.unit * UNIT_LANES..][..UNIT_LANES];
        for i in 0..2 {
            if let Some(total) = totals[i * LANES..].first_chunk_mut::<LANES>() {
                simd.store_f64(simd.load_f64(total).add(self.sums[i].widen()), total);
            }
        }
        self.sums = [T::splat(simd, T::Compute::default()); 2];
        self.chained = 0;
    }

    /// Adds what is left.
    #[inline(always)]
    pub(crate) fn end(mut self, simd: S) {
        while self.len - self.at >= LANES {
            self.add(simd, LANES);
        }
        if self.at < self.len {
            self.add(simd, (self.len - self.at) % LANES);
        }
        if self.len > 0 {
            self.empty(simd);
        }
    }
}
