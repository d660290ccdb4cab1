//! y from x where it is kept, and zeros elsewhere: as `normalize.rs` has it, with a lift where γ·inv_std is no number of the type.

use std::marker::PhantomData;

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Elementwise, drive_bundles};
use crate::cpu::epilogue::forward::{EpilogueStreams, TileEpilogue};
use crate::cpu::kept::lanes::KeptLanes;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::streams::Bundles;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Real;

/// Normalizes what is kept of a tile.
pub struct KeptNormalizeTile<'a, 'm, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) kept: &'a KeptOfView<'a, T::Scalar>,
    pub(crate) coefficients: &'a Coefficients<T::Scalar, 4>,
    pub(crate) epilogue: TileEpilogue<'a, T>,
    pub(crate) memory: &'a mut TileMemory<'m, T>,
}

impl<T: SimdElement> Kernel for KeptNormalizeTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (view, tile) = (self.view, self.memory.tile);
        let mut pass = KeptNormalizePass {
            kept: self.kept,
            memory: self.memory,
            epilogue: self.epilogue,
        };
        let bundles = bundles_of_kept(view, tile);
        drive_bundles::<S, T, _, 4, 4>(simd, view, tile, self.coefficients, &mut pass, bundles);
    }
}

/// The way through a tile of which not all is kept: where planes have positions, row by row, for each begins with the first.
#[inline(always)]
pub(crate) fn bundles_of_kept<'a>(view: &'a MatrixView, tile: &'a Tile) -> Bundles<'a> {
    let (four, order) = (false, Traversal::Descending);
    if view.neighbours_share_a_channel() {
        Bundles::row_by_row(view, tile, four, order)
    } else {
        Bundles::of(view, tile, four, order)
    }
}

/// Writes y of a tile.
struct KeptNormalizePass<'a, 'm, T: SimdElement> {
    kept: &'a KeptOfView<'a, T::Scalar>,
    memory: &'a mut TileMemory<'m, T>,
    epilogue: TileEpilogue<'a, T>,
}

/// Everything that some spans need.
struct KeptNormalizeStreams<'a, 'm, 's, T: SimdElement, const A: usize> {
    /// They borrow it.
    pass: PhantomData<&'s KeptNormalizePass<'a, 'm, T>>,
    kept: KeptLanes<'a, T::Scalar, A>,
    x: StridedSpans<'s, T, A>,
    y: StridedSpansMut<'m, T, A>,
    epilogue: EpilogueStreams<'s, 's, T, A>,
}

impl<'a, 'm, S: Simd, T: SimdElement> Elementwise<S, T, 4> for KeptNormalizePass<'a, 'm, T> {
    const FOUR_STREAMS: bool = false;
    type Streams<'s, const A: usize>
        = KeptNormalizeStreams<'a, 'm, 's, T, A>
    where
        Self: 's;

    #[inline(always)]
    fn begin<const A: usize>(&mut self, simd: S, spans: [Span; A]) -> Self::Streams<'_, A> {
        let (x, y) = (self.memory.inputs(spans), self.memory.outputs(spans));
        y.prefetch_ends(simd);
        KeptNormalizeStreams {
            pass: PhantomData,
            kept: self.kept.lanes(spans),
            x,
            y,
            epilogue: self.epilogue.streams(self.memory, spans),
        }
    }

    #[inline(always)]
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize {
        streams.y.unaligned_head()
    }

    #[inline(always)]
    fn overlapped<const A: usize, const L: usize>(_: &mut Self::Streams<'_, A>, _: S) {}

    #[cfg_attr(not(unoptimized), inline(always))]
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; 4]; L],
        at: usize,
        count: usize,
    ) {
        let (lanes, any) = lanes_of::<_, A, L>(&streams.kept, at, count);
        let mut v = [[T::splat(simd, T::Scalar::default()); A]; L];
        if any {
            for l in 0..L {
                let [center, scale, shift, lift] = with[l];
                v[l] = streams.x.read_any(simd, at + l * LANES, count, lanes[l]);
                for i in 0..A {
                    v[l][i] = v[l][i].sub(center).mul(lift).mul_add(scale, shift);
                }
            }
            streams.epilogue.apply(simd, at, count, &mut v);
            for l in 0..L {
                for i in 0..A {
                    v[l][i] = v[l][i].mask_and(lanes[l][i]);
                }
            }
        } else {
            streams.epilogue.leave_out::<L>(count);
        }
        streams.y.write(simd, at, count, v);
    }

    #[inline(always)]
    fn end<const A: usize>(streams: Self::Streams<'_, A>, _: S) {
        streams.epilogue.end();
    }
}

/// Which lanes of `L` vectors of each span are kept, and whether any is.
#[inline(always)]
pub(crate) fn lanes_of<C: Real, const A: usize, const L: usize>(
    kept: &KeptLanes<'_, C, A>,
    at: usize,
    count: usize,
) -> ([[u16; A]; L], bool) {
    let (mut lanes, mut all) = ([[0; A]; L], 0);
    for l in 0..L {
        lanes[l] = kept.at(at + l * LANES, count);
        for i in 0..A {
            all |= lanes[l][i];
        }
    }
    (lanes, all != 0)
}
