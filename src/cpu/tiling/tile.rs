//! A cut of a matrix, and its pieces: a [`Tile`] is a rectangle of whole rows and units (or of one unit's piece, where a unit
//! is large).

use std::ops::Range;

use crate::cpu::parallel::Order;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::view::Matrix;

/// A regular cut of a matrix: its tiles are disjoint and cover it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    pub matrix: Matrix,
    pub(crate) tile_rows: usize,
    pub(crate) tile_units: usize,
    /// Values of a unit in a tile; smaller than the width only where a tile has one unit.
    pub(crate) piece: usize,
    /// Which tiles come first.
    pub(crate) order: Order,
}

/// A rectangle of a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub rows: Range<usize>,
    pub units: Range<usize>,
    /// Which part of each unit.
    pub within: Range<usize>,
}

impl Tiling {
    fn counts(&self) -> (usize, usize, usize) {
        (
            self.matrix.rows.div_ceil(self.tile_rows),
            self.matrix.units.div_ceil(self.tile_units),
            self.matrix.width.div_ceil(self.piece),
        )
    }

    /// The same tiles, to be worked on from the last to the first.
    pub(crate) fn last_first(self) -> Self {
        Self {
            order: Order::LastFirst,
            ..self
        }
    }

    /// How many tiles there are.
    pub(crate) fn count(&self) -> usize {
        let (rows, units, pieces) = self.counts();
        rows * units * pieces
    }

    /// Whether every tile has all the values of its channels.
    pub(crate) fn has_whole_channels(&self) -> bool {
        self.tile_rows >= self.matrix.rows
            && self.piece == self.matrix.width
            && (self.tile_units == self.matrix.units || !self.matrix.joins_rows())
    }

    pub(crate) fn tile(&self, index: usize) -> Tile {
        let (_, units, pieces) = self.counts();
        let part = |at: usize, step: usize, end: usize| at * step..((at + 1) * step).min(end);
        Tile {
            rows: part(index / (units * pieces), self.tile_rows, self.matrix.rows),
            units: part(index / pieces % units, self.tile_units, self.matrix.units),
            within: part(index % pieces, self.piece, self.matrix.width),
        }
    }
}

impl Tile {
    /// The channels of the tile (all of them, where rows are joined).
    pub(crate) fn channels(&self, matrix: &Matrix) -> Range<usize> {
        if matrix.joins_rows() {
            0..matrix.channels
        } else {
            self.units.clone()
        }
    }

    /// The columns of the tile, counted from the start of a row.
    pub(crate) fn columns(&self, matrix: &Matrix) -> Range<usize> {
        self.units.start * matrix.width + self.within.start
            ..(self.units.end - 1) * matrix.width + self.within.end
    }

    /// The tile's part of a row.
    pub(crate) fn run(&self, matrix: &Matrix, row: usize) -> Span {
        let (start, columns) = (row * matrix.row_len(), self.columns(matrix));
        Span {
            row,
            start: (start + columns.start).min(matrix.len),
            end: (start + columns.end).min(matrix.len),
        }
    }

    /// Whether another tile has as many rows and units, as wide.
    pub(crate) fn has_form_of(&self, other: &Tile) -> bool {
        let form = |tile: &Tile| (tile.rows.len(), tile.units.len(), tile.within.len());
        form(self) == form(other)
    }

    /// Whether the tile's rows follow one another in memory.
    pub(crate) fn has_whole_rows(&self, matrix: &Matrix) -> bool {
        self.columns(matrix).len() == matrix.row_len()
    }

    /// Some rows of a tile of whole rows.
    pub(crate) fn rows_run(&self, matrix: &Matrix, rows: Range<usize>) -> Span {
        debug_assert!(self.has_whole_rows(matrix));
        Span {
            row: rows.start,
            start: rows.start * matrix.row_len(),
            end: (rows.end * matrix.row_len()).min(matrix.len),
        }
    }

    /// The tile's part of one unit of a row.
    pub(crate) fn unit_run(&self, matrix: &Matrix, row: usize, unit: usize) -> Span {
        let start = row * matrix.row_len() + unit * matrix.width;
        Span {
            row,
            start: start + self.within.start,
            end: start + self.within.end,
        }
    }
}
