//! Mean and variance of each channel.
//!
//! mean = Σx / M and variance = Σ(x − mean)² / M, never E\[x²\] − E\[x\]². A block of a channel's values is read once,
//! for Σ(x − k) and Σ(x − k)²: the pivot k is the mean of a few values spread over the block, so that nothing cancels.
//! Blocks are merged by Chan's formula ([`Moments`]). A constant block has k = x, thus exactly no deviation.

use std::ops::Range;

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::{RawSlice, Rows};
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::reduce::centres::Centres;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::pivot::{Sampled, sample_columns, sample_planes};
use crate::cpu::reduce::planes::PlaneSums;
use crate::cpu::reduce::terms::{Terms, TermsOf};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Numeric;

/// Rows, where work is by columns, after which a new pivot is chosen.
pub(crate) const BLOCK_ROWS: usize = 1 << 10;

/// Takes the moments of a tile's channels.
#[derive(Clone, Copy)]
pub struct TileMoments<'a, T> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) x: RawSlice<'a, T>,
}

/// What the first look at a tile gives.
#[derive(Debug)]
pub enum FirstLook {
    Moments(Moments),
    /// Where deviations are to be taken from, and on what scale: all of those of a channel seem to be so small that their squares
    /// are subnormal numbers, which are slow, or zero.
    Centres(Centres),
}

impl<T: SimdElement> Kernel for TileMoments<'_, T> {
    type Output = FirstLook;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> FirstLook {
        if self.are_of_few() {
            FirstLook::Moments(self.of_few(simd))
        } else if self.view.neighbours_share_a_channel() {
            let sampled = self.sample(simd);
            if sampled.have_small_squares::<T::Scalar>() {
                return FirstLook::Centres(Centres::of_sampled::<T::Scalar>(sampled));
            }
            let pivots = &sampled.pivots;
            let coefficients = pivots_as_coefficients::<T>(self.tile.planes.clone(), pivots);
            let sums = PlaneSums::<T, _, 1>::of::<S, 1>(
                self.view,
                self.tile,
                &coefficients,
                Deviations(self.x),
            );
            FirstLook::Moments(self.moments(pivots, sums.all(simd)))
        } else {
            self.of_columns(simd)
        }
    }
}

impl<'a, T: SimdElement> TileMoments<'a, T> {
    pub(crate) fn of(view: &'a MatrixView, tile: &'a Tile, x: &'a [T]) -> Self {
        let x = RawSlice::new(x);
        Self { view, tile, x }
    }

    /// The pivot of every channel, where neighbouring values are of one.
    #[inline(always)]
    pub(crate) fn sample<S: Simd>(&self, simd: S) -> Sampled {
        sample_planes(simd, self.view, self.tile, self.x)
    }

    /// The moments of every channel, from the sums of the deviations from their pivots.
    #[inline(always)]
    pub(crate) fn moments(
        &self,
        pivots: &[f64],
        [sum, sum_of_squares]: [Scratch<f64>; 2],
    ) -> Moments {
        let mut moments = Moments::none(pivots.len());
        let count = self.tile.values_per_channel(self.view) as f64;
        moments.add_about_pivot::<T::Scalar>(count, pivots, &sum, &sum_of_squares);
        moments
    }

    #[inline(always)]
    fn of_columns<S: Simd>(&self, simd: S) -> FirstLook {
        let channels = self.tile.channels(self.view);
        let mut moments = Moments::none(channels.len());
        let mut sums = ColumnSums::zero(self.tile.columns(self.view).len());
        let of_channels = || Scratch::of_len(channels.len());
        let (mut sum, mut sum_of_squares) = (of_channels(), of_channels());
        let mut sampled = Sampled::of_len(channels.len());
        for rows in self.tile.rows.clone().step_by(BLOCK_ROWS) {
            let block = Tile {
                rows: rows..(rows + BLOCK_ROWS).min(self.tile.rows.end),
                ..self.tile.clone()
            };
            sample_columns(simd, self.view, &block, self.x, &mut sampled);
            if sampled.have_small_squares::<T::Scalar>() {
                return FirstLook::Centres(Centres::of_sampled::<T::Scalar>(sampled));
            }
            let pivots = &sampled.pivots;
            let coefficients = pivots_as_coefficients::<T>(channels.clone(), pivots);
            let columns = coefficients.of_columns(self.view, &block);
            let deviations = Deviations(self.x);
            sums.clear();
            add_columns(
                simd,
                self.view,
                &block,
                &deviations,
                columns.as_slices::<1>(),
                &mut sums,
            );
            gather_columns(self.view, &block, &mut sums.sum, &mut sum);
            gather_columns(
                self.view,
                &block,
                &mut sums.sum_of_products,
                &mut sum_of_squares,
            );
            let count = block.values_per_channel(self.view) as f64;
            moments.add_about_pivot::<T::Scalar>(count, pivots, &sum, &sum_of_squares);
        }
        FirstLook::Moments(moments)
    }
}

/// The pivots of some channels, as the sums want them.
pub(crate) fn pivots_as_coefficients<T: SimdElement>(
    channels: Range<usize>,
    pivots: &[f64],
) -> Coefficients<T::Scalar, 1> {
    let first = channels.start;
    Coefficients::new(channels, |channel| {
        [T::Scalar::nearest(pivots[channel - first])]
    })
}

/// a = b = x − pivot with one coefficient, the pivot; a = b = x·scale + offset with two, for deviations on another scale.
pub(crate) struct Deviations<'a, T>(pub RawSlice<'a, T>);

impl<'a, S: Simd, T: SimdElement, const N: usize> Terms<S, T, N> for Deviations<'a, T> {
    const ARE_SQUARES: bool = true;
    type Streams<const A: usize> = StridedSpans<'a, T, A>;
    type Rows = Rows<'a, T>;

    #[inline(always)]
    fn streams<const A: usize>(&self, spans: [Span; A]) -> StridedSpans<'a, T, A> {
        self.0.strided(spans)
    }
    #[inline(always)]
    fn no_streams<const A: usize>(&self) -> StridedSpans<'a, T, A> {
        StridedSpans::none()
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        self.0.rows(first, count, row_len)
    }
    #[inline(always)]
    fn row_streams<const A: usize>(
        &self,
        rows: Rows<'a, T>,
        row: usize,
        step: usize,
    ) -> StridedSpans<'a, T, A> {
        rows.streams(row, step)
    }
    #[inline(always)]
    fn prefetch<const A: usize>(
        &self,
        simd: S,
        streams: StridedSpans<'a, T, A>,
        at: usize,
        distance: usize,
    ) {
        streams.prefetch(simd, at, distance);
    }
    #[cfg_attr(not(unoptimized), inline(always))]
    fn terms<const A: usize>(
        &self,
        simd: S,
        streams: StridedSpans<'a, T, A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        const { assert!(N == 1 || N == 2, "a pivot, or a scale and an offset") }
        let mut deviations = streams.read(simd, at, count);
        for i in 0..A {
            deviations[i] = if N == 1 {
                deviations[i].sub(with[0])
            } else {
                deviations[i].mul_add(with[0], with[N - 1])
            };
            if count < LANES {
                deviations[i] = deviations[i].mask_and(lane_mask(0, count));
            }
        }
        (deviations, deviations)
    }
}
