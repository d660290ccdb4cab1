//! Mean and variance of each channel over what is kept: Σw·(x − k) and Σw·(x − k)², otherwise as `statistics.rs` has them.

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::kept::lanes::KeptLanes;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kept::sampled::sample_kept;
use crate::cpu::kernels::few_values::{FEW, finite_or_zero, unless_square_is_subnormal};
use crate::cpu::kernels::statistics::{BLOCK_ROWS, FirstLook, pivots_as_coefficients};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::{RawSlice, Rows};
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::reduce::centres::Centres;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::PlaneSums;
use crate::cpu::reduce::terms::{Terms, TermsOf};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::Vector;
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::double_double::sum_and_error;
use crate::numeric::Numeric;

/// Takes the moments of what is kept of a tile's channels.
#[derive(Clone, Copy)]
pub struct KeptMoments<'a, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) x: RawSlice<'a, T>,
    pub(crate) kept: &'a KeptOfView<'a, T::Scalar>,
}

impl<T: SimdElement> Kernel for KeptMoments<'_, T> {
    type Output = FirstLook;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> FirstLook {
        let (view, tile) = (self.view, self.tile);
        let channels = tile.channels(view);
        let count = self.kept.count_of(tile);
        if count <= FEW {
            return FirstLook::Moments(self.of_few(count));
        }
        let step = if view.neighbours_share_a_channel() {
            tile.rows.len()
        } else {
            BLOCK_ROWS
        };
        let mut moments = Moments::none(channels.len());
        for rows in tile.rows.clone().step_by(step) {
            let block = &Tile {
                rows: rows..(rows + step).min(tile.rows.end),
                ..tile.clone()
            };
            if self.kept.count_of(block) == 0 {
                continue;
            }
            let sampled = sample_kept(simd, view, block, self.x, self.kept);
            if sampled.have_small_squares::<T::Scalar>() {
                return FirstLook::Centres(Centres::of_sampled::<T::Scalar>(sampled));
            }
            let pivots = &sampled.pivots;
            let coefficients = pivots_as_coefficients::<T>(channels.clone(), pivots);
            let [sum, sum_of_squares] = self.sums::<S, 1>(simd, block, &coefficients);
            let weight = self.kept.weight_of(block);
            moments.add_about_pivot::<T::Scalar>(weight, pivots, &sum, &sum_of_squares);
        }
        FirstLook::Moments(moments)
    }
}

impl<T: SimdElement> KeptMoments<'_, T> {
    /// Σw·d and Σw·d² of each channel of a block of the tile.
    #[inline(always)]
    fn sums<S: Simd, const N: usize>(
        &self,
        simd: S,
        block: &Tile,
        coefficients: &Coefficients<T::Scalar, N>,
    ) -> [Scratch<f64>; 2] {
        let view = self.view;
        let deviations = KeptDeviations {
            x: self.x,
            kept: self.kept,
        };
        if view.neighbours_share_a_channel() {
            return PlaneSums::<T, _, N>::of::<S, N>(view, block, coefficients, deviations)
                .all(simd);
        }
        let columns = coefficients.of_columns(view, block);
        let mut sums = ColumnSums::zero(block.columns(view).len());
        let columns = columns.as_slices::<N>();
        add_columns(simd, view, block, &deviations, columns, &mut sums);
        let channels = block.channels(view).len();
        [&mut sums.sum, &mut sums.sum_of_products].map(|sums| {
            let mut of_channels = Scratch::of_len(channels);
            gather_columns(view, block, sums, &mut of_channels);
            of_channels
        })
    }

    /// The moments of every channel in `f64`, about the first value of each: as `few_values.rs` has them.
    fn of_few(&self, count: usize) -> Moments {
        let channels = self.tile.channels(self.view);
        let mut moments = Moments::none(channels.len());
        if count == 0 {
            return moments;
        }
        let (mut places, mut there, mut weight) = ([(0, 0.0); FEW], 0, 0.0);
        self.kept.each_of(self.tile, |place, of_place| {
            places[there] = (place, of_place);
            weight += of_place;
            there += 1;
        });
        let step = self.view.width;
        let of_channels = || Scratch::of_len(channels.len());
        let (mut pivots, mut sums, mut squares) = (of_channels(), of_channels(), of_channels());
        let mut errors = of_channels();
        for (c, channel) in channels.enumerate() {
            let value = |place: usize| self.x.get(place + channel * step).value();
            let pivot = finite_or_zero(value(places[0].0));
            let (mut sum, mut error, mut sum_of_squares) = (0.0, 0.0, 0.0);
            for &(place, weight) in &places[..there] {
                let (value, is_one) = (value(place), weight == 1.0);
                let difference = value - pivot;
                let with_square = unless_square_is_subnormal(difference);
                sum_of_squares += with_square * with_square * weight;
                let of_sum;
                (sum, of_sum) = sum_and_error(sum, difference * weight);
                let of_difference = sum_and_error(value, -pivot).1;
                // What rounding takes from a product is as little as that from a weight.
                error += of_sum + if is_one { of_difference } else { 0.0 };
            }
            (pivots[c], sums[c], squares[c], errors[c]) = (pivot, sum, sum_of_squares, error);
        }
        moments.add_about_pivot::<f64>(weight, &pivots, &sums, &squares);
        for (low, (sum, error)) in moments
            .mean_low
            .iter_mut()
            .zip(sums.iter().zip(errors.iter()))
        {
            let of_division = (-(sum / weight)).mul_add(weight, *sum);
            let more = (of_division + error) / weight;
            if more.is_finite() {
                *low += more;
            }
        }
        if size_of::<T::Scalar>() < size_of::<f64>() {
            moments.trust_finite();
        }
        moments
    }

    /// The sum of the values of a channel of the tile that are kept and not finite; zero if there are none.
    pub(crate) fn sum_of_not_finite(&self, channel: usize) -> f64 {
        let mut sum = 0.0;
        let channel = self.tile.channels(self.view).start + channel;
        self.kept.each_of(self.tile, |place, _| {
            let value = self.x.get(place + channel * self.view.width).value();
            if !value.is_finite() {
                sum += value;
            }
        });
        sum
    }
}

