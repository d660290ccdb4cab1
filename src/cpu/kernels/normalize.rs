//! y from x.
//!
//! `v = (x − mean)·scale + shift` with `scale = γ·inv_std` and `shift = β − mean_low·scale`; y is v, or ReLU of it, or of
//! it plus the residual, rounded once. Subtracting first keeps y exact where the mean is large: the usual
//! `x·scale + (β − mean·scale)` is off by 2e-3 at a mean of 1e5 deviations.

use crate::backend::operands::InOut;
use crate::cpu::elementwise::broadcast::{Broadcast, CoefficientSlices};
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Pass, Step, drive, head_body_tail};
use crate::cpu::epilogue::Epilogue;
use crate::cpu::epilogue::mask_writer::MaskWriter;
use crate::cpu::kernels::affine::affine_of;
use crate::cpu::kernels::statistics::{Deviations, TileMoments, pivots_as_coefficients};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::{Outputs, TileMemory, for_each_tile};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::{BundleSums, PlaneSums, order_of_writing};
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, Normalization};
use crate::element::Element;

/// Normalizes a tile; and takes the moments of the next one on the way, if there is one whose planes they are of.
pub struct NormalizeTile<'a, 'm, T: Element> {
    pub(crate) view: &'a MatrixView,
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
        let mut pivots = Scratch::of_len(0);
        let sums;
        let next = match &self.next {
            Some(next) => {
                pivots = next.pivots(simd);
                sums = pivots_as_coefficients::<T>(next.tile.planes.clone(), &pivots);
                let deviations = Deviations(next.x);
                PlaneSums::of::<S, 1>(self.view, next.tile, &sums, deviations)
            }
            None => PlaneSums::nothing(Deviations(RawSlice::new(&[]))),
        };
        let mut pass = NormalizePass {
            memory: self.memory,
            epilogue: self.epilogue,
            next,
        };
        let order = order_of_writing(self.next.as_ref().map(|next| next.tile));
        drive::<S, T, _, 3>(
            simd,
            self.view,
            self.tile,
            self.coefficients,
            &mut pass,
            order,
        );
        let next = self.next.as_ref()?;
        Some(next.moments(&pivots, pass.next.end()))
    }
}

/// Normalizes some runs after the other.
struct NormalizePass<'a, 'm, T: Element> {
    memory: &'a mut TileMemory<'m, T>,
    epilogue: Epilogue<'a, T>,
    next: PlaneSums<'a, T, Deviations<'a, T>, 1>,
}

impl<S: Simd, T: Element> Pass<S, T, 3> for NormalizePass<'_, '_, T> {
    #[inline(always)]
    fn streams<const A: usize>(
        &mut self,
        simd: S,
        spans: [Span; A],
        numbers: CoefficientSlices<'_, T::Compute, 3>,
    ) {
        let (x, y) = (self.memory.inputs(spans), self.memory.outputs(spans));
        let mask = self.memory.masks(spans);
        let residual = self.epilogue.residual.map(RawSlice::new);
        let residual = residual.map(|residual| residual.strided(spans));
        let mut step = NormalizeStep {
            x,
            y,
            marks: mask.is_some(),
            mask: MaskWriter::new(mask.unwrap_or_else(no_bytes)),
            broadcast: Broadcast::at_start(simd, numbers),
            adds: residual.is_some(),
            residual: residual.unwrap_or_else(StridedSpans::none),
            relu: self.epilogue.relu,
            next: self.next.next_bundle(simd),
        };
        step.y.prefetch_ends(simd);
        let head = step.y.unaligned_head();
        head_body_tail::<S, T>(simd, &mut step, head, spans[0].len());
        step.mask.flush();
        step.next.end(simd);
    }
}

/// What is written where there is no mask.
fn no_bytes<'m, const A: usize>() -> [&'m mut [u8]; A] {
    std::array::from_fn(|_| -> &'m mut [u8] { &mut [] })
}

/// Everything that some runs need.
struct NormalizeStep<'a, 'm, 's, S: Simd, T: Element, const A: usize> {
    x: StridedSpans<'a, T, A>,
    y: StridedSpansMut<'a, T, A>,
    marks: bool,
    mask: MaskWriter<'m, A>,
    broadcast: Broadcast<'s, S, T, 3>,
    adds: bool,
    residual: StridedSpans<'a, T, A>,
    relu: bool,
    next: BundleSums<'s, S, T, Deviations<'a, T>, 1, A>,
}

impl<S: Simd, T: Element, const A: usize> Step<S> for NormalizeStep<'_, '_, '_, S, T, A> {
    type Coefficients = [T::Vector<S>; 3];

    #[inline(always)]
    fn coefficients(&mut self, simd: S, count: usize) -> [T::Vector<S>; 3] {
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
        if opaque(self.adds) {
            for l in 0..L {
                let residual = self.residual.read(simd, at + l * LANES, count);
                for i in 0..A {
                    v[l][i] = v[l][i].add(residual[i]);
                }
            }
        }
        if opaque(self.marks) {
            let threshold = T::splat(simd, T::ROUNDS_TO_ZERO);
            for l in 0..L {
                let mut bits = [0; A];
                for i in 0..A {
                    bits[i] = v[l][i].compare_mask(threshold);
                }
                self.mask.push(bits, count);
            }
        }
        if opaque(self.relu) {
            for l in 0..L {
                for i in 0..A {
                    v[l][i] = v[l][i].relu();
                }
            }
        }
        self.y.write(simd, at, count, v);
    }
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
    let view = &tiling.view;
    let coefficients = Coefficients::new(0..view.channels, |channel| affine_of(with, channel));
    let outputs = Outputs {
        map: x_to_y,
        second: None,
        mask,
    };
    for_each_tile(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        T::normalize(
            cpu,
            NormalizeTile {
                view,
                tile: memory.tile,
                coefficients: &coefficients,
                epilogue,
                memory,
                next: None,
            },
        );
    });
}
