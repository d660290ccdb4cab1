//! y from v: the residual is added, what backward needs is saved, and the activation is applied.

use crate::backend::activation::Activation;
use crate::cpu::epilogue::activation::VectorActivation;
use crate::cpu::epilogue::mask_writer::MaskWriter;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut};
use crate::cpu::memory::tile_memory::TileMemory;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::span::Span;

/// What is done to v. It is copied to every tile, which the backend contract's own epilogue cannot
/// be: that one holds what is saved, which is shared out among the tiles.
#[derive(Debug, Clone, Copy)]
pub struct TileEpilogue<'a, T> {
    pub(crate) residual: Option<&'a [T]>,
    pub(crate) activation: Activation,
}

/// The epilogue of some spans.
pub(crate) struct EpilogueStreams<'a, 'm, T, const A: usize> {
    adds: bool,
    residual: StridedSpans<'a, T, A>,
    saves: bool,
    saves_mask: bool,
    mask: MaskWriter<'m, A>,
    pre_activation: StridedSpansMut<'m, T, A>,
    activation: VectorActivation,
}

impl<'a, T: SimdElement> TileEpilogue<'a, T> {
    /// At some spans of a tile, whose mask or second output what is saved is written to.
    #[inline(always)]
    pub(crate) fn streams<'m, const A: usize>(
        &self,
        memory: &'m mut TileMemory<'_, T>,
        spans: [Span; A],
    ) -> EpilogueStreams<'a, 'm, T, A> {
        let pre_activation = memory.seconds(spans);
        let residual = self.residual.map(RawSlice::new);
        let residual = residual.map(|residual| residual.strided(spans));
        let saves_values = pre_activation.is_some();
        let mask = memory.masks(spans);
        EpilogueStreams {
            adds: residual.is_some(),
            residual: residual.unwrap_or_else(StridedSpans::none),
            saves: saves_values || mask.is_some(),
            saves_mask: mask.is_some(),
            mask: MaskWriter::new(mask.unwrap_or_else(no_bytes)),
            pre_activation: pre_activation.unwrap_or_else(StridedSpansMut::none),
            activation: VectorActivation::new(self.activation),
        }
    }
}

/// What is written where there is no mask.
fn no_bytes<'m, const A: usize>() -> [&'m mut [u8]; A] {
    std::array::from_fn(|_| -> &'m mut [u8] { &mut [] })
}

impl<T: SimdElement, const A: usize> EpilogueStreams<'_, '_, T, A> {
    /// y from v, in place: of the `count` values, at most sixteen, from `at` on in each span, or of `L` times sixteen.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const L: usize>(
        &mut self,
        simd: S,
        at: usize,
        count: usize,
        v: &mut [[T::Vector<S>; A]; L],
    ) {
        if opaque(self.adds) {
            for l in 0..L {
                let residual = self.residual.read(simd, at + l * LANES, count);
                for i in 0..A {
                    v[l][i] = v[l][i].add(residual[i]);
                }
            }
        }
        if opaque(self.saves) {
            if opaque(self.saves_mask) {
                for l in 0..L {
                    let mut bits = [0; A];
                    for i in 0..A {
                        bits[i] = self.activation.mask::<S, T>(simd, v[l][i]);
                    }
                    self.mask.push(bits, count);
                }
            } else {
                self.pre_activation.write(simd, at, count, *v);
            }
        }
        self.activation.forward::<S, T, A, L>(simd, v);
    }

    /// Leaves out `count` values, at most sixteen, of each span, or `L` times sixteen: nothing of them will be asked for. (The bits of those
    /// after them keep their places.)
    #[inline(always)]
    pub(crate) fn leave_out<const L: usize>(&mut self, count: usize) {
        if opaque(self.saves_mask) {
            for _ in 0..L {
                self.mask.push([0; A], count);
            }
        }
    }

    /// Writes the bits that do not fill two bytes.
    #[inline(always)]
    pub(crate) fn end(self) {
        self.mask.flush();
    }
}
