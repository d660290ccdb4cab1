//! y from x.
//!
//! `v = (x − mean)·scale + shift` with `scale = γ·inv_std` and `shift = β − mean_low·scale`; y is v, or ReLU of it, or of
//! it plus the residual, rounded once. Subtracting first keeps y exact where the mean is large: the usual
//! `x·scale + (β − mean·scale)` is off by 2e-3 at a mean of 1e5 deviations.

use super::coefficients::{Coefficient, Coefficients, PerColumn};
use super::memory::{Outputs, Run, RunMut, TileMemory, scatter};
use super::simd::{Kernel, LANES, Simd, Vector};
use super::tiles::{Matrix, Span, Tile};
use super::{Cpu, Normalization};
use crate::backend::InOut;
use crate::{Compute, Element};

/// Values a tile has where nothing needs to stay in cache.
pub(crate) const TILE_VALUES: usize = 32 << 10;

/// What is done to v.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a, T> {
    pub residual: Option<&'a [T]>,
    pub relu: bool,
}

/// Normalizes a tile.
pub struct NormalizeTile<'a, 'm, T: Element> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) tile: &'a Tile,
    pub(crate) coefficients: &'a Coefficients<T::Compute, 3>,
    pub(crate) epilogue: Epilogue<'a, T>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
}

impl<T: Element> Kernel for NormalizeTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // The epilogue is a constant of each loop, not a question asked at every value.
        match (self.epilogue.residual, self.epilogue.relu) {
            (None, false) => self.tile(simd, NoResidual, Keep),
            (None, true) => self.tile(simd, NoResidual, Relu),
            (Some(residual), false) => self.tile(simd, Run::new(residual), Keep),
            (Some(residual), true) => self.tile(simd, Run::new(residual), Relu),
        }
    }
}

impl<T: Element> NormalizeTile<'_, '_, T> {
    #[inline(always)]
    fn tile<S: Simd, R: Residual<S, T>, A: Activate<S, T>>(
        self,
        simd: S,
        residual: R,
        activate: A,
    ) {
        let Self {
            matrix,
            tile,
            coefficients,
            memory,
            ..
        } = self;
        if matrix.by_columns() {
            let columns = coefficients.of_columns(matrix, tile);
            let [center, scale, shift] = columns
                .each_ref()
                .map(|column| PerColumn(column.as_slice()));
            for row in tile.rows.clone() {
                let span = tile.run(matrix, row);
                normalize_run(
                    simd,
                    memory,
                    span,
                    [center, scale, shift],
                    residual,
                    activate,
                );
            }
        } else {
            for row in tile.rows.clone() {
                for unit in tile.units.clone() {
                    let span = tile.unit_run(matrix, row, unit);
                    normalize_run(
                        simd,
                        memory,
                        span,
                        coefficients.of_channel::<S, T>(simd, unit),
                        residual,
                        activate,
                    );
                }
            }
        }
    }
}

