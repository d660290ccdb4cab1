//! dγ = Σ g·x̂ and dβ = Σ g over what is kept: as `backward_reduce.rs` has them.

use crate::backend::epilogue::ActivationBackward;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::backward::BackwardStreams;
use crate::cpu::epilogue::output::OutputStreams;
use crate::cpu::kept::lanes::KeptLanes;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kernels::backward_reduce::{
    ALL_SUM_COEFFICIENTS, AffineGradients, Gradient, sum_coefficients,
};
use crate::cpu::memory::slice::{RawSlice, Rows};
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::planes::PlaneSums;
use crate::cpu::reduce::terms::{Terms, TermsOf};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::Vector;
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::{Numeric, Real};

/// Reduces what is kept of a tile.
pub struct KeptReduceTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) kept: &'a KeptOfView<'a, T::Scalar>,
    pub(crate) dy: Gradient<'a, 'm, T>,
    pub(crate) x: RawSlice<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Scalar, ALL_SUM_COEFFICIENTS>,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
    /// Whether dv are reduced by [`Real::REDUCES`], and both sums with them.
    pub(crate) reduces: bool,
}

impl<T: SimdElement> Kernel for KeptReduceTile<'_, '_, T> {
    type Output = AffineGradients;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> AffineGradients {
        if self.activation.recomputes_v() {
            self.reduce::<S, true, ALL_SUM_COEFFICIENTS>(simd)
        } else {
            self.reduce::<S, false, { sum_coefficients(false) }>(simd)
        }
    }
}

impl<T: SimdElement> KeptReduceTile<'_, '_, T> {
    #[inline(always)]
    fn reduce<S: Simd, const RECOMPUTE_V: bool, const N: usize>(self, simd: S) -> AffineGradients {
        let (view, tile, coefficients) = (self.view, self.tile, self.coefficients);
        let terms = KeptGradientTerms::<T, RECOMPUTE_V>(self);
        if view.neighbours_share_a_channel() {
            let sums = PlaneSums::<T, _, N>::of::<S, ALL_SUM_COEFFICIENTS>(
                view,
                tile,
                coefficients,
                terms,
            );
            return AffineGradients::of(sums.all(simd));
        }
        let mut out = AffineGradients::none(tile.channels(view).len());
        let columns = coefficients.of_columns(view, tile);
        let mut sums = ColumnSums::zero(tile.columns(view).len());
        let columns = columns.as_slices::<N>();
        add_columns(simd, view, tile, &terms, columns, &mut sums);
        gather_columns(view, tile, &mut sums.sum, &mut out.dbeta);
        gather_columns(view, tile, &mut sums.sum_of_products, &mut out.dgamma);
        out
    }
}

/// a = g and b = x̂ of what is kept.
struct KeptGradientTerms<'a, 'm, T: SimdElement, const RECOMPUTE_V: bool>(
    KeptReduceTile<'a, 'm, T>,
);

impl<'a, S: Simd, T: SimdElement, const RECOMPUTE_V: bool, const N: usize> Terms<S, T, N>
    for KeptGradientTerms<'a, '_, T, RECOMPUTE_V>
{
    const FOUR_STREAMS: bool = false;
    const ARE_SQUARES: bool = false;
    type Streams<const A: usize> = (
        StridedSpans<'a, T, A>,
        StridedSpans<'a, T, A>,
        BackwardStreams<'a, T, A>,
        OutputStreams<'a, T, A>,
        KeptLanes<'a, T::Scalar, A>,
    );
    /// With the first span.
    type Rows = (Rows<'a, T>, Rows<'a, T>, Span);

    #[inline(always)]
    fn streams<const A: usize>(&self, spans: [Span; A]) -> Self::Streams<A> {
        (
            self.0.dy.streams(spans),
            self.0.x.strided(spans),
            self.0.activation.streams(self.0.view, spans),
            self.0.activation.output_streams(spans),
            self.0.kept.lanes(spans),
        )
    }
    #[inline(always)]
    fn no_streams<const A: usize>(&self) -> Self::Streams<A> {
        let none = StridedSpans::none();
        (
            none,
            none,
            BackwardStreams::none(),
            OutputStreams::none(),
            KeptLanes::none(),
        )
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows {
        let x = self.0.x.rows(first, count, row_len);
        (self.0.dy.rows(first, count, row_len), x, first)
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
        (
            dy.streams(row, step),
            x.streams(row, step),
            self.0.activation.streams(self.0.view, spans),
            self.0.activation.output_streams(spans),
            self.0.kept.lanes(spans),
        )
    }
    #[inline(always)]
    fn prefetch<const A: usize>(
        &self,
        simd: S,
        (dy, x, .., kept): Self::Streams<A>,
        at: usize,
        distance: usize,
    ) {
        if kept.any_at(at) {
            dy.prefetch(simd, at, distance);
            x.prefetch(simd, at, distance);
        }
    }
    #[cfg_attr(not(unoptimized), inline(always))]
    fn terms<const A: usize>(
        &self,
        simd: S,
        (dy, x, activation, output, kept): Self::Streams<A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        const { assert!(N == if RECOMPUTE_V { ALL_SUM_COEFFICIENTS } else { 2 }) }
        let lanes = kept.at(at, count);
        let (center, inv_std) = (with[0], with[1]);
        let mut dv = [dy.read_any(simd, at, count, lanes)];
        let mut x = x.read_any(simd, at, count, lanes);
        activation.apply_saved(simd, at, count, &mut dv);
        let [mut dv] = dv;
        if !RECOMPUTE_V && output.finds_v() {
            output.apply(simd, at, count, &mut dv, &mut x);
        }
        for i in 0..A {
            x[i] = x[i].sub(center);
        }
        if RECOMPUTE_V {
            let (scale, shift, lift, mut v) = (with[2], with[3], with[4], x);
            for i in 0..A {
                v[i] = x[i].mul(lift).mul_add(scale, shift);
            }
            activation.apply_recomputed(simd, &mut dv, v);
        }
        if opaque(self.0.reduces) {
            let by = T::splat(simd, T::Scalar::nearest(T::Scalar::REDUCES));
            for i in 0..A {
                dv[i] = dv[i].mul(by);
            }
        }
        for i in 0..A {
            dv[i] = dv[i].mask_and(lanes[i]);
            x[i] = x[i].mul(inv_std).mask_and(lanes[i]);
        }
        (dv, x)
    }
}
