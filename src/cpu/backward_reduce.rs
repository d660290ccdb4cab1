//! dγ = Σ dv·x̂ and dβ = Σ dv, with dv = dy behind the gate and x̂ = (x − mean)·inv_std.

use std::ops::Range;

use super::coefficients::{Coefficient, Coefficients, PerColumn, Same, gather_columns};
use super::gate::{Gate, Marked, Open, Passes, Recomputed};
use super::matrix::Matrix;
use super::memory::TileMemory;
use super::normalize::center_of;
use super::runs::{Rows, Run};
use super::simd::{Kernel, LANES, Simd, Vector};
use super::sums::{ColumnSums, Reduction, Terms, TermsOf, add_columns, add_units};
use super::tiles::{Span, Tile, Tiling};
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
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        match self {
            Gradient::Array(dy) => dy.rows(first, count, row_len),
            Gradient::Tile(memory) => memory.input_rows(first, count),
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
        let matrix = self.matrix;
        match self.gate {
            Gate::Open => self.behind(simd, Open),
            Gate::Recomputed => self.behind(simd, Recomputed),
            Gate::Marked(mask) => self.behind(simd, Marked { matrix, mask }),
        }
    }
}

impl<T: Element> ReduceTile<'_, '_, T> {
    #[inline(always)]
    fn behind<S: Simd, G: Passes<T>>(self, simd: S, gate: G) -> Sums {
        let (matrix, tile) = (self.matrix, self.tile);
        let channels = tile.channels(matrix).len();
        let mut out = Sums::none(channels);
        if matrix.sums_columns() {
            let columns = self.coefficients.of_columns(matrix, tile);
            let columns = columns.lend().values;
            let mut sums = ColumnSums::zero(tile.columns(matrix).len());
            add_columns::<S, T, _>(
                simd,
                matrix,
                tile,
                &Gradients {
                    tile,
                    dy: self.dy,
                    x: self.x,
                    coefficients: self.coefficients,
                    columns,
                    gate,
                },
                &mut sums,
            );
            gather_columns(matrix, tile, &sums.first, &mut out.beta);
            gather_columns(matrix, tile, &sums.second, &mut out.gamma);
        } else {
            add_units::<S, T, _>(
                simd,
                matrix,
                tile,
                &Gradients {
                    tile,
                    dy: self.dy,
                    x: self.x,
                    coefficients: self.coefficients,
                    columns: [PerColumn(&[]); 4],
                    gate,
                },
                [&mut out.beta, &mut out.gamma],
            );
        }
        out
    }
}

/// a = dv, b = x̂.
struct Gradients<'a, 'm, T: Element, G> {
    tile: &'a Tile,
    dy: Gradient<'a, 'm, T>,
    x: Run<'a, T>,
    coefficients: &'a Coefficients<T::Compute, 4>,
    /// Where work is by columns.
    columns: [PerColumn<'a, T::Compute>; 4],
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
        let channel = self.tile.units.start + i;
        let coefficients = self.coefficients.of_channel::<S, T>(simd, channel);
        GradientTerms {
            dy: self.dy,
            x: self.x,
            gate: self.gate,
            coefficients,
        }
    }
    #[inline(always)]
    fn of_columns<S: Simd>(&self, _: S) -> Self::OfColumns<'_, S> {
        GradientTerms {
            dy: self.dy,
            x: self.x,
            gate: self.gate,
            coefficients: self.columns,
        }
    }
}

impl<'a, S: Simd, T: Element, G: Passes<T>, K: Coefficient<S, T>> Terms<S, T>
    for GradientTerms<'a, '_, T, G, K>
{
    type Run = (Run<'a, T>, Run<'a, T>, G::Run);
    /// With the first run, for the gate.
    type Rows = (Rows<'a, T>, Rows<'a, T>, Span);
    type Coefficients<const N: usize> = [[T::Vector<S>; N]; 4];

    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows {
        let x = self.x.rows(first, count, row_len);
        (self.dy.rows(first, count, row_len), x, first)
    }
    #[inline(always)]
    fn row(&self, (dy, x, first): Self::Rows, i: usize) -> Self::Run {
        (dy.row(i), x.row(i), self.gate.run(dy.span(first, i)))
    }
    #[inline(always)]
    fn coefficients<const N: usize>(&self, simd: S, at: usize) -> [[T::Vector<S>; N]; 4] {
        let [center, scale, shift, inv_std] = self.coefficients;
        [
            center.load_each(simd, at),
            scale.load_each(simd, at),
            shift.load_each(simd, at),
            inv_std.load_each(simd, at),
        ]
    }
    #[inline(always)]
    fn terms<const N: usize>(
        &self,
        simd: S,
        (dy, x, gate): Self::Run,
        with: [[T::Vector<S>; N]; 4],
        at: usize,
    ) -> TermsOf<S, T, N> {
        let (dy, x) = (dy.load::<S, N>(simd, at), x.load::<S, N>(simd, at));
        self.of(simd, gate, at, (dy, x), with)
    }
    #[inline(always)]
    fn last_terms(
        &self,
        simd: S,
        (dy, x, gate): Self::Run,
        with: [[T::Vector<S>; 1]; 4],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, 1> {
        // dy is zero past the end, and so is dv.
        let (dy, x) = (dy.load_some(simd, at, count), x.load_some(simd, at, count));
        self.of(simd, gate, at, ([dy], [x]), with)
    }
}

impl<T: Element, G: Passes<T>, K> GradientTerms<'_, '_, T, G, K> {
    /// dv and x̂ of dy and x.
    #[inline(always)]
    fn of<S: Simd, const N: usize>(
        &self,
        simd: S,
        gate: G::Run,
        at: usize,
        (mut dv, mut x): TermsOf<S, T, N>,
        [center, scale, shift, inv_std]: [[T::Vector<S>; N]; 4],
    ) -> TermsOf<S, T, N> {
        for i in 0..N {
            let centred = x[i].sub(center[i]);
            let affine = [scale[i], shift[i]];
            dv[i] = self
                .gate
                .pass(simd, gate, at + i * LANES, dv[i], centred, affine);
            // Multiplied before it is summed: dv·(x − mean) can overflow where dv·x̂ cannot.
            x[i] = centred.mul(inv_std[i]);
        }
        (dv, x)
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
    let parts = cpu
        .threads
        .map(tiling.count(), bytes, tiling.order, |index, _| {
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
