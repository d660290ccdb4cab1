//! dx from dy, and the residual's gradient.
//!
//! With batch statistics `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`, computed as
//! `((x − center)·x_slope + (dv − mean_gradient))·scale + offset`; with running statistics `dx = dv·scale`.
//!
//! Where γ·inv_std or x_slope is beyond the type, though dx need not be, it is two factors: `scale·lift`, with the lift that v has too,
//! or `x_scale·x_slope`. (`kept_backward_input.rs` takes both.)

use std::ops::Range;

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::Normalization;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Elementwise, drive};
use crate::cpu::epilogue::backward::BackwardStreams;
use crate::cpu::kernels::backward_reduce::{
    ALL_SUM_COEFFICIENTS, AffineGradients, GradientTerms, ReduceTile, sum_coefficients,
};
use crate::cpu::kernels::coefficients::{center_of, coefficients_of, is_lifted};
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::reduce::planes::{BundleSums, PlaneSums, order_of_writing};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::{Real, finite_factor};

/// The coefficients per channel: center, scale, mean_gradient, x_slope, offset, shift, for where v is recomputed, lift and x_scale.
/// `scales` are γ·inv_std where it is not what x is multiplied by. `means` gives Σ(dv·x̂)/M and Σdv/M of a channel where the
/// statistics are the batch's.
pub(crate) fn coefficients<C: Real>(
    with: &Normalization<&[C]>,
    scales: Option<&[C]>,
    channels: Range<usize>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
) -> Coefficients<C, ALL_COEFFICIENTS> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift, lift] = coefficients_of(with, c);
        let scale = scales.map_or(scale, |scales| scales[c]);
        let (none, one) = (C::default(), C::nearest(1.0));
        let Some([mean_gamma, mean_beta]) = means(c) else {
            return [center, scale, none, none, none, shift, lift, one];
        };
        let (inv_std, mean_gradient) = (with.inv_std[c], C::nearest(mean_beta));
        // One factor where that is a number of the type, lifted where γ·inv_std is none.
        let whole = C::nearest(-inv_std.value() * mean_gamma);
        let [x_slope, x_scale] = if is_lifted(with, c) {
            [C::nearest(-mean_gamma), one]
        } else if whole.value().is_infinite() && inv_std.value().is_finite() {
            [C::nearest(-mean_gamma), inv_std]
        } else {
            [whole, one]
        };
        // Zero times a product that is infinite would be NaN.
        let of_center = match center_of(with, c).1 {
            0.0 => 0.0,
            residue => -inv_std.value() * mean_gamma * residue,
        };
        let rounding_residue = mean_beta - mean_gradient.value() + of_center;
        let offset = -scale.value() * rounding_residue * lift.value();
        let factors = [scale.value(), rounding_residue, lift.value()];
        let of_dx = scale.value().abs() * mean_beta.abs().max(mean_gamma.abs());
        [
            center,
            scale,
            mean_gradient,
            x_slope,
            finite_factor(unless_slow_and_idle::<C>(offset, of_dx), &factors),
            shift,
            lift,
            x_scale,
        ]
    })
}

/// How many those are.
pub(crate) const ALL_COEFFICIENTS: usize = 8;
/// Where the lift and x_scale are among them.
pub(crate) const SECOND_FACTORS: [usize; 2] = [6, 7];

/// What is added to every dx of a channel; zero where it is a subnormal number, with which vectors take many times as long, and less
/// than a rounding of the dx that there are at least, which it then changes nothing of.
fn unless_slow_and_idle<C: Real>(offset: f64, of_dx: f64) -> f64 {
    if offset.abs() < C::SMALLEST_NORMAL && offset.abs() <= of_dx * (C::EPSILON / 2.0) {
        0.0
    } else {
        offset
    }
}

/// Writes dx of a tile; and takes the sums of the next one meanwhile, where the two can overlap.
pub struct InputTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) x: RawSlice<'a, T>,
    /// As [`coefficients`] gives them, with second factors of one.
    pub(crate) coefficients: &'a Coefficients<T::Scalar, ALL_COEFFICIENTS>,
    /// Whether the statistics are the batch's.
    pub(crate) of_batch: bool,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
    pub(crate) next: Option<ReduceTile<'a, 'm, T>>,
}

impl<T: SimdElement> Kernel for InputTile<'_, '_, T> {
    type Output = Option<AffineGradients>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<AffineGradients> {
        if self.activation.recomputes_v() {
            self.write::<S, true, { sum_coefficients(true) }>(simd)
        } else {
            self.write::<S, false, { sum_coefficients(false) }>(simd)
        }
    }
}

impl<T: SimdElement> InputTile<'_, '_, T> {
    /// With `N` coefficients for the next tile's sums.
    #[inline(always)]
    fn write<S: Simd, const RECOMPUTE_V: bool, const N: usize>(
        self,
        simd: S,
    ) -> Option<AffineGradients> {
        let view = self.view;
        let next = match &self.next {
            Some(next) => PlaneSums::of::<S, ALL_SUM_COEFFICIENTS>(
                view,
                next.tile,
                next.coefficients,
                next.terms(),
            ),
            None => PlaneSums::nothing(GradientTerms::nothing(view)),
        };
        let mut pass = InputPass::<T, RECOMPUTE_V, N> {
            view,
            memory: self.memory,
            of_batch: self.of_batch,
            x: self.x,
            activation: self.activation,
            next,
        };
        let order = order_of_writing(self.next.as_ref().map(|next| next.tile));
        drive::<S, T, _, 6, ALL_COEFFICIENTS>(
            simd,
            view,
            self.tile,
            self.coefficients,
            &mut pass,
            order,
        );
        self.next
            .as_ref()
            .map(|_| AffineGradients::of(pass.next.end()))
    }
}

