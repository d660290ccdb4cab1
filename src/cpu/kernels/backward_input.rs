//! dx from dy, and the residual's gradient.
//!
//! With batch statistics `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`, computed as
//! `((x − center)·slope + (dv − mean_gradient))·scale + offset`; with running statistics `dx = dv·scale`.

use std::ops::Range;

use crate::backend::operands::{InOut, StatisticsSource};
use crate::cpu::elementwise::broadcast::{Broadcast, CoefficientSlices};
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Pass, Step, drive, head_body_tail};
use crate::cpu::epilogue::backward_mask::{Gate, Marks, keep_above_zero};
use crate::cpu::kernels::affine::{affine_of, center_of};
use crate::cpu::kernels::backward_reduce::{
    AffineGradients, FOR_SUMS, FOR_SUMS_AND_V, GradientTerms, ReduceTile,
};
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::{Outputs, TileMemory, for_each_tile};
use crate::cpu::reduce::planes::{BundleSums, PlaneSums, order_of_writing};
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, Normalization};
use crate::element::{Compute, Element};

/// The six numbers per channel: center, scale, mean_gradient, slope, offset, and shift, for where v is recomputed. `means`
/// gives Σ(dv·x̂)/M and Σdv/M of a channel where the statistics are the batch's.
pub(crate) fn coefficients<C: Compute>(
    with: &Normalization<'_, C>,
    channels: Range<usize>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
) -> Coefficients<C, 6> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift] = affine_of(with, c);
        let Some([mean_gamma, mean_beta]) = means(c) else {
            let none = C::default();
            return [center, scale, none, none, none, shift];
        };
        let mean_gradient = C::from_f64(mean_beta);
        let slope = -with.inv_std[c].to_f64() * mean_gamma;
        let rounding_residue = mean_beta - mean_gradient.to_f64() + slope * center_of(with, c).1;
        let offset = -scale.to_f64() * rounding_residue;
        [
            center,
            scale,
            mean_gradient,
            C::from_f64(slope),
            C::from_f64(offset),
            shift,
        ]
    })
}

/// Writes dx of a tile; and takes the sums of the next one on the way, if there is one whose planes they are of.
pub struct InputTile<'a, 'm, T: Element> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    pub(crate) x: RawSlice<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Compute, 6>,
    /// Whether the statistics are the batch's.
    pub(crate) of_batch: bool,
    pub(crate) gate: Gate<'a>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
    pub(crate) next: Option<ReduceTile<'a, 'm, T>>,
}

impl<T: Element> Kernel for InputTile<'_, '_, T> {
    type Output = Option<AffineGradients>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<AffineGradients> {
        match self.gate {
            Gate::Recomputed => self.of_numbers::<S, FOR_SUMS_AND_V>(simd),
            Gate::Open | Gate::Marked(_) => self.of_numbers::<S, FOR_SUMS>(simd),
        }
    }
}

impl<T: Element> InputTile<'_, '_, T> {
    /// Where the next tile's sums take `N` numbers.
    #[inline(always)]
    fn of_numbers<S: Simd, const N: usize>(self, simd: S) -> Option<AffineGradients> {
        let view = self.view;
        let next = match &self.next {
            Some(next) => PlaneSums::of::<S, FOR_SUMS_AND_V>(
                view,
                next.tile,
                next.coefficients,
                next.gradients(),
            ),
            None => PlaneSums::nothing(GradientTerms::nothing(view)),
        };
        let mut pass = InputPass::<T, N> {
            view,
            memory: self.memory,
            of_batch: self.of_batch,
            x: self.x,
            gate: self.gate,
            next,
        };
        let order = order_of_writing(self.next.as_ref().map(|next| next.tile));
        drive::<S, T, _, 6>(simd, view, self.tile, self.coefficients, &mut pass, order);
        self.next
            .as_ref()
            .map(|_| AffineGradients::of(pass.next.end()))
    }
}

/// Writes dx of some runs after the other.
struct InputPass<'a, 'm, T: Element, const N: usize> {
    view: &'a MatrixView,
    memory: &'a mut TileMemory<'m, T>,
    of_batch: bool,
    x: RawSlice<'a, T>,
    gate: Gate<'a>,
    next: PlaneSums<'a, T, GradientTerms<'a, 'm, T>, N>,
}

