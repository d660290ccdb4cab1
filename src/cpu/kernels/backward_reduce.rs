//! dγ = Σ dv·x̂ and dβ = Σ dv, with dv = dy behind the gate and x̂ = (x − mean)·inv_std.

use std::ops::Range;

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::backward_mask::{Gate, Marks, keep_above_zero};
use crate::cpu::kernels::coefficients::{center_of, coefficients_of};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::{Rows, Run};
use crate::cpu::memory::strided::Runs;
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::planes::TileSums;
use crate::cpu::reduce::terms::{Terms, TermsOf, lanes};
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::Matrix;
use crate::cpu::{Cpu, Normalization};
use crate::element::{Compute, Element};

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

    #[inline(always)]
    fn runs<const A: usize>(&self, spans: [Span; A]) -> Runs<'a, T, A> {
        match self {
            Gradient::Array(dy) => dy.parts(spans),
            Gradient::Tile(memory) => memory.inputs(spans),
        }
    }
}

/// Σ dv·x̂ and Σ dv of some channels.
#[derive(Debug)]
pub struct Sums {
    pub(crate) gamma: Scratch<f64>,
    pub(crate) beta: Scratch<f64>,
}

impl Sums {
    /// From Σ dv and Σ dv·x̂.
    pub(crate) fn of([beta, gamma]: [Scratch<f64>; 2]) -> Self {
        Self { gamma, beta }
    }

    /// Of no values.
    pub(crate) fn none(channels: usize) -> Self {
        Self {
            gamma: Scratch::zeros(channels),
            beta: Scratch::zeros(channels),
        }
    }
}

/// The four numbers per channel: center and inv_std; and, where v is recomputed, scale and shift as [`super::normalize`] has
/// them.
pub(crate) fn coefficients<C: Compute>(
    with: &Normalization<'_, C>,
    channels: Range<usize>,
) -> Coefficients<C, FOR_SUMS_AND_V> {
    Coefficients::new(channels, |c| {
        let [center, scale, shift] = coefficients_of(with, c);
        [center, with.inv_std[c], scale, shift]
    })
}

/// How many of them the terms of the sums take.
pub(crate) const FOR_SUMS: usize = 2;
/// The same, where v is recomputed.
pub(crate) const FOR_SUMS_AND_V: usize = 4;

/// Reduces a tile.
pub struct ReduceTile<'a, 'm, T: Element> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) tile: &'a Tile,
    pub(crate) dy: Gradient<'a, 'm, T>,
    pub(crate) x: Run<'a, T>,
    pub(crate) coefficients: &'a Coefficients<T::Compute, FOR_SUMS_AND_V>,
    pub(crate) gate: Gate<'a>,
}

impl<T: Element> Kernel for ReduceTile<'_, '_, T> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        match self.gate {
            Gate::Recomputed => self.of_numbers::<S, FOR_SUMS_AND_V>(simd),
            Gate::Open | Gate::Marked(_) => self.of_numbers::<S, FOR_SUMS>(simd),
        }
    }
}

impl<'a, 'm, T: Element> ReduceTile<'a, 'm, T> {
    #[inline(always)]
    fn of_numbers<S: Simd, const N: usize>(self, simd: S) -> Sums {
        let (matrix, tile) = (self.matrix, self.tile);
        let gradients = self.gradients();
        if matrix.has_units() {
            let sums = TileSums::<T, _, N>::of::<S, FOR_SUMS_AND_V>(
                matrix,
                tile,
                self.coefficients,
                gradients,
            );
            return Sums::of(sums.all(simd));
        }
        let mut out = Sums::none(tile.channels(matrix).len());
        let numbers = self.coefficients.of_columns(matrix, tile);
        let mut sums = ColumnSums::zero(tile.columns(matrix).len());
        add_columns(
            simd,
            matrix,
            tile,
            &gradients,
            numbers.lend::<N>(),
            &mut sums,
        );
        gather_columns(matrix, tile, &sums.first, &mut out.beta);
        gather_columns(matrix, tile, &sums.second, &mut out.gamma);
        out
    }

