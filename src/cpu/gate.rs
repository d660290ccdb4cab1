//! Which gradients pass ReLU on the way back.

use super::coefficients::Coefficient;
use super::memory::mask_range;
use super::simd::{Simd, Vector};
use super::tiles::{Matrix, Span};
use crate::Element;

/// Which gate stands before the gradient of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate<'a> {
    Open,
    Recomputed,
    Marked(&'a [u8]),
}

/// A gate as a loop's constant.
pub(crate) trait Passes<T: Element>: Copy {
    /// Whether v is recomputed from x.
    const NEEDS_X: bool;
    /// What is needed of one run.
    type Run: Copy;
    /// Lends the run at a span of the array.
    fn run(self, span: Span) -> Self::Run;
    /// dv from dy, of the sixteen values from `at` on; `centred` is x − mean, `affine` scale and shift.
    fn pass<S: Simd, K: Coefficient<S, T>>(
        self,
        simd: S,
        run: Self::Run,
        at: usize,
        dy: T::Vector<S>,
        centred: T::Vector<S>,
        affine: [K; 2],
    ) -> T::Vector<S>;
}

/// Everything passes.
#[derive(Clone, Copy)]
pub(crate) struct Open;

impl<T: Element> Passes<T> for Open {
    const NEEDS_X: bool = false;
    type Run = ();
    #[inline(always)]
    fn run(self, _: Span) {}
    #[inline(always)]
    fn pass<S: Simd, K: Coefficient<S, T>>(
        self,
        _: S,
        (): (),
        _: usize,
        dy: T::Vector<S>,
        _: T::Vector<S>,
        _: [K; 2],
    ) -> T::Vector<S> {
        dy
    }
}

/// v is recomputed with the forward pass's own arithmetic, and compared with the largest value that is stored as zero.
#[derive(Clone, Copy)]
pub(crate) struct Recomputed;

impl<T: Element> Passes<T> for Recomputed {
    const NEEDS_X: bool = true;
    type Run = ();
    #[inline(always)]
    fn run(self, _: Span) {}
    #[inline(always)]
    fn pass<S: Simd, K: Coefficient<S, T>>(
        self,
        simd: S,
        (): (),
        at: usize,
        dy: T::Vector<S>,
        centred: T::Vector<S>,
        [scale, shift]: [K; 2],
    ) -> T::Vector<S> {
        let v = centred.mul_add(scale.load(simd, at), shift.load(simd, at));
        dy.keep(v.above_bits(T::splat(simd, T::ROUNDS_TO_ZERO)))
    }
}

/// One bit a value, from the forward pass.
#[derive(Clone, Copy)]
pub(crate) struct Marked<'a> {
    pub matrix: &'a Matrix,
    pub mask: &'a [u8],
}

impl<'a, T: Element> Passes<T> for Marked<'a> {
    const NEEDS_X: bool = false;
    type Run = &'a [u8];
    #[inline(always)]
    fn run(self, span: Span) -> &'a [u8] {
        &self.mask[mask_range(self.matrix, span)]
    }
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sixteen bits are what is wanted"
    )]
    fn pass<S: Simd, K: Coefficient<S, T>>(
        self,
        _: S,
        mask: &'a [u8],
        at: usize,
        dy: T::Vector<S>,
        _: T::Vector<S>,
        _: [K; 2],
    ) -> T::Vector<S> {
        // Sixteen bits may lie over three bytes.
        let mut bytes = [0; 4];
        for (byte, marked) in bytes[..3].iter_mut().zip(&mask[at / 8..]) {
            *byte = *marked;
        }
        dy.keep((u32::from_le_bytes(bytes) >> (at % 8)) as u16)
    }
}
