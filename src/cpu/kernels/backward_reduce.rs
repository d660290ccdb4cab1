//! dγ = Σ dv·x̂ and dβ = Σ dv, with dv = dy·activation'(v) and x̂ = (x − mean)·inv_std.

use std::ops::Range;

use crate::backend::activation::Activation;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::Normalization;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::backward::BackwardStreams;
use crate::cpu::kernels::coefficients::{center_of, coefficients_of};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::{RawSlice, Rows};
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::planes::PlaneSums;
use crate::cpu::reduce::terms::{Terms, TermsOf};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Real;

/// Where dy is read: all of the array; or a tile that dx may be written over, where no slice of the whole array can be had while
/// other threads write theirs, and the tile's memory checks every span.
#[derive(Clone, Copy)]
pub(crate) enum Gradient<'a, 'm, T> {
    Array(RawSlice<'a, T>),
    Tile(&'a TileMemory<'m, T>),
}

impl<'a, T: SimdElement> Gradient<'a, '_, T> {
    #[inline(always)]
    pub(super) fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        match self {
            Gradient::Array(dy) => dy.rows(first, count, row_len),
            Gradient::Tile(memory) => memory.input_rows(first, count),
        }
    }

    #[inline(always)]
    pub(super) fn streams<const A: usize>(&self, spans: [Span; A]) -> StridedSpans<'a, T, A> {
        match self {
            Gradient::Array(dy) => dy.strided(spans),
            Gradient::Tile(memory) => memory.inputs(spans),
        }
    }
}

/// Σ dv·x̂ and Σ dv of some channels.
#[derive(Debug)]
pub struct AffineGradients {
    pub(crate) dgamma: Scratch<f64>,
    pub(crate) dbeta: Scratch<f64>,
}

impl AffineGradients {
    /// From Σ dv and Σ dv·x̂.
    pub(crate) fn of([dbeta, dgamma]: [Scratch<f64>; 2]) -> Self {
        Self { dgamma, dbeta }
    }

    /// Zeros, which are the sums of an empty batch and what further sums are added to.
    pub(crate) fn none(channels: usize) -> Self {
        Self {
            dgamma: Scratch::zeros(channels),
            dbeta: Scratch::zeros(channels),
        }
    }

    pub(crate) fn are_finite(&self) -> bool {
        (self.dgamma.iter().chain(self.dbeta.iter())).all(|sum| sum.is_finite())
    }

    /// Takes those that are not finite from sums that were reduced.
    pub(crate) fn replace_not_finite(&mut self, reduced: &Self, reduced_by: f64) {
        let replace = |sums: &mut [f64], reduced: &[f64]| {
            for (sum, reduced) in sums.iter_mut().zip(reduced) {
                if !sum.is_finite() {
                    *sum = reduced / reduced_by;
                }
            }
        };
        replace(&mut self.dgamma, &reduced.dgamma);
        replace(&mut self.dbeta, &reduced.dbeta);
    }

    /// Adds those of some channels, from `first` on.
    pub(crate) fn add_at(&mut self, first: usize, part: &Self) {
        for (i, (dgamma, dbeta)) in part.dgamma.iter().zip(part.dbeta.iter()).enumerate() {
            self.dgamma[first + i] += dgamma;
            self.dbeta[first + i] += dbeta;
        }
    }
}

/// How many coefficients per channel the sums take: center and inv_std, and where v is recomputed scale and shift as well.
pub(crate) const fn sum_coefficients(recompute_v: bool) -> usize {
    if recompute_v { 4 } else { 2 }
}

/// Where the lift is among them.
pub(crate) const SUM_LIFT: usize = 4;

/// All of them, with the lift.
pub(crate) const ALL_SUM_COEFFICIENTS: usize = 5;

/// Center and inv_std, and scale, shift and lift as [`super::normalize`] has them, whether or not v is recomputed. inv_std is enlarged, and
/// so is Σ dv·x̂, by what `enlargement_of` it gives.
pub(crate) fn coefficients<C: Real>(
    with: &Normalization<&[C]>,
    channels: Range<usize>,
    enlargement_of: impl Fn(C) -> f64,
) -> Coefficients<C, ALL_SUM_COEFFICIENTS> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift, lift] = coefficients_of(with, c);
        let inv_std = with.inv_std[c];
        let enlarged = C::nearest(inv_std.value() * enlargement_of(inv_std));
        [center, enlarged, scale, shift, lift]
    })
}

/// Reduces a tile.
pub struct ReduceTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) dy: Gradient<'a, 'm, T>,
    pub(crate) x: RawSlice<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Scalar, ALL_SUM_COEFFICIENTS>,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
}

impl<T: SimdElement> Kernel for ReduceTile<'_, '_, T> {
    type Output = AffineGradients;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> AffineGradients {
        if self.activation.recomputes_v() {
            self.reduce::<S, true, { sum_coefficients(true) }>(simd)
        } else {
            self.reduce::<S, false, { sum_coefficients(false) }>(simd)
        }
    }
}

