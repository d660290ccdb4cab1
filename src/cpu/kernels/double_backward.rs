//! The gradients with respect to dy and x of a scalar of the gradients.
//!
//! With P(v) = v − mean(v) − x̂·mean(v·x̂) the formulas of
//! [`Backend::double_backward`](crate::backend::Backend::double_backward) are, for values of one channel, sums of x̂, of u and of g about
//! their means: `of_dy = activation'(v)·(x̂·dy_per_x_hat + (u − mean u)·scale + dy_constant + w)` and
//! `of_x = (x̂·x_per_x_hat + (u − mean u)·x_per_u + (g − mean g)·dy_per_x_hat + x_constant)·inv_std`; with running statistics the means
//! are zero, and of_x is `g·dy_per_x_hat·inv_std`.

use std::ops::Range;

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::Normalization;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Elementwise, drive};
use crate::cpu::epilogue::backward::BackwardStreams;
use crate::cpu::kernels::coefficients::{center_of, coefficients_of};
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Real;

/// How many coefficients each channel has.
pub(crate) const COEFFICIENTS: usize = 11;

/// What a channel's values share. With running statistics the means are zeros.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChannelMeans {
    /// mean(u).
    pub(crate) outer: f64,
    /// p = mean(u·x̂).
    pub(crate) outer_by_x_hat: f64,
    /// mean(g).
    pub(crate) gradient: f64,
    /// q = mean(g·x̂).
    pub(crate) gradient_by_x_hat: f64,
    /// a = mean((u − mean u)·(g − mean g)) − p·q.
    pub(crate) covariance: f64,
}

/// What a channel is given: G and B, or zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfParameters {
    pub(crate) gamma: f64,
    pub(crate) beta: f64,
}

/// γ·inv_std is in range, in one factor.
pub(crate) fn coefficients<C: Real>(
    with: &Normalization<&[C]>,
    channels: Range<usize>,
    means: impl Fn(usize) -> ChannelMeans,
    of_parameters: impl Fn(usize) -> OfParameters,
) -> Coefficients<C, COEFFICIENTS> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift, _] = coefficients_of(with, c);
        let (means, of) = (means(c), of_parameters(c));
        let (p, q) = (means.outer_by_x_hat, means.gradient_by_x_hat);
        let [mean_outer, mean_gradient] = [means.outer, means.gradient].map(C::nearest);
        let dy_per_x_hat = of.gamma - scale.value() * p;
        let x_per_x_hat = -scale.value() * (means.covariance - 2.0 * p * q) - of.gamma * q;
        let x_per_u = -scale.value() * q;
        // What roundings of the three means leave in x̂, u − mean(u) and g − mean(g).
        let of_x_hat = center_of(with, c).1 * with.inv_std[c].value();
        let of_outer = means.outer - mean_outer.value();
        let of_gradient = means.gradient - mean_gradient.value();
        let dy_constant = of.beta - of_x_hat * dy_per_x_hat - of_outer * scale.value();
        let x_constant =
            -(of_x_hat * x_per_x_hat + of_outer * x_per_u + of_gradient * dy_per_x_hat);
        [
            center,
            with.inv_std[c],
            scale,
            shift,
            mean_outer,
            mean_gradient,
            C::nearest(dy_per_x_hat),
            C::nearest(dy_constant),
            C::nearest(x_per_x_hat),
            C::nearest(x_per_u),
            C::nearest(x_constant),
        ]
    })
}

/// Writes a tile: what is with respect to dy as the output, what is with respect to x as the second.
pub struct DoubleBackwardTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) x: RawSlice<'a, T>,
    /// u, if there is one.
    pub(crate) outer: Option<RawSlice<'a, T>>,
    /// w, if there is one.
    pub(crate) outer_residual: Option<RawSlice<'a, T>>,
    pub(crate) coefficients: &'a Coefficients<T::Scalar, COEFFICIENTS>,
    /// Whether the statistics are the batch's.
    pub(crate) of_batch: bool,
    /// Whether x̂ is in the results: by G, or by the statistics that u went through. Else what is with respect to x is zero: what is not
    /// given is, whatever it would be multiplied by.
    pub(crate) takes_x_hat: bool,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
}

impl<T: SimdElement> Kernel for DoubleBackwardTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (view, tile, coefficients) = (self.view, self.memory.tile, self.coefficients);
        drive::<S, T, _, COEFFICIENTS, COEFFICIENTS>(
            simd,
            view,
            tile,
            coefficients,
            &mut self,
            Traversal::Descending,
        );
    }
}