/// Normalizes one run of memory.
#[inline(always)]
fn normalize_run<S, T, K, R, A>(
    simd: S,
    memory: &mut TileMemory<'_, T>,
    span: Span,
    coefficients: [K; 3],
    residual: R,
    activate: A,
) where
    S: Simd,
    T: Element,
    K: Coefficient<S, T>,
    R: Residual<S, T>,
    A: Activate<S, T>,
{
    let (x, y, residual) = (memory.input(span), memory.output(span), residual.part(span));
    let mask = memory.mask(span);
    let mut step = NormalizeStep {
        x,
        y,
        mask,
        coefficients,
        residual,
        activate,
    };
    let (mut at, len) = (step.y.unaligned_head(), span.len());
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
struct NormalizeStep<'a, 'm, T, K, R, A> {
    x: Run<'a, T>,
    y: RunMut<'a, T>,
    mask: Option<&'m mut [u8]>,
    coefficients: [K; 3],
    residual: R,
    activate: A,
}

impl<T: Element, K, R, A> NormalizeStep<'_, '_, T, K, R, A> {
    /// The `count` values from `at` on, at most sixteen.
    #[inline(always)]
    fn at<S: Simd>(&mut self, simd: S, at: usize, count: usize)
    where
        K: Coefficient<S, T>,
        R: Residual<S, T>,
        A: Activate<S, T>,
    {
        // One by one: an intrinsic behind the closure of `map` is a call.
        let [center, scale, shift] = self.coefficients;
        let (center, scale) = (center.load(simd, at), scale.load(simd, at));
        let shift = shift.load(simd, at);
        let x = self.x.read(simd, at, count);
        let v = self
            .residual
            .add(simd, at, count, x.sub(center).mul_add(scale, shift));
        if let Some(mask) = &mut self.mask {
            mark(mask, at, v.above_bits(T::splat(simd, T::ROUNDS_TO_ZERO)));
        }
        let y = self.activate.activate(v);
        self.y.write(simd, at, count, y);
    }
}

/// Writes sixteen bits of the mask, or the last eight.
#[inline(always)]
fn mark(mask: &mut [u8], at: usize, bits: u16) {
    for (byte, bits) in mask[at / 8..].iter_mut().zip(bits.to_le_bytes()) {
        *byte = bits;
    }
}

/// What is added to v.
trait Residual<S: Simd, T: Element>: Copy {
    fn part(self, span: Span) -> Self;
    fn add(self, simd: S, at: usize, count: usize, v: T::Vector<S>) -> T::Vector<S>;
}

#[derive(Clone, Copy)]
struct NoResidual;

impl<S: Simd, T: Element> Residual<S, T> for NoResidual {
    #[inline(always)]
    fn part(self, _: Span) -> Self {
        self
    }
    #[inline(always)]
    fn add(self, _: S, _: usize, _: usize, v: T::Vector<S>) -> T::Vector<S> {
        v
    }
}

impl<S: Simd, T: Element> Residual<S, T> for Run<'_, T> {
    #[inline(always)]
    fn part(self, span: Span) -> Self {
        Run::part(&self, span.range())
    }
    #[inline(always)]
    fn add(self, simd: S, at: usize, count: usize, v: T::Vector<S>) -> T::Vector<S> {
        v.add(self.read(simd, at, count))
    }
}

/// What y is of v.
trait Activate<S: Simd, T: Element>: Copy {
    fn activate(self, v: T::Vector<S>) -> T::Vector<S>;
}

#[derive(Clone, Copy)]
struct Keep;

#[derive(Clone, Copy)]
struct Relu;

impl<S: Simd, T: Element> Activate<S, T> for Keep {
    #[inline(always)]
    fn activate(self, v: T::Vector<S>) -> T::Vector<S> {
        v
    }
}

impl<S: Simd, T: Element> Activate<S, T> for Relu {
    #[inline(always)]
    fn activate(self, v: T::Vector<S>) -> T::Vector<S> {
        v.relu()
    }
}

/// The three numbers of one channel: center, scale and shift.
pub(crate) fn coefficients_of<C: Compute>(with: &Normalization<'_, C>, channel: usize) -> [C; 3] {
    let (center, rest) = center_of(with, channel);
    let scale = C::from_f64(with.gamma[channel].to_f64() * with.inv_std[channel].to_f64());
    let shift = with.beta[channel].to_f64() - rest * scale.to_f64();
    [center, scale, C::from_f64(shift)]
}

/// What is subtracted from x, and what of the mean that leaves: what it rounds away. Where the deviation is near the
/// type's largest value, x − mean could overflow: there nothing is subtracted, which costs no digits as the mean is not
/// large beside the deviation.
pub(crate) fn center_of<C: Compute>(with: &Normalization<'_, C>, channel: usize) -> (C, f64) {
    let (mean, low) = (with.mean[channel], with.mean_low[channel].to_f64());
    if with.inv_std[channel].to_f64() * C::LARGEST < 16.0 {
        return (C::default(), mean.to_f64() + low);
    }
    (mean, low)
}

/// Normalizes a whole array with statistics that are known.
pub(crate) fn normalize<T: Element>(
    cpu: &Cpu,
    matrix: &Matrix,
    x_to_y: InOut<&[T], &mut [T]>,
    with: &Normalization<'_, T::Compute>,
    epilogue: Epilogue<'_, T>,
    mask: Option<&mut [u8]>,
) {
    let coefficients =
        Coefficients::new(0..matrix.channels, |channel| coefficients_of(with, channel));
    let outputs = Outputs {
        map: x_to_y,
        second: None,
        mask,
    };
    scatter(
        &cpu.threads,
        &matrix.by_rows(TILE_VALUES),
        outputs,
        |tile, memory| {
            T::normalize(
                cpu,
                NormalizeTile {
                    matrix,
                    tile,
                    coefficients: &coefficients,
                    epilogue,
                    memory,
                },
            );
        },
    );
}
