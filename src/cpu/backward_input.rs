//! dx from dy, and the residual's gradient.
//!
//! With batch statistics `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`, computed as
//! `((x − center)·slope + (dv − mean_gradient))·scale + offset`; with running statistics `dx = dv·scale`.

use std::ops::Range;

use super::coefficients::{Coefficient, Coefficients, PerColumn};
use super::fused::Behind;
use super::gate::{Gate, Marked, Open, Passes, Recomputed};
use super::memory::{Outputs, Run, RunMut, TileMemory, scatter};
use super::normalize::{TILE_VALUES, center_of, coefficients_of};
use super::simd::{Kernel, LANES, Simd, Vector};
use super::tiles::{Matrix, Span, Tile};
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
        let Self {
            matrix,
            tile,
            x,
            coefficients,
            memory,
            ..
        } = self;
        if matrix.by_columns() {
            let columns = coefficients.of_columns(matrix, tile);
            let columns = columns
                .each_ref()
                .map(|column| PerColumn(column.as_slice()));
            for row in tile.rows.clone() {
                input_run::<S, T, _, G, OF_BATCH>(
                    simd,
                    memory,
                    tile.run(matrix, row),
                    x,
                    columns,
                    gate,
                );
            }
        } else {
            for row in tile.rows.clone() {
                for unit in tile.units.clone() {
                    let coefficients = coefficients.of_channel::<S, T>(simd, unit);
                    input_run::<S, T, _, G, OF_BATCH>(
                        simd,
                        memory,
                        tile.unit_run(matrix, row, unit),
                        x,
                        coefficients,
                        gate,
                    );
                }
            }
        }
    }
}

/// Writes dx of one run of memory.
#[inline(always)]
fn input_run<S: Simd, T: Element, K: Coefficient<S, T>, G: Passes<T>, const OF_BATCH: bool>(
    simd: S,
    memory: &mut TileMemory<'_, T>,
    span: Span,
    x: Run<'_, T>,
    coefficients: [K; 6],
    gate: G,
) {
    let mut step = InputStep::<T, K, G, OF_BATCH> {
        dy: memory.input(span),
        dx: memory.output(span),
        dresidual: memory.second(span),
        x: if OF_BATCH || G::NEEDS_X {
            x.part(span.range())
        } else {
            x
        },
        coefficients,
        gate,
        gate_run: gate.run(span),
    };
    let (mut at, len) = (step.dx.unaligned_head(), span.len());
    if at > 0 {
        step.at(simd, 0, at);
    }
    while len - at >= LANES {
        step.at(simd, at, LANES);
        at += LANES;
    }
    if at < len {
        step.at(simd, at, len - at);
    }
}

/// Everything that one run needs.
struct InputStep<'a, T: Element, K, G: Passes<T>, const OF_BATCH: bool> {
    dy: Run<'a, T>,
    dx: RunMut<'a, T>,
    dresidual: Option<RunMut<'a, T>>,
    x: Run<'a, T>,
    coefficients: [K; 6],
    gate: G,
    gate_run: G::Run,
}

impl<T: Element, K, G: Passes<T>, const OF_BATCH: bool> InputStep<'_, T, K, G, OF_BATCH> {
    /// The `count` values from `at` on, at most sixteen.
    #[inline(always)]
    fn at<S: Simd>(&mut self, simd: S, at: usize, count: usize)
    where
        K: Coefficient<S, T>,
    {
        let x = if OF_BATCH || G::NEEDS_X {
            self.x.read(simd, at, count)
        } else {
            T::splat(simd, T::Compute::default())
        };
        let gate = (self.gate, self.gate_run);
        let (dv, value) = gradient::<S, T, K, G, OF_BATCH>(
            simd,
            at,
            self.dy.read(simd, at, count),
            x,
            self.coefficients,
            gate,
        );
        if let Some(dresidual) = &mut self.dresidual {
            dresidual.write(simd, at, count, dv);
        }
        self.dx.write(simd, at, count, value);
    }
}

/// dv and dx of sixteen values.
#[inline(always)]
fn gradient<S: Simd, T: Element, K: Coefficient<S, T>, G: Passes<T>, const OF_BATCH: bool>(
    simd: S,
    at: usize,
    dy: T::Vector<S>,
    x: T::Vector<S>,
    [center, scale, shift, mean_gradient, slope, offset]: [K; 6],
    (gate, run): (G, G::Run),
) -> (T::Vector<S>, T::Vector<S>) {
    let centred = x.sub(center.load(simd, at));
    let dv = gate.pass(simd, run, at, dy, centred, [scale, shift]);
    let scale = scale.load(simd, at);
    if OF_BATCH {
        let less_mean = dv.sub(mean_gradient.load(simd, at));
        let less_both = centred.mul_add(slope.load(simd, at), less_mean);
        (dv, less_both.mul_add(scale, offset.load(simd, at)))
    } else {
        (dv, dv.mul(scale))
    }
}

/// Writes dx of a whole array whose sums are known, if they are needed.
pub(crate) fn input<T: Element>(
    cpu: &Cpu,
    matrix: &Matrix,
    dy_to_dx: InOut<&[T], &mut [T]>,
    x: &[T],
    behind: Behind<'_, '_, T::Compute>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
    dresidual: Option<&mut [T]>,
) {
    let Behind { with, source, gate } = behind;
    let of_batch = source == StatisticsSource::Batch;
    let coefficients = coefficients(&with, 0..matrix.channels, means);
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    scatter(
        &cpu.threads,
        &matrix.by_rows(TILE_VALUES),
        outputs,
        |tile, memory| {
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
                },
            );
        },
    );
}
