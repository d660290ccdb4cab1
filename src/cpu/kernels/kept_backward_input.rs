//! dx from dy where x is kept, the residual's gradient, and zeros elsewhere.
//!
//! With batch statistics `dx = γ·inv_std·(g − w/W·(Σg + x̂·Σ(g·x̂)))`, computed as
//! `(((x − center)·x_slope − mean_gradient)·w + g)·scale + w·offset` (with a lift, and x_scale, as `backward_input.rs` has them),
//! otherwise as that has it.

use std::marker::PhantomData;

use crate::backend::epilogue::ActivationBackward;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Elementwise, drive_bundles};
use crate::cpu::epilogue::backward::BackwardStreams;
use crate::cpu::epilogue::output::OutputStreams;
use crate::cpu::kept::lanes::KeptLanes;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kernels::backward_input::ALL_COEFFICIENTS;
use crate::cpu::kernels::kept_normalize::{bundles_of_kept, lanes_of};
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::view::MatrixView;

/// Writes dx of a tile.
pub struct KeptInputTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) kept: &'a KeptOfView<'a, T::Scalar>,
    pub(crate) x: RawSlice<'a, T>,
    /// As [`super::backward_input::coefficients`] has them.
    pub(crate) coefficients: &'a Coefficients<T::Scalar, ALL_COEFFICIENTS>,
    /// Whether the statistics are the batch's.
    pub(crate) of_batch: bool,
    pub(crate) activation: ActivationBackward<&'a [u8], &'a [T]>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
}

impl<T: SimdElement> Kernel for KeptInputTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.activation.recomputes_v() {
            self.write::<S, true>(simd);
        } else {
            self.write::<S, false>(simd);
        }
    }
}

impl<T: SimdElement> KeptInputTile<'_, '_, T> {
    #[inline(always)]
    fn write<S: Simd, const RECOMPUTE_V: bool>(self, simd: S) {
        let (view, tile, coefficients) = (self.view, self.memory.tile, self.coefficients);
        let bundles = bundles_of_kept(view, tile);
        let mut pass = KeptInputPass::<T, RECOMPUTE_V>(self);
        drive_bundles::<S, T, _, ALL_COEFFICIENTS, ALL_COEFFICIENTS>(
            simd,
            view,
            tile,
            coefficients,
            &mut pass,
            bundles,
        );
    }
}

/// Writes dx of a tile, and g where the residual's gradient is asked for.
struct KeptInputPass<'a, 'm, T: SimdElement, const RECOMPUTE_V: bool>(KeptInputTile<'a, 'm, T>);

/// Everything that some spans need.
struct KeptInputStreams<'a, 'm, 's, T: SimdElement, const A: usize> {
    /// They borrow it.
    pass: PhantomData<&'s KeptInputPass<'a, 'm, T, false>>,
    kept: KeptLanes<'a, T::Scalar, A>,
    of_batch: bool,
    dy: StridedSpans<'s, T, A>,
    dx: StridedSpansMut<'m, T, A>,
    has_residual: bool,
    dresidual: StridedSpansMut<'s, T, A>,
    x: StridedSpans<'s, T, A>,
    activation: BackwardStreams<'s, T, A>,
    output: OutputStreams<'s, T, A>,
}

