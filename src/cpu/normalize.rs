//! y from x.
//!
//! `v = (x − mean)·scale + shift` with `scale = γ·inv_std` and `shift = β − mean_low·scale`; y is v, or ReLU of it, or of
//! it plus the residual, rounded once. Subtracting first keeps y exact where the mean is large: the usual
//! `x·scale + (β − mean·scale)` is off by 2e-3 at a mean of 1e5 deviations.

use super::coefficients::Coefficients;
use super::cursor::{Cursor, Numbers};
use super::in_loop::asked_in_loop;
use super::lockstep::{Pass, Step, along_runs, through_tile};
use super::mask_writer::MaskWriter;
use super::matrix::Matrix;
use super::memory::{Outputs, TileMemory, scatter};
use super::moments::Moments;
use super::run::Run;
use super::runs::{Runs, RunsMut};
use super::scratch::Scratch;
use super::simd::{Kernel, LANES, Simd, Vector};
use super::statistics::{Deviations, TileMoments, shifts_as_coefficients};
use super::tile_sums::{GroupSums, TileSums, order_of_writing};
use super::tiles::{Span, Tile, Tiling};
use super::{Cpu, Normalization};
use crate::backend::InOut;
use crate::{Compute, Element};

/// What is done to v.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a, T> {
    pub residual: Option<&'a [T]>,
    pub relu: bool,
}

/// Normalizes a tile; and takes the moments of the next one on the way, if there is one whose units they are of.
pub struct NormalizeTile<'a, 'm, T: Element> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) tile: &'a Tile,
    pub(crate) coefficients: &'a Coefficients<T::Compute, 3>,
    pub(crate) epilogue: Epilogue<'a, T>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
    pub(crate) next: Option<TileMoments<'a, T>>,
}

impl<T: Element> Kernel for NormalizeTile<'_, '_, T> {
    type Output = Option<Moments>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<Moments> {
        let mut shifts = Scratch::of_len(0);
        let sums;
        let next = match &self.next {
            Some(next) => {
                shifts = next.shifts(simd);
                sums = shifts_as_coefficients::<T>(next.tile.units.clone(), &shifts);
                let deviations = Deviations(next.x);
                TileSums::of::<S, 1>(self.matrix, next.tile, &sums, deviations)
            }
            None => TileSums::nothing(Deviations(Run::new(&[]))),
        };
        let mut pass = NormalizePass {
            memory: self.memory,
            epilogue: self.epilogue,
            next,
        };
        let order = order_of_writing(self.next.as_ref().map(|next| next.tile));
        through_tile::<S, T, _, 3>(
            simd,
            self.matrix,
            self.tile,
            self.coefficients,
            &mut pass,
            order,
        );
        let next = self.next.as_ref()?;
        Some(next.moments(&shifts, pass.next.end()))
    }
}

/// Normalizes some runs after the other.
struct NormalizePass<'a, 'm, T: Element> {
    memory: &'a mut TileMemory<'m, T>,
    epilogue: Epilogue<'a, T>,
    next: TileSums<'a, T, Deviations<'a, T>, 1>,
}

impl<S: Simd, T: Element> Pass<S, T, 3> for NormalizePass<'_, '_, T> {
    #[inline(always)]
    fn runs<const A: usize>(
        &mut self,
        simd: S,
        spans: [Span; A],
        numbers: Numbers<'_, T::Compute, 3>,
    ) {
        let (x, y) = (self.memory.inputs(spans), self.memory.outputs(spans));
        let mask = self.memory.masks(spans);
        let residual = self.epilogue.residual.map(Run::new);
        let residual = residual.map(|residual| residual.parts(spans));
        let mut step = NormalizeStep {
            x,
            y,
            marks: mask.is_some(),
            mask: MaskWriter::new(mask.unwrap_or_else(no_bytes)),
            cursor: Cursor::at_start(simd, numbers),
            adds: residual.is_some(),
            residual: residual.unwrap_or_else(Runs::none),
            relu: self.epilogue.relu,
            next: self.next.next_group(simd),
        };
        step.y.fetch_ends(simd);
        let head = step.y.unaligned_head();
        along_runs::<S, T>(simd, &mut step, head, spans[0].len());
        step.mask.finish();
        step.next.end(simd);
    }
}

/// What is written where there is no mask.
fn no_bytes<'m, const A: usize>() -> [&'m mut [u8]; A] {
    std::array::from_fn(|_| -> &'m mut [u8] { &mut [] })
}

/// Everything that some runs need.
struct NormalizeStep<'a, 'm, 's, S: Simd, T: Element, const A: usize> {
    x: Runs<'a, T, A>,
    y: RunsMut<'a, T, A>,
    marks: bool,
    mask: MaskWriter<'m, A>,
    cursor: Cursor<'s, S, T, 3>,
    adds: bool,
    residual: Runs<'a, T, A>,
    relu: bool,
    next: GroupSums<'s, S, T, Deviations<'a, T>, 1, A>,
}

impl<S: Simd, T: Element, const A: usize> Step<S> for NormalizeStep<'_, '_, '_, S, T, A> {
    type Coefficients = [T::Vector<S>; 3];

    #[inline(always)]
    fn coefficients(&mut self, simd: S, count: usize) -> [T::Vector<S>; 3] {
        self.cursor.advance(simd, count)
    }

    #[inline(always)]
    fn beside<const L: usize>(&mut self, simd: S) {
        self.next.advance::<L>(simd);
    }

    #[inline(always)]
    fn at<const L: usize>(
        &mut self,
        simd: S,
        with: [[T::Vector<S>; 3]; L],
        at: usize,
        count: usize,
    ) {
        let mut v = [self.x.read(simd, at, count); L];
        for l in 0..L {
            let [center, scale, shift] = with[l];
            let at = at + l * LANES;
            v[l] = self.x.read(simd, at, count);
            for i in 0..A {
                v[l][i] = v[l][i].sub(center).mul_add(scale, shift);
            }
        }
        if asked_in_loop(self.adds) {
            for l in 0..L {
                let residual = self.residual.read(simd, at + l * LANES, count);
                for i in 0..A {
                    v[l][i] = v[l][i].add(residual[i]);
                }
            }
        }
        if asked_in_loop(self.marks) {
            let threshold = T::splat(simd, T::ROUNDS_TO_ZERO);
            for l in 0..L {
                let mut bits = [0; A];
                for i in 0..A {
                    bits[i] = v[l][i].above_bits(threshold);
                }
                self.mask.push(bits, count);
            }
        }
        if asked_in_loop(self.relu) {
            for l in 0..L {
                for i in 0..A {
                    v[l][i] = v[l][i].relu();
                }
            }
        }
        self.y.write(simd, at, count, v);
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
    tiling: &Tiling,
    x_to_y: InOut<&[T], &mut [T]>,
    with: &Normalization<'_, T::Compute>,
    epilogue: Epilogue<'_, T>,
    mask: Option<&mut [u8]>,
) {
    let matrix = &tiling.matrix;
    let coefficients =
        Coefficients::new(0..matrix.channels, |channel| coefficients_of(with, channel));
    let outputs = Outputs {
        map: x_to_y,
        second: None,
        mask,
    };
    scatter(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        T::normalize(
            cpu,
            NormalizeTile {
                matrix,
                tile: memory.tile,
                coefficients: &coefficients,
                epilogue,
                memory,
                next: None,
            },
        );
    });
}