/// Takes them about given numbers.
pub struct KeptCentredMoments<'a, T: SimdElement> {
    pub(crate) of: KeptMoments<'a, T>,
    pub(crate) centres: &'a Centres,
}

impl<T: SimdElement> Kernel for KeptCentredMoments<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Moments {
        let KeptMoments { view, tile, .. } = self.of;
        let Centres { pivots, scales } = self.centres;
        let channels = tile.channels(view);
        let first = channels.start;
        let coefficients = Coefficients::new(channels.clone(), |channel| {
            let (pivot, scale) = (pivots[channel - first], scales[channel - first]);
            [scale, -pivot * scale].map(T::Scalar::nearest)
        });
        let [mut sum, mut sum_of_squares] = self.of.sums::<S, 2>(simd, tile, &coefficients);
        for c in 0..channels.len() {
            sum[c] /= scales[c];
            sum_of_squares[c] = sum_of_squares[c] / scales[c] / scales[c];
        }
        let weight = self.of.kept.weight_of(tile);
        let mut moments = Moments::none(channels.len());
        moments.add_scaled::<T::Scalar>(weight, pivots, scales, &sum, &sum_of_squares);
        moments
    }
}

/// a = w·d and b = d of what is kept, where d is x − pivot or x·scale + offset, by the number of coefficients.
struct KeptDeviations<'a, T: SimdElement> {
    x: RawSlice<'a, T>,
    kept: &'a KeptOfView<'a, T::Scalar>,
}

impl<'a, S: Simd, T: SimdElement, const N: usize> Terms<S, T, N> for KeptDeviations<'a, T> {
    const FOUR_STREAMS: bool = false;
    const ARE_SQUARES: bool = true;
    type Streams<const A: usize> = (StridedSpans<'a, T, A>, KeptLanes<'a, T::Scalar, A>);
    /// With the first span.
    type Rows = (Rows<'a, T>, Span);

    #[inline(always)]
    fn streams<const A: usize>(&self, spans: [Span; A]) -> Self::Streams<A> {
        (self.x.strided(spans), self.kept.lanes(spans))
    }
    #[inline(always)]
    fn no_streams<const A: usize>(&self) -> Self::Streams<A> {
        (StridedSpans::none(), KeptLanes::none())
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows {
        (self.x.rows(first, count, row_len), first)
    }
    #[inline(always)]
    fn row_streams<const A: usize>(
        &self,
        (x, first): Self::Rows,
        row: usize,
        step: usize,
    ) -> Self::Streams<A> {
        let mut spans = [first; A];
        for i in 0..A {
            spans[i] = x.span(first, row + i * step);
        }
        (x.streams(row, step), self.kept.lanes(spans))
    }
    #[inline(always)]
    fn prefetch<const A: usize>(
        &self,
        simd: S,
        (x, kept): Self::Streams<A>,
        at: usize,
        distance: usize,
    ) {
        if kept.any_at(at) {
            x.prefetch(simd, at, distance);
        }
    }
    #[cfg_attr(not(unoptimized), inline(always))]
    fn terms<const A: usize>(
        &self,
        simd: S,
        (x, kept): Self::Streams<A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        const { assert!(N == 1 || N == 2, "a pivot, or a scale and an offset") }
        let lanes = kept.at(at, count);
        let mut deviations = x.read_any(simd, at, count, lanes);
        for i in 0..A {
            deviations[i] = if N == 1 {
                deviations[i].sub(with[0])
            } else {
                deviations[i].mul_add(with[0], with[N - 1])
            };
            deviations[i] = deviations[i].mask_and(lanes[i]);
        }
        let mut weighted = deviations;
        if opaque(kept.are_weighted()) {
            let weights = kept.weights::<S, T>(simd, at);
            for i in 0..A {
                weighted[i] = deviations[i].mul(weights[i]);
            }
        }
        (weighted, deviations)
    }
}
