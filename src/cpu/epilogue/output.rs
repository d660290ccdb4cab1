//! dv from dy, and v from y, where that was kept in x's place.

use crate::backend::activation::Activation;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::epilogue::activation::VectorActivation;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::strided::StridedSpans;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::Vector;
use crate::cpu::tiling::span::Span;

impl<'a, T: SimdElement> ActivationBackward<&'a [u8], &'a [T]> {
    /// Whether v is found of y, which was kept in x's place. (Of no activation and no residual, y is v.)
    pub(crate) fn finds_v(&self) -> bool {
        match self.saved {
            SavedActivation::Output(residual) => {
                residual.is_some() || VectorActivation::new(self.activation).depends_on_v()
            }
            _ => false,
        }
    }

    /// At some spans of the array.
    #[inline(always)]
    pub(crate) fn output_streams<const A: usize>(
        &self,
        spans: [Span; A],
    ) -> OutputStreams<'a, T, A> {
        let mut streams = OutputStreams::none();
        streams.activation = VectorActivation::new(self.activation);
        streams.finds_v = self.finds_v();
        if let SavedActivation::Output(Some(residual)) = self.saved {
            streams.subtracts = true;
            streams.residual = RawSlice::new(residual).strided(spans);
        }
        streams
    }
}

/// What v needs at some spans.
#[derive(Clone, Copy)]
pub(crate) struct OutputStreams<'a, T, const A: usize> {
    activation: VectorActivation,
    finds_v: bool,
    subtracts: bool,
    residual: StridedSpans<'a, T, A>,
}

impl<T: SimdElement, const A: usize> OutputStreams<'_, T, A> {
    /// Where y was not kept.
    pub(crate) fn none() -> Self {
        Self {
            activation: VectorActivation::new(Activation::None),
            finds_v: false,
            subtracts: false,
            residual: StridedSpans::none(),
        }
    }

    /// Whether y was kept in x's place, and is not v.
    #[inline(always)]
    pub(crate) fn finds_v(&self) -> bool {
        opaque(self.finds_v)
    }

    /// dv from dy, in place, and from y the v that x̂ is found of, that before the residual: of the `count` values, at most sixteen, from
    /// `at` on in each span.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(
        &self,
        simd: S,
        at: usize,
        count: usize,
        dy: &mut [T::Vector<S>; A],
        y: &mut [T::Vector<S>; A],
    ) {
        self.activation.inverse::<S, T, A>(simd, dy, y);
        if opaque(self.subtracts) {
            let residual = self.residual.read(simd, at, count);
            for i in 0..A {
                y[i] = y[i].sub(residual[i]);
            }
        }
    }
}
