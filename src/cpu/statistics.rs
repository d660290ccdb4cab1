//! Mean and variance of each channel.
//!
//! mean = Σx / M and variance = Σ(x − mean)² / M, never E\[x²\] − E\[x\]². A block of a channel's values is read once,
//! for Σ(x − k) and Σ(x − k)²: the shift k is the mean of 16 values spread over the block, so that nothing cancels.
//! Blocks are merged by Chan's formula ([`Moments`]). A constant block has k = x, thus exactly no deviation.

use std::ops::Range;

use super::Cpu;
use super::coefficients::{Coefficient, PerColumn, Same, gather_columns, spread_over_columns};
use super::matrix::Matrix;
use super::moments::Moments;
use super::runs::{Rows, Run};
use super::simd::{Kernel, LANES, Simd, Vector};
use super::sums::{
    ColumnSums, Reduction, Terms, TermsOf, add_columns, add_units, chunks, low_bits, sum_lanes,
};
use super::tiles::{Span, Tile, Tiling};
use crate::Element;

/// Values (of one channel, where work is by units) after which a new shift is chosen.
const BLOCK_VALUES: usize = 32 << 10;
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
        if self.matrix.sums_columns() {
            self.by_columns(simd)
        } else {
            self.by_units(simd)
        }
    }
}

impl<T: Element> TileMoments<'_, T> {
    #[inline(always)]
    fn by_units<S: Simd>(self, simd: S) -> Moments {
        let channels = self.tile.units.len();
        let mut moments = Moments::none(channels);
        let mut shifts = vec![0.0; channels];
        let (mut first, mut second) = (vec![0.0; channels], vec![0.0; channels]);
        let width = self.tile.within.len();
        for rows in chunks(self.tile.rows.clone(), (BLOCK_VALUES / width).max(1)) {
            for within in chunks(self.tile.within.clone(), BLOCK_VALUES) {
                let block = Tile {
                    rows: rows.clone(),
                    units: self.tile.units.clone(),
                    within,
                };
                self.choose_shifts(simd, &block, block.units.clone(), &mut shifts);
                add_units(
                    simd,
                    self.matrix,
                    &block,
                    &Deviations {
                        x: self.x,
                        shifts: &shifts,
                        columns: &[],
                    },
                    [&mut first, &mut second],
                );
                moments.add_shifted(
                    (block.rows.len() * block.within.len()) as f64,
                    &shifts,
                    &first,
                    &second,
                );
            }
        }
        moments
    }

    #[inline(always)]
    fn by_columns<S: Simd>(&self, simd: S) -> Moments {
        let channels = self.tile.channels(self.matrix);
        let mut moments = Moments::none(channels.len());
        let mut sums = ColumnSums::zero(self.tile.columns(self.matrix).len());
        let mut shifts = vec![0.0; channels.len()];
        let mut columns = Vec::new();
        let (mut first, mut second) = (vec![0.0; channels.len()], vec![0.0; channels.len()]);
        for rows in chunks(self.tile.rows.clone(), BLOCK_ROWS) {
            let block = Tile {
                rows,
                ..self.tile.clone()
            };
            self.choose_shifts(simd, &block, channels.clone(), &mut shifts);
            columns.clear();
            spread_over_columns(
                self.matrix,
                &block,
                &shifts,
                T::Compute::from_f64,
                &mut columns,
            );
            sums.clear();
            add_columns(
                simd,
                self.matrix,
                &block,
                &Deviations {
                    x: self.x,
                    shifts: &[],
                    columns: &columns,
                },
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

    /// For each of some channels the mean of 16 values spread over a block, as the vectors can hold it: exact for 16 equal ones.
    #[inline(always)]
    fn choose_shifts<S: Simd>(
        &self,
        simd: S,
        block: &Tile,
        channels: Range<usize>,
        shifts: &mut [f64],
    ) {
        let (width, values) = (block.within.len(), block.rows.len() * block.within.len());
        let mut places = [0; LANES];
        for (i, place) in places.iter_mut().enumerate() {
            let at = i * values / LANES;
            let row = block.rows.start + at / width;
            *place = row * self.matrix.row_len() + block.within.start + at % width;
        }
        if self.matrix.width == 1 {
            // Neighbouring values are of neighbouring channels.
            for (shifts, at) in shifts.chunks_mut(LANES).zip(channels.step_by(LANES)) {
                let mut samples = [T::splat(simd, T::Compute::default()); LANES];
                for i in 0..LANES {
                    let run = self.x.part(places[i] + at..places[i] + at + shifts.len());
                    samples[i] = run.read(simd, 0, shifts.len());
                }
                let mut half = LANES / 2;
                while half > 0 {
                    for i in 0..half {
                        samples[i] = samples[i].add(samples[i + half]);
                    }
                    half /= 2;
                }
                let sixteenth = T::splat(simd, T::Compute::from_f64(1.0 / LANES as f64));
                let mean = samples[0].mul(sixteenth).widen().to_array();
                shifts.copy_from_slice(&mean[..shifts.len()]);
            }
            return;
        }
        for (shift, channel) in shifts.iter_mut().zip(channels) {
            let mut samples = [0.0; LANES];
            for (sample, place) in samples.iter_mut().zip(places) {
                *sample = self.x.get(place + channel * self.matrix.width).to_f64();
            }
            let mean = sum_lanes(samples) / LANES as f64;
            *shift = T::Compute::from_f64(mean).to_f64();
        }
    }
}

/// a = b = x − shift.
struct Deviations<'a, T: Element> {
    x: Run<'a, T>,
    /// Of the tile's units; or
    shifts: &'a [f64],
    /// of its columns.
    columns: &'a [T::Compute],
}

struct DeviationTerms<'a, T, K> {
    x: Run<'a, T>,
    shift: K,
}