impl<'a, 'm, T: SimdElement> ReduceTile<'a, 'm, T> {
    #[inline(always)]
    fn reduce<S: Simd, const RECOMPUTE_V: bool, const N: usize>(self, simd: S) -> AffineGradients {
        let (view, tile) = (self.view, self.tile);
        let terms = self.terms::<RECOMPUTE_V>();
        if view.neighbours_share_a_channel() {
            let sums = PlaneSums::<T, _, N>::of::<S, ALL_SUM_COEFFICIENTS>(
                view,
                tile,
                self.coefficients,
                terms,
            );
            return AffineGradients::of(sums.all(simd));
        }
        let mut out = AffineGradients::none(tile.channels(view).len());
        let columns = self.coefficients.of_columns(view, tile);
        let mut sums = ColumnSums::zero(tile.columns(view).len());
        add_columns(
            simd,
            view,
            tile,
            &terms,
            columns.as_slices::<N>(),
            &mut sums,
        );
        gather_columns(view, tile, &mut sums.sum, &mut out.dbeta);
        gather_columns(view, tile, &mut sums.sum_of_products, &mut out.dgamma);
        out
    }

    /// The terms of the sums.
    #[inline(always)]
    pub(crate) fn terms<const RECOMPUTE_V: bool>(&self) -> GradientTerms<'a, 'm, T, RECOMPUTE_V> {
        GradientTerms {
            view: self.view,
            dy: self.dy,
            x: self.x,
            activation: self.activation,
        }
    }
}

/// a = dv and b = x̂.
pub(crate) struct GradientTerms<'a, 'm, T, const RECOMPUTE_V: bool> {
    view: &'a MatrixView,
    dy: Gradient<'a, 'm, T>,
    x: RawSlice<'a, T>,
    activation: ActivationBackward<&'a [u8], &'a [T]>,
}

impl<'a, T: SimdElement, const RECOMPUTE_V: bool> GradientTerms<'a, '_, T, RECOMPUTE_V> {
    /// The terms of an empty array, where there is no next tile.
    pub(crate) fn nothing(view: &'a MatrixView) -> Self {
        Self {
            view,
            dy: Gradient::Array(RawSlice::new(&[])),
            x: RawSlice::new(&[]),
            activation: ActivationBackward::of(Activation::None),
        }
    }
}

impl<'a, S: Simd, T: SimdElement, const RECOMPUTE_V: bool, const N: usize> Terms<S, T, N>
    for GradientTerms<'a, '_, T, RECOMPUTE_V>
{
    const ARE_SQUARES: bool = false;
    type Streams<const A: usize> = (
        StridedSpans<'a, T, A>,
        StridedSpans<'a, T, A>,
        BackwardStreams<'a, T, A>,
    );
    /// With the first span, for what was saved.
    type Rows = (Rows<'a, T>, Rows<'a, T>, Span);

    #[inline(always)]
    fn streams<const A: usize>(&self, spans: [Span; A]) -> Self::Streams<A> {
        (
            self.dy.streams(spans),
            self.x.strided(spans),
            self.activation.streams(self.view, spans),
        )
    }
    #[inline(always)]
    fn no_streams<const A: usize>(&self) -> Self::Streams<A> {
        (
            StridedSpans::none(),
            StridedSpans::none(),
            BackwardStreams::none(),
        )
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows {
        let x = self.x.rows(first, count, row_len);
        (self.dy.rows(first, count, row_len), x, first)
    }
    #[inline(always)]
    fn row_streams<const A: usize>(
        &self,
        (dy, x, first): Self::Rows,
        row: usize,
        step: usize,
    ) -> Self::Streams<A> {
        let mut spans = [first; A];
        for i in 0..A {
            spans[i] = dy.span(first, row + i * step);
        }
        let activation = self.activation.streams(self.view, spans);
        (dy.streams(row, step), x.streams(row, step), activation)
    }
    #[inline(always)]
    fn prefetch<const A: usize>(
        &self,
        simd: S,
        (dy, x, _): Self::Streams<A>,
        at: usize,
        distance: usize,
    ) {
        dy.prefetch(simd, at, distance);
        x.prefetch(simd, at, distance);
    }
    #[cfg_attr(not(unoptimized), inline(always))]
    fn terms<const A: usize>(
        &self,
        simd: S,
        (dy, x, activation): Self::Streams<A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        const { assert!(N == sum_coefficients(RECOMPUTE_V)) }
        let (center, inv_std) = (with[0], with[1]);
        let (mut dv, mut x) = ([dy.read(simd, at, count)], x.read(simd, at, count));
        // Past the end dy is zero, and so is dv.
        activation.apply_saved(simd, at, count, &mut dv);
        let [mut dv] = dv;
        for i in 0..A {
            x[i] = x[i].sub(center);
        }
        if RECOMPUTE_V {
            let (scale, shift, mut v) = (with[2], with[3], x);
            for i in 0..A {
                v[i] = x[i].mul_add(scale, shift);
            }
            activation.apply_recomputed(simd, &mut dv, v);
        }
        for i in 0..A {
            // Multiplied before it is summed: dv·(x − mean) can overflow where dv·x̂ cannot.
            x[i] = x[i].mul(inv_std);
            if count < LANES {
                x[i] = x[i].mask_and(lane_mask(0, count));
            }
        }
        (dv, x)
    }
}

/// Takes out what the rounding of the mean put into Σ dv·x̂, for channels from `first` on.
pub(crate) fn correct_for_center<C: Real>(
    sums: &mut AffineGradients,
    with: &Normalization<&[C]>,
    first: usize,
) {
    for (i, (dgamma, dbeta)) in sums.dgamma.iter_mut().zip(sums.dbeta.iter()).enumerate() {
        let rounding_residue = center_of(with, first + i).1 * with.inv_std[first + i].value();
        if rounding_residue != 0.0 {
            *dgamma -= rounding_residue * dbeta;
        }
    }
}
