//! y from x.
//!
//! `v = (x − mean)·scale + shift` with `scale = γ·inv_std` and `shift = β − mean_low·scale`; y is what the
//! epilogue makes of v, rounded once. (Where scale is no number of the type: `kept_normalize.rs`.) Subtracting first keeps y exact where the mean is large: the usual
//! `x·scale + (β − mean·scale)` is off by 2e-3 at a mean of 1e5 deviations.

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Elementwise, drive};
use crate::cpu::epilogue::forward::{EpilogueStreams, TileEpilogue};
use crate::cpu::kernels::statistics::{Deviations, TileMoments, pivots_as_coefficients};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::{BundleSums, PlaneSums, order_of_writing};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;

/// Normalizes a tile; and takes the moments of the next one meanwhile, where the two can overlap.
pub struct NormalizeTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) tile: &'a Tile,
    /// As [`super::coefficients::coefficients_of`] gives them, with lifts of one.
    pub(crate) coefficients: &'a Coefficients<T::Scalar, 4>,
    pub(crate) epilogue: TileEpilogue<'a, T>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
    pub(crate) next: Option<TileMoments<'a, T>>,
}

impl<T: SimdElement> Kernel for NormalizeTile<'_, '_, T> {
    type Output = Option<Moments>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<Moments> {
        let mut pivots = Scratch::of_len(0);
        let pivots_of_planes;
        let mut sums = PlaneSums::nothing(Deviations(RawSlice::new(&[])));
        let mut overlapped = None;
        if let Some(next) = &self.next {
            let sampled = next.sample(simd);
            // Those with small squares get a pass of their own.
            if !sampled.have_small_squares::<T::Scalar>() {
                pivots = sampled.pivots;
                let planes = next.tile.planes.clone();
                pivots_of_planes = pivots_as_coefficients::<T>(planes, &pivots);
                let deviations = Deviations(next.x);
                sums = PlaneSums::of::<S, 1>(self.view, next.tile, &pivots_of_planes, deviations);
                overlapped = Some(next);
            }
        }
        let mut pass = NormalizePass {
            memory: self.memory,
            epilogue: self.epilogue,
            next: sums,
        };
        let order = order_of_writing(self.next.as_ref().map(|next| next.tile));
        drive::<S, T, _, 3, 4>(
            simd,
            self.view,
            self.tile,
            self.coefficients,
            &mut pass,
            order,
        );
        Some(overlapped?.moments(&pivots, pass.next.end()))
    }
}

/// Writes y of a tile.
struct NormalizePass<'a, 'm, T: SimdElement> {
    memory: &'a mut TileMemory<'m, T>,
    epilogue: TileEpilogue<'a, T>,
    next: PlaneSums<'a, T, Deviations<'a, T>, 1>,
}

/// Everything that some spans need.
struct NormalizeStreams<'a, 's, S: Simd, T: SimdElement, const A: usize> {
    x: StridedSpans<'s, T, A>,
    y: StridedSpansMut<'s, T, A>,
    epilogue: EpilogueStreams<'s, 's, T, A>,
    next: BundleSums<'s, S, T, Deviations<'a, T>, 1, A>,
}

impl<'a, S: Simd, T: SimdElement> Elementwise<S, T, 3> for NormalizePass<'a, '_, T> {
    type Streams<'s, const A: usize>
        = NormalizeStreams<'a, 's, S, T, A>
    where
        Self: 's;

    #[inline(always)]
    fn begin<const A: usize>(&mut self, simd: S, spans: [Span; A]) -> Self::Streams<'_, A> {
        let (x, y) = (self.memory.inputs(spans), self.memory.outputs(spans));
        y.prefetch_ends(simd);
        NormalizeStreams {
            x,
            y,
            epilogue: self.epilogue.streams(self.memory, spans),
            next: self.next.next_bundle(simd),
        }
    }

    #[inline(always)]
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize {
        streams.y.unaligned_head()
    }

    #[inline(always)]
    fn overlapped<const A: usize, const L: usize>(streams: &mut Self::Streams<'_, A>, simd: S) {
        streams.next.advance::<L>(simd);
    }

    #[cfg_attr(not(unoptimized), inline(always))]
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; 3]; L],
        at: usize,
        count: usize,
    ) {
        let mut v = [streams.x.read(simd, at, count); L];
        for l in 0..L {
            let [center, scale, shift] = with[l];
            v[l] = streams.x.read(simd, at + l * LANES, count);
            for i in 0..A {
                v[l][i] = v[l][i].sub(center).mul_add(scale, shift);
            }
        }
        streams.epilogue.apply(simd, at, count, &mut v);
        streams.y.write(simd, at, count, v);
    }

    #[inline(always)]
    fn end<const A: usize>(streams: Self::Streams<'_, A>, simd: S) {
        streams.epilogue.end();
        streams.next.end(simd);
    }
}