impl<S: Simd, T: Element, const N: usize> Pass<S, T, 6> for InputPass<'_, '_, T, N> {
    #[inline(always)]
    fn streams<const A: usize>(
        &mut self,
        simd: S,
        spans: [Span; A],
        numbers: CoefficientSlices<'_, T::Compute, 6>,
    ) {
        let dy = self.memory.inputs(spans);
        let dresidual = self.memory.seconds(spans);
        let needs_x = self.of_batch || N == FOR_SUMS_AND_V;
        let mut step = InputStep::<S, T, N, A> {
            of_batch: self.of_batch,
            dy,
            dx: self.memory.outputs(spans),
            has_residual: dresidual.is_some(),
            dresidual: dresidual.unwrap_or_else(StridedSpansMut::none),
            // Where x is not needed, it may be empty.
            x: if needs_x { self.x.strided(spans) } else { dy },
            broadcast: Broadcast::at_start(simd, numbers),
            marks: self.gate.streams(self.view, spans),
            next: self.next.next_bundle(simd),
        };
        step.dx.prefetch_ends(simd);
        let head = step.dx.unaligned_head();
        head_body_tail::<S, T>(simd, &mut step, head, spans[0].len());
        step.next.end(simd);
    }
}

/// Everything that some runs need.
struct InputStep<'a, 'm, 's, S: Simd, T: Element, const N: usize, const A: usize> {
    of_batch: bool,
    dy: StridedSpans<'a, T, A>,
    dx: StridedSpansMut<'a, T, A>,
    has_residual: bool,
    dresidual: StridedSpansMut<'a, T, A>,
    x: StridedSpans<'a, T, A>,
    broadcast: Broadcast<'s, S, T, 6>,
    marks: Marks<'a, A>,
    next: BundleSums<'s, S, T, GradientTerms<'a, 'm, T>, N, A>,
}

impl<S: Simd, T: Element, const N: usize, const A: usize> Step<S>
    for InputStep<'_, '_, '_, S, T, N, A>
{
    type Coefficients = [T::Vector<S>; 6];

    #[inline(always)]
    fn coefficients(&mut self, simd: S, count: usize) -> [T::Vector<S>; 6] {
        self.broadcast.advance(simd, count)
    }

    #[inline(always)]
    fn overlapped<const L: usize>(&mut self, simd: S) {
        self.next.advance::<L>(simd);
    }

    #[inline(always)]
    fn at<const L: usize>(
        &mut self,
        simd: S,
        with: [[T::Vector<S>; 6]; L],
        at: usize,
        count: usize,
    ) {
        let mut dv = [self.dy.read(simd, at, count); L];
        for l in 1..L {
            dv[l] = self.dy.read(simd, at + l * LANES, count);
        }
        self.marks.keep_marked::<S, T, L>(at, &mut dv);
        let mut dx = dv;
        if opaque(self.of_batch) {
            for l in 0..L {
                let [center, scale, mean_gradient, slope, offset, shift] = with[l];
                let x = self.x.read(simd, at + l * LANES, count);
                for i in 0..A {
                    let centred = x[i].sub(center);
                    if N == FOR_SUMS_AND_V {
                        let affine = [scale, shift];
                        dv[l][i] = keep_above_zero::<S, T>(simd, dv[l][i], centred, affine);
                    }
                    let less_mean = dv[l][i].sub(mean_gradient);
                    let less_both = centred.mul_add(slope, less_mean);
                    dx[l][i] = less_both.mul_add(scale, offset);
                }
            }
        } else {
            for l in 0..L {
                let [center, scale, .., shift] = with[l];
                if N == FOR_SUMS_AND_V {
                    let x = self.x.read(simd, at + l * LANES, count);
                    for i in 0..A {
                        let (centred, affine) = (x[i].sub(center), [scale, shift]);
                        dv[l][i] = keep_above_zero::<S, T>(simd, dv[l][i], centred, affine);
                    }
                }
                for i in 0..A {
                    dx[l][i] = dv[l][i].mul(scale);
                }
            }
        }
        if opaque(self.has_residual) {
            self.dresidual.write(simd, at, count, dv);
        }
        self.dx.write(simd, at, count, dx);
    }
}

/// Writes dx of a whole array whose sums are known, if they are needed.
pub(crate) fn input<T: Element>(
    cpu: &Cpu,
    tiling: &Tiling,
    dy_to_dx: InOut<&[T], &mut [T]>,
    x: &[T],
    params: BackwardParams<'_, '_, T::Compute>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
    dresidual: Option<&mut [T]>,
) {
    let BackwardParams { with, source, gate } = params;
    let (of_batch, view) = (source == StatisticsSource::Batch, &tiling.view);
    let coefficients = coefficients(&with, 0..view.channels, means);
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    for_each_tile(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        let x = RawSlice::new(x);
        T::input(
            cpu,
            InputTile {
                view,
                tile: memory.tile,
                x,
                coefficients: &coefficients,
                of_batch,
                gate,
                memory,
                next: None,
            },
        );
    });
}

/// Backward: what a backward pass reads beside x.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardParams<'w, 'g, C: Compute> {
    pub with: Normalization<'w, C>,
    pub source: StatisticsSource,
    pub gate: Gate<'g>,
}
