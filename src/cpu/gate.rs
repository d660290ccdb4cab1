//! Which gradients pass ReLU on the way back.

use super::matrix::Matrix;
use super::simd::{Simd, Vector};
use super::tiles::Span;
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
    fn pass<S: Simd>(
        self,
        simd: S,
        run: Self::Run,
        at: usize,
        dy: T::Vector<S>,
        centred: T::Vector<S>,
        affine: [T::Vector<S>; 2],
    ) -> T::Vector<S>;
}

/// Lends runs.
#[inline(always)]
pub(super) fn gate_runs<T: Element, G: Passes<T>, const A: usize>(
    gate: G,
    spans: [Span; A],
) -> [G::Run; A] {
    let mut runs = [gate.run(spans[0]); A];
    for i in 1..A {
        runs[i] = gate.run(spans[i]);
    }
    runs
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
    fn pass<S: Simd>(
        self,
        _: S,
        (): (),
        _: usize,
        dy: T::Vector<S>,
        _: T::Vector<S>,
        _: [T::Vector<S>; 2],
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
    fn pass<S: Simd>(
        self,
        simd: S,
        (): (),
        _: usize,
        dy: T::Vector<S>,
        centred: T::Vector<S>,
        [scale, shift]: [T::Vector<S>; 2],
    ) -> T::Vector<S> {
        let v = centred.mul_add(scale, shift);
        dy.keep(v.above_bits(T::splat(simd, T::ROUNDS_TO_ZERO)))
    }
}

/// A run of mask bits.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    mask: &'a [u8],
    first: usize,
}

impl Bits<'_> {
    /// Sixteen bits from `at` on, clear past the end of the mask.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sixteen bits are what is wanted"
    )]
    fn sixteen(self, at: usize) -> u16 {
        let bit = self.first + at;
        let mask = &self.mask[bit / 8..];
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
}

/// One bit a value, from the forward pass.
#[derive(Clone, Copy)]
pub(crate) struct Marked<'a> {
    pub matrix: &'a Matrix,
    pub mask: &'a [u8],
}

impl<'a, T: Element> Passes<T> for Marked<'a> {
    const NEEDS_X: bool = false;
    type Run = Bits<'a>;
    #[inline(always)]
    fn run(self, span: Span) -> Bits<'a> {
        let (first, _) = self.matrix.mask_bits(span);
        Bits {
            mask: self.mask,
            first,
        }
    }
    #[inline(always)]
    fn pass<S: Simd>(
        self,
        _: S,
        bits: Bits<'a>,
        at: usize,
        dy: T::Vector<S>,
        _: T::Vector<S>,
        _: [T::Vector<S>; 2],
    ) -> T::Vector<S> {
        dy.keep(bits.sixteen(at))
    }
}
