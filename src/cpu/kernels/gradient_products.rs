//! Σ (u − reference)·(g − reference) of each channel, with g = dy·activation'(v): what second derivatives need beside the sums of
//! `backward_reduce.rs`, which are taken of g and of u. With references near the means it is what u and g have in common, however large
//! their means are.

use crate::backend::epilogue::ActivationBackward;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::backward::BackwardStreams;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::{RawSlice, Rows};
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::planes::PlaneSums;
use crate::cpu::reduce::terms::{Terms, TermsOf};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;

/// Center, scale and shift, for where v is recomputed, and the references of u and of g.
pub(crate) const COEFFICIENTS: usize = 5;

/// The sums of some channels.
#[derive(Debug)]
pub struct GradientProducts {
    pub(crate) sums: Scratch<f64>,
}

/// Reduces a tile.
pub struct ProductsTile<'a, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) dy: RawSlice<'a, T>,
    pub(crate) x: RawSlice<'a, T>,
    /// u.
    pub(crate) outer: RawSlice<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Scalar, COEFFICIENTS>,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
    /// A power of two that the sums are enlarged by.
    pub(crate) enlargement: T::Scalar,
}

impl<T: SimdElement> Kernel for ProductsTile<'_, T> {
    type Output = GradientProducts;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> GradientProducts {
        let (view, tile) = (self.view, self.tile);
        if view.neighbours_share_a_channel() {
            let sums = PlaneSums::<T, _, COEFFICIENTS>::of::<S, COEFFICIENTS>(
                view,
                tile,
                self.coefficients,
                self,
            );
            let [_, sums] = sums.all(simd);
            return GradientProducts { sums };
        }
        let columns = self.coefficients.of_columns(view, tile);
        let mut of_columns = ColumnSums::zero(tile.columns(view).len());
        let slices = columns.as_slices::<COEFFICIENTS>();
        add_columns(simd, view, tile, &self, slices, &mut of_columns);
        let mut sums = Scratch::zeros(tile.channels(view).len());
        gather_columns(view, tile, &mut of_columns.sum_of_products, &mut sums);
        GradientProducts { sums }
    }
}

/// a = u and b = g, less their references.
impl<'a, S: Simd, T: SimdElement> Terms<S, T, COEFFICIENTS> for ProductsTile<'a, T> {
    const ARE_SQUARES: bool = false;
    /// Of u, dy, x, and what was saved.
    type Streams<const A: usize> = (
        StridedSpans<'a, T, A>,
        StridedSpans<'a, T, A>,
        StridedSpans<'a, T, A>,
        BackwardStreams<'a, T, A>,
    );
    /// With the first span, for what was saved.
    type Rows = (Rows<'a, T>, Rows<'a, T>, Rows<'a, T>, Span);

    #[inline(always)]
    fn streams<const A: usize>(&self, spans: [Span; A]) -> Self::Streams<A> {
        (
            self.outer.strided(spans),
            self.dy.strided(spans),
            self.x.strided(spans),
            self.activation.streams(self.view, spans),
        )
    }
    #[inline(always)]
    fn no_streams<const A: usize>(&self) -> Self::Streams<A> {
        (
            StridedSpans::none(),
            StridedSpans::none(),
            StridedSpans::none(),
            BackwardStreams::none(),
        )
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows {
        (
            self.outer.rows(first, count, row_len),
            self.dy.rows(first, count, row_len),
            self.x.rows(first, count, row_len),
            first,
        )
    }
    #[inline(always)]
    fn row_streams<const A: usize>(
        &self,
        (outer, dy, x, first): Self::Rows,
        row: usize,
        step: usize,
    ) -> Self::Streams<A> {
        let mut spans = [first; A];
        for i in 0..A {
            spans[i] = dy.span(first, row + i * step);
        }
        (
            outer.streams(row, step),
            dy.streams(row, step),
            x.streams(row, step),
            self.activation.streams(self.view, spans),
        )
    }
    #[inline(always)]
    fn prefetch<const A: usize>(
        &self,
        simd: S,
        (outer, dy, _, _): Self::Streams<A>,
        at: usize,
        distance: usize,
    ) {
        outer.prefetch(simd, at, distance);
        dy.prefetch(simd, at, distance);
    }
    #[cfg_attr(not(unoptimized), inline(always))]
    fn terms<const A: usize>(
        &self,
        simd: S,
        (outer, dy, x, activation): Self::Streams<A>,
        [center, scale, shift, reference_of_u, reference_of_g]: [T::Vector<S>; COEFFICIENTS],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        let enlargement = T::splat(simd, self.enlargement);
        let (mut u, mut g) = (outer.read(simd, at, count), [dy.read(simd, at, count)]);
        activation.apply_saved(simd, at, count, &mut g);
        let [mut g] = g;
        if opaque(self.activation.recomputes_v()) {
            let mut v = x.read(simd, at, count);
            for i in 0..A {
                v[i] = v[i].sub(center).mul_add(scale, shift);
            }
            activation.apply_recomputed(simd, &mut g, v);
        }
        for i in 0..A {
            u[i] = u[i].sub(reference_of_u).mul(enlargement);
            if count < LANES {
                u[i] = u[i].mask_and(lane_mask(0, count));
            }
            g[i] = g[i].sub(reference_of_g);
        }
        (u, g)
    }
}
