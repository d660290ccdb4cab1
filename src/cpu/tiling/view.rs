//! Memory as a two-dimensional view of rows and planes: channels first, a row is one sample, C planes of S values each; channels
//! last, a row is one position, C planes of 1 value, or where C is small several positions, so that a row fills vectors.

use crate::cpu::simd::aligned::{CACHE_LINE, NARROWEST_VALUE};
use crate::cpu::tiling::span::STREAMS;
use crate::shape::{Layout, Shape};

/// Planes up to so wide are gone through along whole rows, if there are enough of these for several streams; wider ones one
/// by one. (Planes of 784 values begin and end off the cache lines too often.)
const ALONG_ROWS_UP_TO: usize = 1024;
/// Planes so narrow are not worth beginning anew for.
const ALWAYS_ALONG_ROWS_UP_TO: usize = 128;
/// Channels-last rows shorter than this are joined.
const SHORT_ROW: usize = 64;

/// Values of the narrowest type in a cache line.
pub(crate) const LINE_VALUES: usize = CACHE_LINE / NARROWEST_VALUE;

/// Memory as rows of planes, each `width` neighbouring values of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixView {
    /// Values in all; the last row may be short.
    pub(crate) len: usize,
    /// Rows, the short one included.
    pub(crate) rows: usize,
    /// Planes in a row.
    pub(crate) planes: usize,
    /// Neighbouring values of one channel: the width of a plane.
    pub(crate) width: usize,
    /// C. Plane p belongs to channel p mod C.
    pub(crate) channels: usize,
}

impl MatrixView {
    pub(crate) fn of(shape: &Shape) -> Self {
        let (len, channels, spatial) = (shape.len(), shape.channels(), shape.spatial());
        if shape.layout() == Layout::ChannelsFirst && spatial > 1 {
            return Self {
                len,
                rows: shape.batch(),
                planes: channels,
                width: spatial,
                channels,
            };
        }
        let joined = SHORT_ROW.div_ceil(channels);
        let planes = channels * joined;
        Self {
            len,
            rows: len.div_ceil(planes),
            planes,
            width: 1,
            channels,
        }
    }

    /// Values in a whole row.
    pub(crate) fn row_len(&self) -> usize {
        self.planes * self.width
    }

    /// M, as the sums are divided by it.
    pub(crate) fn values_per_channel(&self) -> f64 {
        (self.len / self.channels) as f64
    }

    /// Whether what is done to each value is done along rows, plane after plane of them.
    pub(crate) fn along_rows(&self) -> bool {
        self.width <= ALWAYS_ALONG_ROWS_UP_TO
            || (self.width <= ALONG_ROWS_UP_TO && self.rows >= STREAMS)
    }

    /// Whether neighbouring values are of one channel, so that sums are a plane's; otherwise they are a column's.
    pub(crate) fn neighbours_share_a_channel(&self) -> bool {
        self.width > 1
    }

    /// Whether neighbouring rows follow one another without a gap in memory, and in masks too.
    pub(crate) fn rows_are_contiguous(&self) -> bool {
        self.along_rows() && (self.width == 1 || self.row_len().is_multiple_of(8))
    }

    /// So many rows fill whole cache lines (of halves) and mask bytes.
    pub(crate) fn rows_of_lines(&self) -> usize {
        LINE_VALUES / gcd(LINE_VALUES, self.row_len())
    }

    /// So many planes fill whole cache lines.
    pub(crate) fn planes_of_lines(&self, line_values: usize) -> usize {
        line_values / gcd(line_values, self.width)
    }

    /// Whether a tile may have some columns of a row only: not where rows share bytes of a mask, or channels.
    pub(crate) fn splits_rows(&self) -> bool {
        !self.joins_rows() && (self.width > 1 || self.row_len().is_multiple_of(8))
    }

    /// Whether planes of all channels are in every row (otherwise each plane of a row is a channel of its own).
    pub(crate) fn joins_rows(&self) -> bool {
        self.planes > self.channels
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
