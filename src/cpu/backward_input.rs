//! dx from dy, and the residual's gradient.
//!
//! With batch statistics `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`, computed as
//! `((x − center)·slope + (dv − mean_gradient))·scale + offset`; with running statistics `dx = dv·scale`.

use std::ops::Range;

use super::ahead::Ahead;
use super::coefficients::{Coefficient, Coefficients, Columns, PerColumn};
use super::fused::Behind;
use super::gate::{Gate, Marked, Open, Passes, Recomputed};
use super::in_loop::asked_in_loop;
use super::lockstep::{Pass, Step, along_runs, through_tile};
use super::matrix::Matrix;
use super::memory::{Outputs, TileMemory, scatter};
use super::normalize::{center_of, coefficients_of};
use super::runs::{Run, Runs, RunsMut};
use super::simd::{Kernel, Simd, Vector};
use super::tiles::{Span, Tile, Tiling};
use super::{Cpu, Normalization};
use crate::backend::{InOut, StatisticsSource};
use crate::{Compute, Element};

/// The six numbers per channel: center, scale, shift, mean_gradient, slope, offset. `means` gives Σ(dv·x̂)/M and Σdv/M of
/// a channel where the statistics are the batch's.
pub(crate) fn coefficients<C: Compute>(
    with: &Normalization<'_, C>,
    channels: Range<usize>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
) -> Coefficients<C, 6> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift] = coefficients_of(with, c);
        let Some([mean_gamma, mean_beta]) = means(c) else {
            return [
                center,
                scale,
                shift,
                C::default(),
                C::default(),
                C::default(),
            ];
        };
        let mean_gradient = C::from_f64(mean_beta);
        let slope = -with.inv_std[c].to_f64() * mean_gamma;
        let unsaid = mean_beta - mean_gradient.to_f64() + slope * center_of(with, c).1;
        let offset = -scale.to_f64() * unsaid;
        [
            center,
            scale,
            shift,
            mean_gradient,
            C::from_f64(slope),
            C::from_f64(offset),
        ]
    })
}

/// Writes dx of a tile.
pub struct InputTile<'a, 'm, T: Element> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) tile: &'a Tile,
    pub(crate) x: Run<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Compute, 6>,
    /// Whether the statistics are the batch's.
    pub(crate) of_batch: bool,
    pub(crate) gate: Gate<'a>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
    pub(crate) ahead: Ahead,
}

impl<T: Element> Kernel for InputTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let matrix = self.matrix;
        match (self.of_batch, self.gate) {
            (true, Gate::Open) => self.behind::<S, _, true>(simd, Open),
            (true, Gate::Recomputed) => self.behind::<S, _, true>(simd, Recomputed),
            (true, Gate::Marked(mask)) => self.behind::<S, _, true>(simd, Marked { matrix, mask }),
            (false, Gate::Open) => self.behind::<S, _, false>(simd, Open),
            (false, Gate::Recomputed) => self.behind::<S, _, false>(simd, Recomputed),
            (false, Gate::Marked(mask)) => {
                self.behind::<S, _, false>(simd, Marked { matrix, mask });
            }
        }
    }
}

impl<T: Element> InputTile<'_, '_, T> {
    #[inline(always)]
    fn behind<S: Simd, G: Passes<T>, const OF_BATCH: bool>(self, simd: S, gate: G) {
        let mut pass = InputPass::<T, G, OF_BATCH> {
            memory: self.memory,
            ahead: self.ahead,
            x: self.x,
            gate,
        };
        through_tile::<S, T, _, 6>(simd, self.matrix, self.tile, self.coefficients, &mut pass);
    }
}

/// Writes dx of some runs after the other.
struct InputPass<'a, 'm, T, G, const OF_BATCH: bool> {
    memory: &'a mut TileMemory<'m, T>,
    ahead: Ahead,
    x: Run<'a, T>,
    gate: G,
}

impl<S: Simd, T: Element, G: Passes<T>, const OF_BATCH: bool> Pass<S, T, 6>
    for InputPass<'_, '_, T, G, OF_BATCH>
{
    #[inline(always)]
    fn runs<const A: usize>(
        &mut self,
        simd: S,
        spans: [Span; A],
        columns: &Columns<'_, T::Compute, 6>,
    ) {
        let dy = self.memory.inputs(spans);
        let mut gate_runs = [self.gate.run(spans[0]); A];
        for i in 1..A {
            gate_runs[i] = self.gate.run(spans[i]);
        }
        let dresidual = self.memory.seconds(spans);
        let mut step = InputStep::<T, G, OF_BATCH, A> {
            dy,
            dx: self.memory.outputs(spans),
            has_residual: dresidual.is_some(),
            dresidual: dresidual.unwrap_or_else(RunsMut::none),
            // Where x is not needed, it may be empty.
            x: if OF_BATCH || G::NEEDS_X {
                self.x.parts(spans)
            } else {
                dy
            },
            columns: columns.values,
            gate: self.gate,
            gate_runs,
            ahead: self.ahead,
        };
        let head = step.dx.unaligned_head();
        along_runs(simd, &mut step, head, spans[0].len(), columns.period);
    }
}

