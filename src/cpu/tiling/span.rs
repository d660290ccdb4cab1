//! A span of neighbouring values of the array.

use std::ops::Range;

/// Streams: how many spans are worked on side by side.
pub(crate) const STREAMS: usize = 4;

/// Values that follow one another in memory, from a place in a row on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub row: usize,
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Where in memory.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}
