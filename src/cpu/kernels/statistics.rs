//! Mean and variance of each channel.
//!
//! mean = Σx / M and variance = Σ(x − mean)² / M, never E\[x²\] − E\[x\]². A block of a channel's values is read once,
//! for Σ(x − k) and Σ(x − k)²: the shift k is the mean of a few values spread over the block, so that nothing cancels.
//! Blocks are merged by Chan's formula ([`Moments`]). A constant block has k = x, thus exactly no deviation.

use std::ops::Range;

use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::{Rows, Run};
use crate::cpu::memory::strided::Runs;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::TileSums;
use crate::cpu::reduce::shift::{shifts_of_columns, shifts_of_units};
use crate::cpu::reduce::terms::{Terms, TermsOf, lanes};
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::Matrix;
use crate::element::Element;

/// Rows, where work is by columns, after which a new shift is chosen.
const BLOCK_ROWS: usize = 1 << 10;

/// Takes the moments of a tile's channels.
pub struct TileMoments<'a, T> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) tile: &'a Tile,
    pub(crate) x: Run<'a, T>,
}

impl<T: Element> Kernel for TileMoments<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Moments {
        if self.matrix.has_units() {
            let shifts = self.shifts(simd);
            let coefficients = shifts_as_coefficients::<T>(self.tile.units.clone(), &shifts);
            let sums = TileSums::<T, _, 1>::of::<S, 1>(
                self.matrix,
                self.tile,
                &coefficients,
                Deviations(self.x),
            );
            self.moments(&shifts, sums.all(simd))
        } else {
            self.of_columns(simd)
        }
    }
}

impl<'a, T: Element> TileMoments<'a, T> {
    pub(crate) fn of(matrix: &'a Matrix, tile: &'a Tile, x: &'a [T]) -> Self {
        let x = Run::new(x);
        Self { matrix, tile, x }
    }

    /// The shift of every channel, where the tile has units.
    #[inline(always)]
    pub(crate) fn shifts<S: Simd>(&self, simd: S) -> Scratch<f64> {
        let mut shifts = Scratch::of_len(self.tile.units.len());
        shifts_of_units(simd, self.matrix, self.tile, self.x, &mut shifts);
        shifts
    }

    /// The moments of every channel, from the sums of the deviations from their shifts.
    #[inline(always)]
    pub(crate) fn moments(&self, shifts: &[f64], [first, second]: [Scratch<f64>; 2]) -> Moments {
        let mut moments = Moments::none(shifts.len());
        let count = self.tile.rows.len() * self.tile.within.len();
        moments.add_shifted(count as f64, shifts, &first, &second);
        moments
    }

    #[inline(always)]
    fn of_columns<S: Simd>(&self, simd: S) -> Moments {
        let channels = self.tile.channels(self.matrix);
        let mut moments = Moments::none(channels.len());
        let mut sums = ColumnSums::zero(self.tile.columns(self.matrix).len());
        let of_channels = || Scratch::of_len(channels.len());
        let (mut shifts, mut first, mut second) = (of_channels(), of_channels(), of_channels());
        for rows in self.tile.rows.clone().step_by(BLOCK_ROWS) {
            let block = Tile {
                rows: rows..(rows + BLOCK_ROWS).min(self.tile.rows.end),
                ..self.tile.clone()
            };
            shifts_of_columns(simd, self.matrix, &block, self.x, &mut shifts);
            let coefficients = shifts_as_coefficients::<T>(channels.clone(), &shifts);
            let numbers = coefficients.of_columns(self.matrix, &block);
            let deviations = Deviations(self.x);
            sums.clear();
            add_columns(
                simd,
                self.matrix,
                &block,
                &deviations,
                numbers.lend(),
                &mut sums,
            );
            gather_columns(self.matrix, &block, &sums.first, &mut first);
            gather_columns(self.matrix, &block, &sums.second, &mut second);
            let whole = self.tile.columns(self.matrix).len();
            let short = whole - self.tile.run(self.matrix, block.rows.end - 1).len();
            let count = (block.rows.len() * whole - short) / channels.len();
            moments.add_shifted(count as f64, &shifts, &first, &second);
        }
        moments
    }
}

/// The shifts of some channels, as the sums want them.
pub(crate) fn shifts_as_coefficients<T: Element>(
    channels: Range<usize>,
    shifts: &[f64],
) -> Coefficients<T::Compute, 1> {
    let first = channels.start;
    Coefficients::new(channels, |channel| {
        [T::Compute::from_f64(shifts[channel - first])]
    })
}

/// a = b = x − shift.
pub(crate) struct Deviations<'a, T>(pub Run<'a, T>);

impl<'a, S: Simd, T: Element> Terms<S, T, 1> for Deviations<'a, T> {
    type Runs<const A: usize> = Runs<'a, T, A>;
    type Rows = Rows<'a, T>;

    #[inline(always)]
    fn runs<const A: usize>(&self, spans: [Span; A]) -> Runs<'a, T, A> {
        self.0.parts(spans)
    }
    #[inline(always)]
    fn no_runs<const A: usize>(&self) -> Runs<'a, T, A> {
        Runs::none()
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        self.0.rows(first, count, row_len)
    }
    #[inline(always)]
    fn rows_abreast<const A: usize>(
        &self,
        rows: Rows<'a, T>,
        row: usize,
        step: usize,
    ) -> Runs<'a, T, A> {
        rows.abreast(row, step)
    }
    #[inline(always)]
    fn fetch<const A: usize>(&self, simd: S, runs: Runs<'a, T, A>, at: usize, distance: usize) {
        runs.fetch(simd, at, distance);
    }
    #[inline(always)]
    fn terms<const A: usize>(
        &self,
        simd: S,
        runs: Runs<'a, T, A>,
        [shift]: [T::Vector<S>; 1],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        let mut deviations = runs.read(simd, at, count);
        for i in 0..A {
            deviations[i] = deviations[i].sub(shift);
            if count < LANES {
                deviations[i] = deviations[i].keep(lanes(0, count));
            }
        }
        (deviations, deviations)
    }
}

/// The moments of all channels, tile by tile.
pub(crate) fn moments<T: Element>(cpu: &Cpu, tiling: &Tiling, x: &[T]) -> Moments {
    let matrix = &tiling.matrix;
    let (count, bytes) = (tiling.count(), size_of_val(x));
    let parts = cpu
        .threads
        .map(count, bytes, tiling.order, |index, _, (): &mut ()| {
            let tile = tiling.tile(index);
            let moments = T::moments(cpu, TileMoments::of(matrix, &tile, x));
            (tile.channels(matrix).start, moments)
        });
    let mut whole = Moments::none(matrix.channels);
    // A channel's parts have its count so far beside them: where channels are cut, not all are equally far.
    let mut counts = vec![0.0; matrix.channels];
    for (first, part) in &parts {
        let count = &mut counts[*first..first + part.mean.len()];
        whole.merge_at(*first, count[0], part);
        count.fill(count[0] + part.count);
    }
    whole.count = counts[0];
    whole
}
