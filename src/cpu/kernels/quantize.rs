//! `i8` from x: y as in `normalize.rs`, and of it the nearest byte.

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::elementwise::driver::{Elementwise, drive};
use crate::cpu::epilogue::activation::VectorActivation;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::memory::quantized_tile::QuantizedTile;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;

/// Center, scale, shift and lift, 1/scale of the bytes and their zero point.
pub(crate) const COEFFICIENTS: usize = 6;

/// Normalizes a tile and quantizes it.
pub struct QuantizeTile<'a, T: SimdElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) x: &'a [T],
    pub(crate) coefficients: &'a Coefficients<T::Scalar, COEFFICIENTS>,
    pub(crate) epilogue: TileEpilogue<'a, T>,
    pub(crate) memory: QuantizedTile<'a>,
}

impl<T: SimdElement> Kernel for QuantizeTile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tile = self.memory.tile;
        let mut pass = QuantizePass {
            x: self.x,
            epilogue: self.epilogue,
            memory: self.memory,
        };
        drive::<S, T, _, COEFFICIENTS, COEFFICIENTS>(
            simd,
            self.view,
            tile,
            self.coefficients,
            &mut pass,
            Traversal::Ascending,
        );
    }
}

/// Writes the bytes of a tile.
struct QuantizePass<'a, T> {
    x: &'a [T],
    epilogue: TileEpilogue<'a, T>,
    memory: QuantizedTile<'a>,
}

/// Everything that some spans need.
struct QuantizeStreams<'a: 's, 's, T, const A: usize> {
    x: StridedSpans<'a, T, A>,
    adds: bool,
    residual: StridedSpans<'a, T, A>,
    activation: VectorActivation,
    q: [&'s mut [i8]; A],
}

impl<'a, S: Simd, T: SimdElement> Elementwise<S, T, COEFFICIENTS> for QuantizePass<'a, T> {
    const FOUR_STREAMS: bool = false;
    type Streams<'s, const A: usize>
        = QuantizeStreams<'a, 's, T, A>
    where
        Self: 's;

    #[inline(always)]
    fn begin<const A: usize>(&mut self, _: S, spans: [Span; A]) -> Self::Streams<'_, A> {
        let residual = self.epilogue.residual.map(RawSlice::new);
        let residual = residual.map(|residual| residual.strided(spans));
        QuantizeStreams {
            x: RawSlice::new(self.x).strided(spans),
            adds: residual.is_some(),
            residual: residual.unwrap_or_else(StridedSpans::none),
            activation: VectorActivation::new(self.epilogue.activation),
            q: self.memory.outputs(spans),
        }
    }

    /// Up to where a vector of bytes lies in one cache line.
    #[inline(always)]
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize {
        let q = &streams.q[0];
        (q.as_ptr().addr().wrapping_neg() % LANES).min(q.len())
    }

    #[inline(always)]
    fn overlapped<const A: usize, const L: usize>(_: &mut Self::Streams<'_, A>, _: S) {}

    #[cfg_attr(not(unoptimized), inline(always))]
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; COEFFICIENTS]; L],
        at: usize,
        count: usize,
    ) {
        let mut v = [streams.x.read(simd, at, count); L];
        for l in 0..L {
            let [center, scale, shift, lift, _, _] = with[l];
            v[l] = streams.x.read(simd, at + l * LANES, count);
            for i in 0..A {
                v[l][i] = v[l][i].sub(center).mul(lift).mul_add(scale, shift);
            }
        }
        if opaque(streams.adds) {
            for l in 0..L {
                let residual = streams.residual.read(simd, at + l * LANES, count);
                for i in 0..A {
                    v[l][i] = v[l][i].add(residual[i]);
                }
            }
        }
        streams.activation.forward::<S, T, A, L>(simd, &mut v);
        for l in 0..L {
            let [_, _, _, _, factor, zero_point] = with[l];
            for i in 0..A {
                let value = v[l][i].mul(factor);
                let to = &mut streams.q[i][at + l * LANES..][..count];
                if let Some(to) = to.first_chunk_mut::<LANES>() {
                    T::store_quantized(simd, value, zero_point, to);
                } else {
                    let mut bytes = [0; LANES];
                    T::store_quantized(simd, value, zero_point, &mut bytes);
                    to.copy_from_slice(&bytes[..count]);
                }
            }
        }
    }

    #[inline(always)]
    fn end<const A: usize>(_: Self::Streams<'_, A>, _: S) {}
}
