//! Where the bits of a mask are: one a value, in the order of the values, each segment beginning a byte, so that tiles share none.

use std::ops::Range;

use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::view::MatrixView;

impl MatrixView {
    /// Values with one span of mask bytes: all of them, a row, or a plane.
    pub(crate) fn mask_segment(&self) -> usize {
        if self.rows_are_contiguous() {
            self.len.max(1)
        } else if self.along_rows() {
            self.row_len()
        } else {
            self.width
        }
    }

    /// Bytes of a mask with one bit a value, each segment beginning a byte.
    pub(crate) fn mask_bytes(&self) -> usize {
        self.len.div_ceil(self.mask_segment()) * self.mask_segment().div_ceil(8)
    }

    /// The mask bytes of a span inside one segment.
    #[inline(always)]
    pub(crate) fn mask_range(&self, span: Span) -> Range<usize> {
        let (start, end) = self.mask_bits(span);
        assert!(start.is_multiple_of(8));
        assert!(
            end.is_multiple_of(8)
                || span.end.is_multiple_of(self.mask_segment())
                || span.end == self.len
        );
        start / 8..end.div_ceil(8)
    }

    /// The first bit of a span inside one segment, and the one after its last.
    #[inline(always)]
    pub(crate) fn mask_bits(&self, span: Span) -> (usize, usize) {
        let segment = self.mask_segment();
        let (index, start) = if segment >= self.len {
            (0, span.start)
        } else {
            (span.start / segment, span.start % segment)
        };
        assert!(start + span.len() <= segment);
        let first = 8 * index * segment.div_ceil(8) + start;
        (first, first + span.len())
    }
}