    /// The terms of the sums behind a gate.
    #[inline(always)]
    pub(crate) fn gradients(&self) -> Gradients<'a, 'm, T> {
        Gradients {
            matrix: self.matrix,
            dy: self.dy,
            x: self.x,
            gate: self.gate,
        }
    }
}

/// a = dv and b = x̂. They take center and inv_std; and, where v is recomputed, scale and shift.
pub(crate) struct Gradients<'a, 'm, T> {
    matrix: &'a Matrix,
    dy: Gradient<'a, 'm, T>,
    x: Run<'a, T>,
    gate: Gate<'a>,
}

impl<'a, T: Element> Gradients<'a, '_, T> {
    /// Of no values.
    pub(crate) fn nothing(matrix: &'a Matrix) -> Self {
        Self {
            matrix,
            dy: Gradient::Array(Run::new(&[])),
            x: Run::new(&[]),
            gate: Gate::Open,
        }
    }
}

impl<'a, S: Simd, T: Element, const N: usize> Terms<S, T, N> for Gradients<'a, '_, T> {
    type Runs<const A: usize> = (Runs<'a, T, A>, Runs<'a, T, A>, Marks<'a, A>);
    /// With the first run, for the gate.
    type Rows = (Rows<'a, T>, Rows<'a, T>, Span);

    #[inline(always)]
    fn runs<const A: usize>(&self, spans: [Span; A]) -> Self::Runs<A> {
        (
            self.dy.runs(spans),
            self.x.parts(spans),
            self.gate.runs(self.matrix, spans),
        )
    }
    #[inline(always)]
    fn no_runs<const A: usize>(&self) -> Self::Runs<A> {
        (Runs::none(), Runs::none(), Marks::none())
    }
    #[inline(always)]
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows {
        let x = self.x.rows(first, count, row_len);
        (self.dy.rows(first, count, row_len), x, first)
    }
    #[inline(always)]
    fn rows_abreast<const A: usize>(
        &self,
        (dy, x, first): Self::Rows,
        row: usize,
        step: usize,
    ) -> Self::Runs<A> {
        let mut spans = [first; A];
        for i in 0..A {
            spans[i] = dy.span(first, row + i * step);
        }
        let marks = self.gate.runs(self.matrix, spans);
        (dy.abreast(row, step), x.abreast(row, step), marks)
    }
    #[inline(always)]
    fn fetch<const A: usize>(
        &self,
        simd: S,
        (dy, x, _): Self::Runs<A>,
        at: usize,
        distance: usize,
    ) {
        dy.fetch(simd, at, distance);
        x.fetch(simd, at, distance);
    }
    #[inline(always)]
    fn terms<const A: usize>(
        &self,
        simd: S,
        (dy, x, marks): Self::Runs<A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A> {
        let (center, inv_std) = (with[0], with[1]);
        let (mut dv, mut x) = ([dy.read(simd, at, count)], x.read(simd, at, count));
        // Past the end dy is zero, and so is dv.
        marks.keep_marked::<S, T, 1>(at, &mut dv);
        let [mut dv] = dv;
        for i in 0..A {
            let centred = x[i].sub(center);
            if N == FOR_SUMS_AND_V {
                dv[i] = keep_above_zero::<S, T>(simd, dv[i], centred, [with[2], with[3]]);
            }
            // Multiplied before it is summed: dv·(x − mean) can overflow where dv·x̂ cannot.
            x[i] = centred.mul(inv_std);
            if count < LANES {
                x[i] = x[i].keep(lanes(0, count));
            }
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
    for (i, (gamma, beta)) in sums.gamma.iter_mut().zip(sums.beta.iter()).enumerate() {
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
    let parts = cpu.threads.map(
        tiling.count(),
        bytes,
        tiling.order,
        |index, _, (): &mut ()| {
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
        },
    );
    let mut whole = Sums::none(matrix.channels);
    for (first, part) in parts {
        for (i, (gamma, beta)) in part.gamma.iter().zip(part.beta.iter()).enumerate() {
            whole.gamma[first + i] += gamma;
            whole.beta[first + i] += beta;
        }
    }
    correct_for_center(&mut whole, with, 0);
    whole
}
