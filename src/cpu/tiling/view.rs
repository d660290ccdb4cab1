//! Memory as a matrix: channels first, a row is one sample, C units of S values each; channels last, a row is one position,
//! C units of 1 value, or where C is small several positions, so that a row fills vectors.

use std::ops::Range;

use crate::cpu::tiling::span::{ABREAST, Span};
use crate::shape::{Layout, Shape};

/// Units up to so wide are gone through along whole rows, if there are enough of these to work on side by side; wider ones one
/// by one. (Units of 784 values begin and end off the cache lines too often.)
const ALONG_ROWS_UP_TO: usize = 1024;
/// Units so narrow are not worth beginning anew for.
const ALWAYS_ALONG_ROWS_UP_TO: usize = 128;
/// Channels-last rows shorter than this are joined.
const SHORT_ROW: usize = 64;

/// What memory moves by, in bytes.
pub(crate) const CACHE_LINE: usize = 64;
/// Values of the narrowest type in it.
pub(crate) const LINE_VALUES: usize = CACHE_LINE / 2;

/// Memory as a matrix of rows × units × width values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Values in all; the last row may be short.
    pub len: usize,
    /// Rows, the short one included.
    pub rows: usize,
    /// Units in a row.
    pub units: usize,
    /// Neighbouring values of one channel: the width of a unit.
    pub width: usize,
    /// C. Unit u belongs to channel u mod C.
    pub channels: usize,
}

impl Matrix {
    pub(crate) fn of(shape: &Shape) -> Self {
        let (len, channels, spatial) = (shape.len(), shape.channels(), shape.spatial());
        if shape.layout() == Layout::ChannelsFirst && spatial > 1 {
            return Self {
                len,
                rows: shape.batch(),
                units: channels,
                width: spatial,
                channels,
            };
        }
        let joined = SHORT_ROW.div_ceil(channels);
        let units = channels * joined;
        Self {
            len,
            rows: len.div_ceil(units),
            units,
            width: 1,
            channels,
        }
    }

    /// Values in a whole row.
    pub(crate) fn row_len(&self) -> usize {
        self.units * self.width
    }

    /// M, as the sums are divided by it.
    pub(crate) fn values_per_channel(&self) -> f64 {
        (self.len / self.channels) as f64
    }

    /// Whether what is done to each value is done along rows, unit after unit of them.
    pub(crate) fn along_rows(&self) -> bool {
        self.width <= ALWAYS_ALONG_ROWS_UP_TO
            || (self.width <= ALONG_ROWS_UP_TO && self.rows >= ABREAST)
    }

    /// Whether neighbouring values are of one channel, so that sums are a unit's; otherwise they are a column's.
    pub(crate) fn has_units(&self) -> bool {
        self.width > 1
    }

    /// Whether neighbouring rows are one run of memory, of masks too.
    pub(crate) fn rows_are_one_run(&self) -> bool {
        self.along_rows() && (self.width == 1 || self.row_len().is_multiple_of(8))
    }

    /// Values with one run of mask bytes: all of them, a row, or a unit.
    pub(crate) fn mask_segment(&self) -> usize {
        if self.rows_are_one_run() {
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

    /// So many rows fill whole cache lines (of halves) and mask bytes.
    pub(crate) fn rows_of_lines(&self) -> usize {
        LINE_VALUES / gcd(LINE_VALUES, self.row_len())
    }

    /// So many units fill whole cache lines.
    pub(crate) fn units_of_lines(&self, line_values: usize) -> usize {
        line_values / gcd(line_values, self.width)
    }

    /// Whether a tile may have some columns of a row only: not where rows share bytes of a mask, or channels.
    pub(crate) fn splits_rows(&self) -> bool {
        !self.joins_rows() && (self.width > 1 || self.row_len().is_multiple_of(8))
    }

    /// Whether units of all channels are in every row (otherwise each unit of a row is a channel of its own).
    pub(crate) fn joins_rows(&self) -> bool {
        self.units > self.channels
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

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
