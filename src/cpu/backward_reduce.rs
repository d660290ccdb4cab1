//! dγ = Σ dv·x̂ and dβ = Σ dv, with dv = dy behind the gate and x̂ = (x − mean)·inv_std.

use std::ops::Range;

use super::coefficients::{Coefficient, Coefficients, PerColumn, Same, gather_columns};
use super::gate::{Gate, Marked, Open, Passes, Recomputed};
use super::memory::{Run, TileMemory};
use super::normalize::center_of;
use super::simd::{Kernel, Simd, Vector};
use super::sums::{ColumnSums, Reduction, Terms, UnitSums, add_columns, add_units};
use super::tiles::{Matrix, Span, Tile, Tiling};
use super::{Cpu, Normalization};
use crate::{Compute, Element};

/// Where dy is read: all of the array, or the tile that dx may be written over.
#[derive(Clone, Copy)]
pub(crate) enum Gradient<'a, 'm, T> {
    Array(Run<'a, T>),
    Tile(&'a TileMemory<'m, T>),
}

impl<'a, T: Element> Gradient<'a, '_, T> {
    #[inline(always)]
    fn part(&self, span: Span) -> Run<'a, T> {
        match self {
            Gradient::Array(dy) => dy.part(span.range()),
            Gradient::Tile(memory) => memory.input(span),
        }
    }
}

/// Σ dv·x̂ and Σ dv of some channels.
#[derive(Debug)]
pub struct Sums {
    pub(crate) gamma: Vec<f64>,
    pub(crate) beta: Vec<f64>,
}

impl Sums {
    /// Of no values.
    pub(crate) fn none(channels: usize) -> Self {
        Self {
            gamma: vec![0.0; channels],
            beta: vec![0.0; channels],
        }
    }
}

/// The four numbers per channel: center, scale and shift as [`super::normalize`] has them, and inv_std.
pub(crate) fn coefficients<C: Compute>(
    with: &Normalization<'_, C>,
    channels: Range<usize>,
) -> Coefficients<C, 4> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift] = super::normalize::coefficients_of(with, c);
        [center, scale, shift, with.inv_std[c]]
    })
}

/// Reduces a tile.
pub struct ReduceTile<'a, 'm, T: Element> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) tile: &'a Tile,
    pub(crate) dy: Gradient<'a, 'm, T>,
    pub(crate) x: Run<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Compute, 4>,
    pub(crate) gate: Gate<'a>,
}

impl<T: Element> Kernel for ReduceTile<'_, '_, T> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        match self.gate {
            Gate::Open => self.behind(simd, Open),
            Gate::Recomputed => self.behind(simd, Recomputed),
            Gate::Marked(mask) => self.behind(
                simd,
                Marked {
                    matrix: self.matrix,
                    mask,
                },
            ),
        }
    }
}

impl<T: Element> ReduceTile<'_, '_, T> {
    #[inline(always)]
    fn behind<S: Simd, G: Passes<T>>(&self, simd: S, gate: G) -> Sums {
        let (matrix, tile) = (self.matrix, self.tile);
        let channels = tile.channels(matrix).len();
        let mut out = Sums::none(channels);
        if matrix.by_columns() {
            let columns = self.coefficients.of_columns(matrix, tile);
            let mut sums = ColumnSums::zero(tile.columns(matrix).len());
            add_columns::<S, T, _>(
                simd,
                matrix,
                tile,
                &Gradients {
                    of: self,
                    columns: &columns,
                    gate,
                },
                &mut sums,
            );
            gather_columns(matrix, tile, &sums.first, &mut out.beta);
            gather_columns(matrix, tile, &sums.second, &mut out.gamma);
        } else {
            let mut sums = vec![UnitSums::zero(simd); channels];
            let columns = [const { Vec::new() }; 4];
            add_units::<S, T, _>(
                simd,
                matrix,
                tile,
                &Gradients {
                    of: self,
                    columns: &columns,
                    gate,
                },
                &mut sums,
            );
            for (c, sums) in sums.into_iter().enumerate() {
                (out.beta[c], out.gamma[c]) = sums.total();
            }
        }
        out
    }
}

/// a = dv, b = x̂.
struct Gradients<'a, 'm, T: Element, G> {
    of: &'a ReduceTile<'a, 'm, T>,
    /// Where work is by columns.
    columns: &'a [Vec<T::Compute>; 4],
    gate: G,
}

struct GradientTerms<'a, 'm, T, G, K> {
    dy: Gradient<'a, 'm, T>,
    x: Run<'a, T>,
    gate: G,
    coefficients: [K; 4],
}

