//! A view cut into tiles: a [`Tile`] is a rectangle of whole rows and planes (or of one plane's piece, where a plane
//! is large).

use std::ops::Range;

use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;

/// A regular cut of a view: its tiles are disjoint and cover it.
#[derive(Debug, Clone, Copy)]
pub struct Tiling {
    pub(crate) view: MatrixView,
    pub(crate) tile_rows: usize,
    pub(crate) tile_planes: usize,
    /// Values of a plane in a tile; smaller than the width only where a tile has one plane.
    pub(crate) piece: usize,
    /// From which end the tiles are worked on.
    pub(crate) order: Traversal,
}

/// A rectangle of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub rows: Range<usize>,
    pub planes: Range<usize>,
    /// Which part of each plane.
    pub within: Range<usize>,
}

impl Tiling {
    fn counts(&self) -> (usize, usize, usize) {
        (
            self.view.rows.div_ceil(self.tile_rows),
            self.view.planes.div_ceil(self.tile_planes),
            self.view.width.div_ceil(self.piece),
        )
    }

    /// The same tiles, to be worked on from the last to the first.
    pub(crate) fn reversed(self) -> Self {
        Self {
            order: Traversal::Descending,
            ..self
        }
    }

    /// How many tiles there are.
    pub(crate) fn count(&self) -> usize {
        let (rows, planes, pieces) = self.counts();
        rows * planes * pieces
    }

    /// Whether every tile has all the values of its channels.
    pub(crate) fn has_whole_channels(&self) -> bool {
        self.tile_rows >= self.view.rows
            && self.piece == self.view.width
            && (self.tile_planes == self.view.planes || !self.view.joins_rows())
    }

    pub(crate) fn tile(&self, index: usize) -> Tile {
        let (_, planes, pieces) = self.counts();
        let part = |at: usize, step: usize, end: usize| at * step..((at + 1) * step).min(end);
        Tile {
            rows: part(index / (planes * pieces), self.tile_rows, self.view.rows),
            planes: part(index / pieces % planes, self.tile_planes, self.view.planes),
            within: part(index % pieces, self.piece, self.view.width),
        }
    }
}

impl Tile {
    /// The channels of the tile (all of them, where rows are joined).
    pub(crate) fn channels(&self, view: &MatrixView) -> Range<usize> {
        if view.joins_rows() {
            0..view.channels
        } else {
            self.planes.clone()
        }
    }

    /// The columns of the tile, counted from the start of a row.
    pub(crate) fn columns(&self, view: &MatrixView) -> Range<usize> {
        self.planes.start * view.width + self.within.start
            ..(self.planes.end - 1) * view.width + self.within.end
    }

    /// The tile's part of a row.
    pub(crate) fn span(&self, view: &MatrixView, row: usize) -> Span {
        let (start, columns) = (row * view.row_len(), self.columns(view));
        Span {
            row,
            start: (start + columns.start).min(view.len),
            end: (start + columns.end).min(view.len),
        }
    }

    /// How many values it has of each of its channels.
    pub(crate) fn values_per_channel(&self, view: &MatrixView) -> usize {
        let whole = self.columns(view).len();
        // The view's last row may be short.
        let short = whole - self.span(view, self.rows.end - 1).len();
        (self.rows.len() * whole - short) / self.channels(view).len()
    }

    /// Whether another tile has as many rows and planes, as wide.
    pub(crate) fn has_extents_of(&self, other: &Tile) -> bool {
        let extents = |tile: &Tile| (tile.rows.len(), tile.planes.len(), tile.within.len());
        extents(self) == extents(other)
    }

    /// Whether the tile's rows follow one another in memory.
    pub(crate) fn has_whole_rows(&self, view: &MatrixView) -> bool {
        self.columns(view).len() == view.row_len()
    }

    /// Checks that a span is in the tile.
    #[inline(always)]
    pub(crate) fn check_span(&self, view: &MatrixView, span: &Span) {
        assert!(self.rows.contains(&span.row));
        let start = self.span(view, span.row).start;
        let last = if self.has_whole_rows(view) {
            self.rows.end - 1
        } else {
            span.row
        };
        let end = self.span(view, last).end;
        assert!(start <= span.start && span.start <= span.end && span.end <= end);
    }

    /// Some rows of a tile of whole rows.
    pub(crate) fn rows_span(&self, view: &MatrixView, rows: Range<usize>) -> Span {
        debug_assert!(self.has_whole_rows(view));
        Span {
            row: rows.start,
            start: rows.start * view.row_len(),
            end: (rows.end * view.row_len()).min(view.len),
        }
    }

    /// The tile's part of one plane of a row.
    pub(crate) fn plane_span(&self, view: &MatrixView, row: usize, plane: usize) -> Span {
        let start = row * view.row_len() + plane * view.width;
        Span {
            row,
            start: start + self.within.start,
            end: start + self.within.end,
        }
    }
}
