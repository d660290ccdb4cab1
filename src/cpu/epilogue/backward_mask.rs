//! Which gradients pass ReLU on the way back.

use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::{LANES, Simd, Vector};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::view::MatrixView;
use crate::element::Element;

/// Which gate stands before the gradient of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate<'a> {
    Open,
    /// v is recomputed from x.
    Recomputed,
    /// One bit a value, from the forward pass.
    Marked(&'a [u8]),
}

impl<'a> Gate<'a> {
    /// The gate at some spans of the array.
    #[inline(always)]
    pub(crate) fn streams<const A: usize>(
        self,
        view: &MatrixView,
        spans: [Span; A],
    ) -> Marks<'a, A> {
        let mut marks = Marks::none();
        if let Gate::Marked(mask) = self {
            marks.there = true;
            marks.mask = mask;
            for i in 0..A {
                (marks.first[i], _) = view.mask_bits(spans[i]);
            }
        }
        marks
    }
}

/// v is recomputed with the forward pass's own arithmetic (from x − mean, scale and shift), and compared with the largest value
/// that is stored as zero.
#[inline(always)]
pub(crate) fn keep_above_zero<S: Simd, T: Element>(
    simd: S,
    dy: T::Vector<S>,
    centred: T::Vector<S>,
    [scale, shift]: [T::Vector<S>; 2],
) -> T::Vector<S> {
    let v = centred.mul_add(scale, shift);
    dy.mask_and(v.compare_mask(T::splat(simd, T::ROUNDS_TO_ZERO)))
}

/// The bits of some runs, if there is a mask.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'a, const A: usize> {
    there: bool,
    mask: &'a [u8],
    first: [usize; A],
}

impl<const A: usize> Marks<'_, A> {
    pub(crate) fn none() -> Self {
        Self {
            there: false,
            mask: &[],
            first: [0; A],
        }
    }

    /// dv from dy, of the `L` times sixteen values from `at` on.
    #[inline(always)]
    pub(crate) fn keep_marked<S: Simd, T: Element, const L: usize>(
        &self,
        at: usize,
        dy: &mut [[T::Vector<S>; A]; L],
    ) {
        if opaque(self.there) {
            for l in 0..L {
                for i in 0..A {
                    dy[l][i] =
                        dy[l][i].mask_and(sixteen(self.mask, self.first[i] + at + l * LANES));
                }
            }
        }
    }
}

/// Sixteen bits from `bit` on, clear past the end of the mask.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "sixteen bits are what is wanted"
)]
fn sixteen(mask: &[u8], bit: usize) -> u16 {
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