impl<T: Element> Reduction<T> for Deviations<'_, T> {
    type OfUnit<'r, S: Simd>
        = DeviationTerms<'r, T, Same<T::Vector<S>>>
    where
        Self: 'r;
    type OfColumns<'r, S: Simd>
        = DeviationTerms<'r, T, PerColumn<'r, T::Compute>>
    where
        Self: 'r;

    #[inline(always)]
    fn of_unit<S: Simd>(&self, simd: S, i: usize) -> Self::OfUnit<'_, S> {
        DeviationTerms {
            x: self.x,
            shift: Same(T::splat(simd, T::Compute::from_f64(self.shifts[i]))),
        }
    }
    #[inline(always)]
    fn of_columns<S: Simd>(&self, _: S) -> Self::OfColumns<'_, S> {
        DeviationTerms {
            x: self.x,
            shift: PerColumn(self.columns),
        }
    }
}

impl<'a, S: Simd, T: Element, K: Coefficient<S, T>> Terms<S, T> for DeviationTerms<'a, T, K> {
    type Run = Run<'a, T>;
    type Rows = Rows<'a, T>;
    type Coefficients<const N: usize> = [T::Vector<S>; N];

    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        self.x.rows(first, count, row_len)
    }
    #[inline(always)]
    fn row(&self, rows: Rows<'a, T>, i: usize) -> Run<'a, T> {
        rows.row(i)
    }
    #[inline(always)]
    fn coefficients<const N: usize>(&self, simd: S, at: usize) -> [T::Vector<S>; N] {
        self.shift.load_each(simd, at)
    }
    #[inline(always)]
    fn terms<const N: usize>(
        &self,
        simd: S,
        run: Run<'a, T>,
        shift: [T::Vector<S>; N],
        at: usize,
    ) -> TermsOf<S, T, N> {
        let mut deviation = run.load::<S, N>(simd, at);
        for i in 0..N {
            deviation[i] = deviation[i].sub(shift[i]);
        }
        (deviation, deviation)
    }
    #[inline(always)]
    fn last_terms(
        &self,
        simd: S,
        run: Run<'a, T>,
        [shift]: [T::Vector<S>; 1],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, 1> {
        let deviation = run
            .load_some(simd, at, count)
            .sub(shift)
            .keep(low_bits(count));
        ([deviation], [deviation])
    }
}

/// The moments of all channels, tile by tile.
pub(crate) fn moments<T: Element>(cpu: &Cpu, tiling: &Tiling, x: &[T]) -> Moments {
    let matrix = &tiling.matrix;
    let (count, bytes) = (tiling.count(), size_of_val(x));
    let parts = cpu.threads.map(count, bytes, tiling.order, |index, _| {
        let tile = tiling.tile(index);
        (
            tile.channels(matrix).start,
            T::moments(
                cpu,
                TileMoments {
                    matrix,
                    tile: &tile,
                    x: Run::new(x),
                },
            ),
        )
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