/// Everything that some spans need.
pub(crate) struct DoubleBackwardStreams<'s, 'a, 'm, T: SimdElement, const A: usize> {
    pass: &'s DoubleBackwardTile<'a, 'm, T>,
    recomputes_v: bool,
    dy: StridedSpans<'s, T, A>,
    x: StridedSpans<'s, T, A>,
    outer: StridedSpans<'s, T, A>,
    outer_residual: StridedSpans<'s, T, A>,
    activation: BackwardStreams<'s, T, A>,
    of_dy: StridedSpansMut<'s, T, A>,
    of_x: StridedSpansMut<'s, T, A>,
}

impl<'a, 'm, S: Simd, T: SimdElement> Elementwise<S, T, COEFFICIENTS>
    for DoubleBackwardTile<'a, 'm, T>
{
    type Streams<'s, const A: usize>
        = DoubleBackwardStreams<'s, 'a, 'm, T, A>
    where
        Self: 's;

    #[inline(always)]
    fn begin<const A: usize>(&mut self, simd: S, spans: [Span; A]) -> Self::Streams<'_, A> {
        let (dy, of_dy) = (self.memory.inputs(spans), self.memory.outputs(spans));
        let of_x = (self.memory.seconds(spans)).unwrap_or_else(StridedSpansMut::none);
        let streams = DoubleBackwardStreams {
            pass: self,
            recomputes_v: self.activation.recomputes_v(),
            dy,
            x: self.x.strided(spans),
            outer: self.outer.map_or(dy, |outer| outer.strided(spans)),
            outer_residual: self.outer_residual.map_or(dy, |outer| outer.strided(spans)),
            activation: self.activation.streams(self.view, spans),
            of_dy,
            of_x,
        };
        streams.of_dy.prefetch_ends(simd);
        streams.of_x.prefetch_ends(simd);
        streams
    }

    #[inline(always)]
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize {
        streams.of_dy.unaligned_head()
    }

    #[inline(always)]
    fn overlapped<const A: usize, const L: usize>(_: &mut Self::Streams<'_, A>, _: S) {}

    #[cfg_attr(not(unoptimized), inline(always))]
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; COEFFICIENTS]; L],
        at: usize,
        count: usize,
    ) {
        let (pass, activation) = (streams.pass, &streams.activation);
        let zero = [T::splat(simd, T::Scalar::default()); A];
        let (mut g, mut of_dy, mut of_x) = ([zero; L], [zero; L], [zero; L]);
        for l in 0..L {
            g[l] = streams.dy.read(simd, at + l * LANES, count);
        }
        activation.apply_saved(simd, at, count, &mut g);
        let mut v = [zero; L];
        for l in 0..L {
            let [center, inv_std, scale, shift, mean_outer, mean_gradient, ..] = with[l];
            let [
                ..,
                dy_per_x_hat,
                dy_constant,
                x_per_x_hat,
                x_per_u,
                x_constant,
            ] = with[l];
            let at = at + l * LANES;
            let (mut centred, mut u) = (streams.x.read(simd, at, count), zero);
            if opaque(pass.outer.is_some()) {
                u = streams.outer.read(simd, at, count);
            }
            for i in 0..A {
                centred[i] = centred[i].sub(center);
            }
            if opaque(streams.recomputes_v) {
                for i in 0..A {
                    v[l][i] = centred[i].mul_add(scale, shift);
                }
                activation.apply_recomputed(simd, &mut g[l], v[l]);
            }
            for i in 0..A {
                let (x_hat, outer) = (centred[i].mul(inv_std), u[i].sub(mean_outer));
                of_dy[l][i] = dy_constant;
                if opaque(pass.takes_x_hat) {
                    of_dy[l][i] = x_hat.mul_add(dy_per_x_hat, dy_constant);
                }
                if opaque(pass.outer.is_some()) {
                    of_dy[l][i] = outer.mul_add(scale, of_dy[l][i]);
                }
                if opaque(!pass.takes_x_hat) {
                    continue;
                }
                of_x[l][i] = if opaque(pass.of_batch) {
                    let by_x_hat = x_hat.mul_add(x_per_x_hat, x_constant);
                    let by_both = outer.mul_add(x_per_u, by_x_hat);
                    let gradient = g[l][i].sub(mean_gradient);
                    gradient.mul_add(dy_per_x_hat, by_both).mul(inv_std)
                } else {
                    g[l][i].mul(dy_per_x_hat).mul(inv_std)
                };
            }
            if opaque(pass.outer_residual.is_some()) {
                let w = streams.outer_residual.read(simd, at, count);
                for i in 0..A {
                    of_dy[l][i] = of_dy[l][i].add(w[i]);
                }
            }
        }
        activation.apply_saved(simd, at, count, &mut of_dy);
        if opaque(streams.recomputes_v) {
            for l in 0..L {
                activation.apply_recomputed(simd, &mut of_dy[l], v[l]);
            }
        }
        streams.of_x.write(simd, at, count, of_x);
        streams.of_dy.write(simd, at, count, of_dy);
    }

    #[inline(always)]
    fn end<const A: usize>(_: Self::Streams<'_, A>, _: S) {}
}
