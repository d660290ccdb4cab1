//! y from x.
//!
//! `v = (x − mean)·scale + shift` with `scale = γ·inv_std` and `shift = β − mean_low·scale`; y is v, or ReLU of it, or of
//! it plus the residual, rounded once. Subtracting first keeps y exact where the mean is large: the usual
//! `x·scale + (β − mean·scale)` is off by 2e-3 at a mean of 1e5 deviations.

use std::ops::Range;

use super::coefficients::{Coefficient, Coefficients, PerColumn};
use super::memory::{Outputs, Run, TileMemory, scatter};
use super::simd::{Kernel, LANES, Simd, Vector};
use super::tiles::{Matrix, Tile};
use super::{Cpu, Normalization};
use crate::backend::InOut;
use crate::{Compute, Element};

/// Values a tile has where nothing needs to stay in cache.
pub(crate) const STREAM_VALUES: usize = 32 << 10;

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
                let range = tile.run(matrix, row);
                normalize_run(
                    simd,
                    memory,
                    range,
                    [center, scale, shift],
                    residual,
                    activate,
                );
            }
        } else {
            for row in tile.rows.clone() {
                for unit in tile.units.clone() {
                    let range = tile.unit_run(matrix, row, unit);
                    normalize_run(
                        simd,
                        memory,
                        range,
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
fn normalize_run<
    S: Simd,
    T: Element,
    K: Coefficient<S, T>,
    R: Residual<S, T>,
    A: Activate<S, T>,
>(
    simd: S,
    memory: &mut TileMemory<'_, T>,
    range: Range<usize>,
    [center, scale, shift]: [K; 3],
    residual: R,
    activate: A,
) {
    let x = memory.input(range.clone());
    let mut y = memory.output(range.clone());
    let residual = residual.part(&range);
    let mut mask = memory.mask(range);
    let mut at = 0;
    while x.len() - at >= LANES {
        let centred = x.load(simd, at).sub(center.load(simd, at));
        let v = residual.add(
            simd,
            at,
            centred.mul_add(scale.load(simd, at), shift.load(simd, at)),
        );
        if let Some(mask) = &mut mask {
            mark(mask, at, v.above_bits(T::splat(simd, T::ROUNDS_TO_ZERO)));
        }
        y.store(simd, at, activate.activate(v));
        at += LANES;
    }
    if at < x.len() {
        let centred = x
            .load_last(simd, at, T::default())
            .sub(center.load(simd, at));
        let v = residual.add_last(
            simd,
            at,
            centred.mul_add(scale.load(simd, at), shift.load(simd, at)),
        );
        if let Some(mask) = &mut mask {
            mark(mask, at, v.above_bits(T::splat(simd, T::ROUNDS_TO_ZERO)));
        }
        y.store_last(simd, at, activate.activate(v));
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
    fn part(self, range: &Range<usize>) -> Self;
    fn add(self, simd: S, at: usize, v: T::Vector<S>) -> T::Vector<S>;
    fn add_last(self, simd: S, at: usize, v: T::Vector<S>) -> T::Vector<S>;
}

#[derive(Clone, Copy)]
struct NoResidual;

impl<S: Simd, T: Element> Residual<S, T> for NoResidual {
    #[inline(always)]
    fn part(self, _: &Range<usize>) -> Self {
        self
    }
    #[inline(always)]
    fn add(self, _: S, _: usize, v: T::Vector<S>) -> T::Vector<S> {
        v
    }
    #[inline(always)]
    fn add_last(self, _: S, _: usize, v: T::Vector<S>) -> T::Vector<S> {
        v
    }
}

impl<S: Simd, T: Element> Residual<S, T> for Run<'_, T> {
    #[inline(always)]
    fn part(self, range: &Range<usize>) -> Self {
        Run::part(&self, range.clone())
    }
    #[inline(always)]
    fn add(self, simd: S, at: usize, v: T::Vector<S>) -> T::Vector<S> {
        v.add(self.load(simd, at))
    }
    #[inline(always)]
    fn add_last(self, simd: S, at: usize, v: T::Vector<S>) -> T::Vector<S> {
        v.add(self.load_last(simd, at, T::default()))
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
        &matrix.by_rows(STREAM_VALUES),
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