impl<'a, 'm, T: Element, G: Passes<T>> Reduction<T> for Gradients<'a, 'm, T, G> {
    type OfUnit<'r, S: Simd>
        = GradientTerms<'a, 'm, T, G, Same<T::Vector<S>>>
    where
        Self: 'r;
    type OfColumns<'r, S: Simd>
        = GradientTerms<'a, 'm, T, G, PerColumn<'a, T::Compute>>
    where
        Self: 'r;

    #[inline(always)]
    fn of_unit<S: Simd>(&self, simd: S, i: usize) -> Self::OfUnit<'_, S> {
        let channel = self.of.tile.units.start + i;
        let coefficients = self.of.coefficients.of_channel::<S, T>(simd, channel);
        GradientTerms {
            dy: self.of.dy,
            x: self.of.x,
            gate: self.gate,
            coefficients,
        }
    }
    #[inline(always)]
    fn of_columns<S: Simd>(&self, _: S) -> Self::OfColumns<'_, S> {
        let coefficients = self
            .columns
            .each_ref()
            .map(|column| PerColumn(column.as_slice()));
        GradientTerms {
            dy: self.of.dy,
            x: self.of.x,
            gate: self.gate,
            coefficients,
        }
    }
}

impl<'a, S: Simd, T: Element, G: Passes<T>, K: Coefficient<S, T>> Terms<S, T>
    for GradientTerms<'a, '_, T, G, K>
{
    type Run = (Run<'a, T>, Run<'a, T>, G::Run);

    #[inline(always)]
    fn run(&self, span: Span) -> Self::Run {
        (
            self.dy.part(span),
            self.x.part(span.range()),
            self.gate.run(span),
        )
    }
    #[inline(always)]
    fn terms(&self, simd: S, (dy, x, gate): Self::Run, at: usize) -> (T::Vector<S>, T::Vector<S>) {
        self.of(simd, gate, at, dy.load(simd, at), x.load(simd, at))
    }
    #[inline(always)]
    fn last_terms(
        &self,
        simd: S,
        (dy, x, gate): Self::Run,
        at: usize,
        count: usize,
    ) -> (T::Vector<S>, T::Vector<S>) {
        // dy is zero past the end, and so is dv.
        let (dy, x) = (dy.load_some(simd, at, count), x.load_some(simd, at, count));
        self.of(simd, gate, at, dy, x)
    }
}

impl<T: Element, G: Passes<T>, K> GradientTerms<'_, '_, T, G, K> {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        gate: G::Run,
        at: usize,
        dy: T::Vector<S>,
        x: T::Vector<S>,
    ) -> (T::Vector<S>, T::Vector<S>)
    where
        K: Coefficient<S, T>,
    {
        let [center, scale, shift, inv_std] = self.coefficients;
        let centred = x.sub(center.load(simd, at));
        // Multiplied before it is summed: dv·(x − mean) can overflow where dv·x̂ cannot.
        (
            self.gate.pass(simd, gate, at, dy, centred, [scale, shift]),
            centred.mul(inv_std.load(simd, at)),
        )
    }
}

/// Takes out what the rounding of the mean put into Σ dv·x̂, for channels from `first` on.
pub(crate) fn correct_for_center<C: Compute>(
    sums: &mut Sums,
    with: &Normalization<'_, C>,
    first: usize,
) {
    for (i, (gamma, beta)) in sums.gamma.iter_mut().zip(&sums.beta).enumerate() {
        let rest = center_of(with, first + i).1 * with.inv_std[first + i].to_f64();
        if rest != 0.0 {
            *gamma -= rest * beta;
        }
    }
}

/// Reduces a whole array.
pub(crate) fn reduce<T: Element>(
    cpu: &Cpu,
    tiling: &Tiling,
    dy: &[T],
    x: &[T],
    with: &Normalization<'_, T::Compute>,
    gate: Gate<'_>,
) -> Sums {
    let matrix = &tiling.matrix;
    let coefficients = coefficients(with, 0..matrix.channels);
    let bytes = size_of_val(dy) + size_of_val(x);
    let parts = cpu.threads.map(tiling.count(), bytes, |index| {
        let tile = tiling.tile(index);
        let (dy, x) = (Gradient::Array(Run::new(dy)), Run::new(x));
        let sums = T::reduce(
            cpu,
            ReduceTile {
                matrix,
                tile: &tile,
                dy,
                x,
                coefficients: &coefficients,
                gate,
            },
        );
        (tile.channels(matrix).start, sums)
    });
    let mut whole = Sums::none(matrix.channels);
    for (first, part) in parts {
        for (i, (gamma, beta)) in part.gamma.into_iter().zip(part.beta).enumerate() {
            whole.gamma[first + i] += gamma;
            whole.beta[first + i] += beta;
        }
    }
    correct_for_center(&mut whole, with, 0);
    whole
}