/// Everything that some runs need.
struct InputStep<'a, T: Element, G: Passes<T>, const OF_BATCH: bool, const A: usize> {
    dy: Runs<'a, T, A>,
    dx: RunsMut<'a, T, A>,
    has_residual: bool,
    dresidual: RunsMut<'a, T, A>,
    x: Runs<'a, T, A>,
    columns: [PerColumn<'a, T::Compute>; 6],
    gate: G,
    gate_runs: [G::Run; A],
    ahead: Ahead,
}

impl<S: Simd, T: Element, G: Passes<T>, const OF_BATCH: bool, const A: usize> Step<S>
    for InputStep<'_, T, G, OF_BATCH, A>
{
    type Coefficients = [T::Vector<S>; 6];

    #[inline(always)]
    fn coefficients(&self, simd: S, column: usize) -> [T::Vector<S>; 6] {
        let [center, scale, shift, mean_gradient, slope, offset] = self.columns;
        [
            Coefficient::<S, T>::load(center, simd, column),
            Coefficient::<S, T>::load(scale, simd, column),
            Coefficient::<S, T>::load(shift, simd, column),
            Coefficient::<S, T>::load(mean_gradient, simd, column),
            Coefficient::<S, T>::load(slope, simd, column),
            Coefficient::<S, T>::load(offset, simd, column),
        ]
    }

    #[inline(always)]
    fn at(&mut self, simd: S, with: [T::Vector<S>; 6], at: usize, count: usize) {
        if asked_in_loop(self.ahead.fetches) {
            self.dy.fetch(simd, at, self.ahead.distance);
            if OF_BATCH || G::NEEDS_X {
                self.x.fetch(simd, at, self.ahead.distance);
            }
        }
        let dy = self.dy.read(simd, at, count);
        let x = if OF_BATCH || G::NEEDS_X {
            self.x.read(simd, at, count)
        } else {
            dy
        };
        let (mut dv, mut dx) = (dy, dy);
        for i in 0..A {
            let gate = (self.gate, self.gate_runs[i]);
            (dv[i], dx[i]) = gradient::<S, T, G, OF_BATCH>(simd, at, dy[i], x[i], with, gate);
        }
        if asked_in_loop(self.has_residual) {
            self.dresidual.write(simd, at, count, dv);
        }
        self.dx.write(simd, at, count, dx);
    }
}

/// dv and dx of sixteen values.
#[inline(always)]
fn gradient<S: Simd, T: Element, G: Passes<T>, const OF_BATCH: bool>(
    simd: S,
    at: usize,
    dy: T::Vector<S>,
    x: T::Vector<S>,
    [center, scale, shift, mean_gradient, slope, offset]: [T::Vector<S>; 6],
    (gate, run): (G, G::Run),
) -> (T::Vector<S>, T::Vector<S>) {
    let centred = x.sub(center);
    let dv = gate.pass(simd, run, at, dy, centred, [scale, shift]);
    if OF_BATCH {
        let less_mean = dv.sub(mean_gradient);
        let less_both = centred.mul_add(slope, less_mean);
        (dv, less_both.mul_add(scale, offset))
    } else {
        (dv, dv.mul(scale))
    }
}

/// Writes dx of a whole array whose sums are known, if they are needed.
pub(crate) fn input<T: Element>(
    cpu: &Cpu,
    tiling: &Tiling,
    dy_to_dx: InOut<&[T], &mut [T]>,
    x: &[T],
    behind: Behind<'_, '_, T::Compute>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
    dresidual: Option<&mut [T]>,
) {
    let Behind { with, source, gate } = behind;
    let (of_batch, matrix) = (source == StatisticsSource::Batch, &tiling.matrix);
    let coefficients = coefficients(&with, 0..matrix.channels, means);
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    scatter(&cpu.threads, tiling, outputs, |tile, _, memory| {
        let x = Run::new(x);
        T::input(
            cpu,
            InputTile {
                matrix,
                tile,
                x,
                coefficients: &coefficients,
                of_batch,
                gate,
                memory,
                ahead: Ahead::nothing(),
            },
        );
    });
}