/// Writes dx of a tile, and dv where the residual's gradient is asked for.
struct InputPass<'a, 'm, T: SimdElement, const RECOMPUTE_V: bool, const N: usize> {
    view: &'a MatrixView,
    memory: &'a mut TileMemory<'m, T>,
    of_batch: bool,
    x: RawSlice<'a, T>,
    activation: ActivationBackward<&'a [u8], &'a [T]>,
    next: PlaneSums<'a, T, GradientTerms<'a, 'm, T, RECOMPUTE_V>, N>,
}

/// Everything that some spans need.
struct InputStreams<
    'a,
    'm,
    's,
    S: Simd,
    T: SimdElement,
    const RECOMPUTE_V: bool,
    const N: usize,
    const A: usize,
> {
    of_batch: bool,
    dy: StridedSpans<'s, T, A>,
    dx: StridedSpansMut<'s, T, A>,
    has_residual: bool,
    dresidual: StridedSpansMut<'s, T, A>,
    x: StridedSpans<'s, T, A>,
    activation: BackwardStreams<'s, T, A>,
    next: BundleSums<'s, S, T, GradientTerms<'a, 'm, T, RECOMPUTE_V>, N, A>,
}

impl<'a, 'm, S: Simd, T: SimdElement, const RECOMPUTE_V: bool, const N: usize> Elementwise<S, T, 6>
    for InputPass<'a, 'm, T, RECOMPUTE_V, N>
{
    type Streams<'s, const A: usize>
        = InputStreams<'a, 'm, 's, S, T, RECOMPUTE_V, N, A>
    where
        Self: 's;

    #[inline(always)]
    fn begin<const A: usize>(&mut self, simd: S, spans: [Span; A]) -> Self::Streams<'_, A> {
        let dy = self.memory.inputs(spans);
        let dresidual = self.memory.seconds(spans);
        let activation = self.activation.streams(self.view, spans);
        let needs_x = self.of_batch || RECOMPUTE_V;
        let streams = InputStreams {
            of_batch: self.of_batch,
            dy,
            dx: self.memory.outputs(spans),
            has_residual: dresidual.is_some(),
            dresidual: dresidual.unwrap_or_else(StridedSpansMut::none),
            // Where x is not needed, it may be empty.
            x: if needs_x { self.x.strided(spans) } else { dy },
            activation,
            next: self.next.next_bundle(simd),
        };
        streams.dx.prefetch_ends(simd);
        streams
    }

    #[inline(always)]
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize {
        streams.dx.unaligned_head()
    }

    #[inline(always)]
    fn overlapped<const A: usize, const L: usize>(streams: &mut Self::Streams<'_, A>, simd: S) {
        streams.next.advance::<L>(simd);
    }

    #[cfg_attr(not(unoptimized), inline(always))]
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; 6]; L],
        at: usize,
        count: usize,
    ) {
        let activation = &streams.activation;
        let mut dv = [streams.dy.read(simd, at, count); L];
        for l in 1..L {
            dv[l] = streams.dy.read(simd, at + l * LANES, count);
        }
        activation.apply_saved(simd, at, count, &mut dv);
        let mut dx = dv;
        if opaque(streams.of_batch) {
            for l in 0..L {
                let [center, scale, mean_gradient, x_slope, offset, shift] = with[l];
                let mut centred = streams.x.read(simd, at + l * LANES, count);
                for i in 0..A {
                    centred[i] = centred[i].sub(center);
                }
                if RECOMPUTE_V {
                    let mut v = centred;
                    for i in 0..A {
                        v[i] = centred[i].mul_add(scale, shift);
                    }
                    activation.apply_recomputed(simd, &mut dv[l], v);
                }
                for i in 0..A {
                    let less_mean = dv[l][i].sub(mean_gradient);
                    let less_both = centred[i].mul_add(x_slope, less_mean);
                    dx[l][i] = less_both.mul_add(scale, offset);
                }
            }
        } else {
            for l in 0..L {
                let [center, scale, .., shift] = with[l];
                if RECOMPUTE_V {
                    let mut v = streams.x.read(simd, at + l * LANES, count);
                    for i in 0..A {
                        v[i] = v[i].sub(center).mul_add(scale, shift);
                    }
                    activation.apply_recomputed(simd, &mut dv[l], v);
                }
                for i in 0..A {
                    dx[l][i] = dv[l][i].mul(scale);
                }
            }
        }
        if opaque(streams.has_residual) {
            streams.dresidual.write(simd, at, count, dv);
        }
        streams.dx.write(simd, at, count, dx);
    }

    #[inline(always)]
    fn end<const A: usize>(streams: Self::Streams<'_, A>, simd: S) {
        streams.next.end(simd);
    }
}