impl<'a, 'm, S: Simd, T: SimdElement, const RECOMPUTE_V: bool> Elementwise<S, T, ALL_COEFFICIENTS>
    for KeptInputPass<'a, 'm, T, RECOMPUTE_V>
{
    const FOUR_STREAMS: bool = false;
    type Streams<'s, const A: usize>
        = KeptInputStreams<'a, 'm, 's, T, A>
    where
        Self: 's;

    #[inline(always)]
    fn begin<const A: usize>(&mut self, simd: S, spans: [Span; A]) -> Self::Streams<'_, A> {
        let tile = &mut self.0;
        let dy = tile.memory.inputs(spans);
        let dresidual = tile.memory.seconds(spans);
        let activation = tile.activation.streams(tile.view, spans);
        let output = tile.activation.output_streams(spans);
        let needs_x = tile.of_batch || RECOMPUTE_V || output.finds_v();
        let streams = KeptInputStreams {
            pass: PhantomData,
            kept: tile.kept.lanes(spans),
            of_batch: tile.of_batch,
            dy,
            dx: tile.memory.outputs(spans),
            has_residual: dresidual.is_some(),
            dresidual: dresidual.unwrap_or_else(StridedSpansMut::none),
            // Where x is not needed, it may be empty.
            x: if needs_x { tile.x.strided(spans) } else { dy },
            activation,
            output,
        };
        streams.dx.prefetch_ends(simd);
        streams
    }

    #[inline(always)]
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize {
        streams.dx.unaligned_head()
    }

    #[inline(always)]
    fn overlapped<const A: usize, const L: usize>(_: &mut Self::Streams<'_, A>, _: S) {}

    #[cfg_attr(not(unoptimized), inline(always))]
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; ALL_COEFFICIENTS]; L],
        at: usize,
        count: usize,
    ) {
        let (lanes, any) = lanes_of::<_, A, L>(&streams.kept, at, count);
        let zero = T::splat(simd, T::Scalar::default());
        let mut dv = [[zero; A]; L];
        let mut dx = dv;
        if any {
            let activation = &streams.activation;
            for l in 0..L {
                dv[l] = streams.dy.read_any(simd, at + l * LANES, count, lanes[l]);
            }
            activation.apply_saved(simd, at, count, &mut dv);
            for l in 0..L {
                let [
                    center,
                    scale,
                    mean_gradient,
                    x_slope,
                    offset,
                    shift,
                    lift,
                    x_scale,
                ] = with[l];
                let at = at + l * LANES;
                let mut centred = [zero; A];
                let finds_v = !RECOMPUTE_V && streams.output.finds_v();
                if RECOMPUTE_V || opaque(streams.of_batch) || finds_v {
                    centred = streams.x.read_any(simd, at, count, lanes[l]);
                    if finds_v {
                        (streams.output).apply(simd, at, count, &mut dv[l], &mut centred);
                    }
                    for i in 0..A {
                        centred[i] = centred[i].sub(center).mul(lift);
                    }
                }
                if RECOMPUTE_V {
                    let mut v = centred;
                    for i in 0..A {
                        v[i] = centred[i].mul_add(scale, shift);
                    }
                    activation.apply_recomputed(simd, &mut dv[l], v);
                }
                for i in 0..A {
                    dv[l][i] = dv[l][i].mask_and(lanes[l][i]);
                    dx[l][i] = dv[l][i].mul(lift).mul(scale);
                }
                if opaque(streams.of_batch) {
                    for i in 0..A {
                        centred[i] = centred[i].mul(x_scale);
                    }
                    if opaque(streams.kept.are_weighted()) {
                        let weights = streams.kept.weights::<S, T>(simd, at);
                        let minus_mean = zero.sub(mean_gradient);
                        for i in 0..A {
                            let of_mean = centred[i].mul_add(x_slope, minus_mean);
                            let less_both = of_mean.mul_add(weights[i], dv[l][i]);
                            dx[l][i] = less_both.mul(lift).mul_add(scale, offset.mul(weights[i]));
                        }
                    } else {
                        for i in 0..A {
                            let less_mean = dv[l][i].sub(mean_gradient);
                            let less_both = centred[i].mul_add(x_slope, less_mean);
                            dx[l][i] = less_both.mul(lift).mul_add(scale, offset);
                        }
                    }
                }
                for i in 0..A {
                    dx[l][i] = dx[l][i].mask_and(lanes[l][i]);
                }
            }
        }
        if opaque(streams.has_residual) {
            streams.dresidual.write(simd, at, count, dv);
        }
        streams.dx.write(simd, at, count, dx);
    }

    #[inline(always)]
    fn end<const A: usize>(_: Self::Streams<'_, A>, _: S) {}
}
