//! dv from dy, with what the forward pass saved or with v recomputed from x.

use crate::backend::activation::Activation;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::epilogue::activation::VectorActivation;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::LANES;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::view::MatrixView;

impl<'a, T: SimdElement> ActivationBackward<&'a [u8], &'a [T]> {
    /// Whether v is recomputed, with the forward pass's own arithmetic: from x − center, scale and shift. Kernels are compiled once
    /// with it and once without, for it takes two more coefficients per channel.
    pub(crate) fn recomputes_v(&self) -> bool {
        VectorActivation::new(self.activation).depends_on_v()
            && matches!(self.saved, SavedActivation::Nothing)
    }

    /// At some spans of the array.
    #[inline(always)]
    pub(crate) fn streams<const A: usize>(
        &self,
        view: &MatrixView,
        spans: [Span; A],
    ) -> BackwardStreams<'a, T, A> {
        let mut streams = BackwardStreams::none();
        streams.activation = VectorActivation::new(self.activation);
        match self.saved {
            SavedActivation::Mask(mask) => {
                (streams.is_saved, streams.is_mask) = (true, true);
                streams.mask = mask;
                for i in 0..A {
                    (streams.first_bit[i], _) = view.mask_bits(spans[i]);
                }
            }
            SavedActivation::PreActivation(v) => {
                streams.is_saved = true;
                streams.pre_activation = RawSlice::new(v).strided(spans);
            }
            // What is found of y has streams of its own.
            SavedActivation::Nothing | SavedActivation::Output(_) => {}
        }
        streams
    }
}

/// What dv needs at some spans.
#[derive(Clone, Copy)]
pub(crate) struct BackwardStreams<'a, T, const A: usize> {
    activation: VectorActivation,
    is_saved: bool,
    is_mask: bool,
    mask: &'a [u8],
    first_bit: [usize; A],
    pre_activation: StridedSpans<'a, T, A>,
}

impl<T: SimdElement, const A: usize> BackwardStreams<'_, T, A> {
    /// Where dv is dy.
    pub(crate) fn none() -> Self {
        Self {
            activation: VectorActivation::new(Activation::None),
            is_saved: false,
            is_mask: false,
            mask: &[],
            first_bit: [0; A],
            pre_activation: StridedSpans::none(),
        }
    }

    /// dv from dy, in place, where something was saved: of the `count` values, at most sixteen, from `at` on in each span, or of
    /// `L` times sixteen.
    #[inline(always)]
    pub(crate) fn apply_saved<S: Simd, const L: usize>(
        &self,
        simd: S,
        at: usize,
        count: usize,
        dy: &mut [[T::Vector<S>; A]; L],
    ) {
        if opaque(self.is_saved) {
            if opaque(self.is_mask) {
                for l in 0..L {
                    for i in 0..A {
                        let bits = sixteen_bits(self.mask, self.first_bit[i] + at + l * LANES);
                        let dv = self
                            .activation
                            .backward_from_mask::<S, T>(simd, dy[l][i], bits);
                        dy[l][i] = dv;
                    }
                }
            } else {
                for l in 0..L {
                    let v = self.pre_activation.read(simd, at + l * LANES, count);
                    self.activation.backward::<S, T, A>(simd, &mut dy[l], v);
                }
            }
        }
    }

    /// dv from dy, in place, and the recomputed v.
    #[inline(always)]
    pub(crate) fn apply_recomputed<S: Simd>(
        &self,
        simd: S,
        dy: &mut [T::Vector<S>; A],
        v: [T::Vector<S>; A],
    ) {
        self.activation.backward::<S, T, A>(simd, dy, v);
    }
}

/// Sixteen bits from `bit` on, clear past the end of the mask.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "sixteen bits are what is wanted"
)]
fn sixteen_bits(mask: &[u8], bit: usize) -> u16 {
    const { assert!(LANES == u16::BITS as usize && LANES + 7 <= u32::BITS as usize) }
    let mask = &mask[bit / 8..];
    // They may lie over three bytes.
    let bytes = if let Some(bytes) = mask.first_chunk::<4>() {
        *bytes
    } else {
        let mut bytes = [0; 4];
        bytes[..mask.len()].copy_from_slice(mask);
        bytes
    };
    (u32::from_le_bytes(bytes) >> (bit % 8)) as u16
}
