//! How an array is cut into work: by its shape alone, never by how many threads there are.
//!
//! Memory is a matrix. Channels first, a row is one sample: C units of S values each. Channels last, a row is one
//! position: C units of 1 value; where C is small, several positions make a row, so that a row fills vectors.
//! A [`Tile`] is a rectangle of whole rows and units (or of one unit's piece, where a unit is large).

use std::ops::Range;

use crate::{Layout, Shape};

/// Up to this many neighbouring values of one channel, what is done to each value is done along whole rows, with
/// coefficients for every column; above, unit by unit. (Units of 784 values begin and end off the cache lines too often.)
const COLUMNS_UP_TO: usize = 1024;
/// That takes so many rows: the coefficients of a column cost about as much as three or six values.
const MANY_ROWS: usize = 16;
/// Units so narrow are not worth beginning anew for.
const ALWAYS_COLUMNS_UP_TO: usize = 128;
/// From this many on, the values of a unit are added up as one: a vector holds one channel's.
const UNITS_FROM: usize = 64;
/// Channels-last rows shorter than this are joined.
const SHORT_ROW: usize = 64;

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

    /// Whether what is done to each value is done along rows, with coefficients for every column.
    pub(crate) fn by_columns(&self) -> bool {
        self.width <= ALWAYS_COLUMNS_UP_TO
            || (self.width <= COLUMNS_UP_TO && self.rows >= MANY_ROWS)
    }

    /// Whether sums are taken column by column: units are too narrow to fill vectors.
    pub(crate) fn sums_columns(&self) -> bool {
        self.width < UNITS_FROM
    }

    /// Whether neighbouring rows are one run of memory, of masks too.
    pub(crate) fn rows_are_one_run(&self) -> bool {
        self.by_columns() && (self.width == 1 || self.row_len().is_multiple_of(8))
    }

    /// Values with one run of mask bytes: all of them, a row, or a unit.
    pub(crate) fn mask_segment(&self) -> usize {
        if self.rows_are_one_run() {
            self.len.max(1)
        } else if self.by_columns() {
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
    fn units_of_lines(&self, line_values: usize) -> usize {
        line_values / gcd(line_values, self.width)
    }

    /// Whether a tile may have some columns of a row only: not where rows share bytes of a mask, or channels.
    fn splits_rows(&self) -> bool {
        !self.joins_rows() && (self.width > 1 || self.row_len().is_multiple_of(8))
    }

    /// Whether units of all channels are in every row (otherwise each unit of a row is a channel of its own).
    fn joins_rows(&self) -> bool {
        self.units > self.channels
    }

    /// Cuts so that a tile has all rows of its channels: statistics and what follows from them stay in cache.
    fn by_channel(&self, group: usize) -> Tiling {
        Tiling {
            matrix: *self,
            tile_rows: self.rows.max(1),
            tile_units: group.clamp(1, self.units),
            piece: self.width,
        }
    }

    /// Cuts into tiles of about `values` values, for work on each value alone: several rows, so that there are runs of
    /// memory to work on side by side, and so that a column's coefficients are made once and found in cache.
    pub(crate) fn by_rows(&self, values: usize) -> Tiling {
        let row = self.row_len();
        let whole_rows = |rows: usize, step: usize| Tiling {
            matrix: *self,
            tile_rows: rows.max(1).next_multiple_of(ABREAST * step),
            tile_units: self.units,
            piece: self.width,
        };
        if !self.splits_rows() || (self.width == 1 && row <= values) {
            return whole_rows(values / row, self.rows_of_lines());
        }
        if self.by_columns() {
            let units = (MAX_RUN_VALUES / self.width)
                .max(1)
                .next_multiple_of(self.units_of_lines(LINE_VALUES));
            if units >= self.units {
                return whole_rows(values / row, 1);
            }
            return Tiling {
                tile_units: units,
                ..whole_rows(2 * values / (units * self.width), 1)
            };
        }
        Tiling {
            matrix: *self,
            tile_rows: ABREAST,
            tile_units: (values / (ABREAST * self.width)).clamp(1, self.units),
            piece: if self.width <= values {
                self.width
            } else {
                (values / 2).next_multiple_of(64)
            },
        }
    }

    /// How to take statistics: of whole channels where that gives enough tiles, in parts to be merged otherwise.
    /// `arrays` is how many arrays of values of `value_bytes` the pass touches.
    pub(crate) fn for_statistics(&self, arrays: usize, value_bytes: usize) -> Tiling {
        let bytes = arrays * value_bytes;
        if self.len * bytes <= SINGLE_TILE_BYTES {
            return self.by_channel(self.units);
        }
        if !self.splits_rows() {
            return self.by_rows(PART_VALUES);
        }
        let channel_bytes = (self.rows * self.width * bytes).max(1);
        if self.width > 1 || channel_bytes * MIN_COLUMNS <= CACHED_BYTES {
            let fitting = CACHED_BYTES / channel_bytes;
            let step = if self.by_columns() {
                // At least eight, for whole bytes of a mask.
                self.units_of_lines((CACHE_LINE / value_bytes).max(8))
            } else {
                1
            };
            let wanted = if self.by_columns() {
                // At least some run of memory at a time, even where that does not fit the cache.
                fitting.max(MIN_COLUMNS / self.width)
            } else {
                fitting.min((MAX_RUN_VALUES / self.width).max(1))
            };
            let wanted = wanted.next_multiple_of(step);
            let enough = self.units.div_ceil(MIN_TILES).next_multiple_of(step);
            let group = wanted.clamp(1, enough.max(1));
            if self.units.div_ceil(group) >= MIN_TILES.min(self.len * bytes / SINGLE_TILE_BYTES) {
                return self.by_channel(group);
            }
        }
        self.in_parts()
    }

    /// Parts of channels, whose moments are merged.
    fn in_parts(&self) -> Tiling {
        if self.by_columns() {
            // Enough rows that merging a part costs little beside reading it.
            let rows =
                (PART_VALUES / self.row_len()).max(self.rows.div_ceil(MIN_TILES).clamp(64, 1024));
            return Tiling {
                matrix: *self,
                tile_rows: rows,
                tile_units: self.units,
                piece: self.width,
            };
        }
        let piece = if self.width > 2 * PART_VALUES {
            PART_VALUES
        } else {
            self.width
        };
        Tiling {
            matrix: *self,
            tile_rows: (PART_VALUES / self.width).max(1),
            tile_units: 1,
            piece,
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Runs of memory worked on side by side (see [`super::lockstep`]).
pub(crate) const ABREAST: usize = 4;
/// What memory moves by, in bytes.
pub(crate) const CACHE_LINE: usize = 64;
/// Values of the narrowest type in it.
const LINE_VALUES: usize = CACHE_LINE / 2;
/// Below this, one tile: there is nothing to share out.
const SINGLE_TILE_BYTES: usize = 128 << 10;
/// What a tile of whole channels may take of a core's second-level cache.
const CACHED_BYTES: usize = 512 << 10;
/// Values of a part.
const PART_VALUES: usize = 64 << 10;
/// The run of memory that a tile takes from each row, where channels are many and small.
const MAX_RUN_VALUES: usize = 4 << 10;
/// The shortest run worth going to the next row for.
const MIN_COLUMNS: usize = 256;
/// Enough tiles to keep the threads of a large machine busy.
const MIN_TILES: usize = 16;

/// A regular cut of a matrix: its tiles are disjoint and cover it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    pub matrix: Matrix,
    tile_rows: usize,
    tile_units: usize,
    /// Values of a unit in a tile; smaller than the width only where a tile has one unit.
    piece: usize,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(tiling: &Tiling) {
        let matrix = tiling.matrix;
        let mut seen = vec![0u8; matrix.len];
        for index in 0..tiling.count() {
            let tile = tiling.tile(index);
            for row in tile.rows.clone() {
                for at in tile.run(&matrix, row).range() {
                    seen[at] += 1;
                }
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{tiling:?}");
    }

    #[test]
    fn every_value_is_in_one_tile() {
        let dims: [&[usize]; 12] = [
            &[1, 1],
            &[2, 3],
            &[5, 64],
            &[700, 65],
            &[300, 3, 7, 7],
            &[2, 16, 33, 70],
            &[1, 1, 300, 900],
            &[64, 130, 5],
            &[3, 5, 200_000],
            &[4097, 17],
            &[2, 4000, 49],
            &[40, 100, 8, 8],
        ];
        for dims in dims {
            for shape in [Shape::channels_first(dims), Shape::channels_last(dims)] {
                let matrix = Matrix::of(&shape.unwrap());
                for (arrays, bytes) in [(1, 2), (2, 4), (3, 8)] {
                    covers(&matrix.for_statistics(arrays, bytes));
                }
                for values in [1000, 65536] {
                    covers(&matrix.by_rows(values));
                }
            }
        }
    }

    #[test]
    fn whole_channels_are_known_as_such() {
        let first =
            Matrix::of(&Shape::channels_first(&[32, 64, 56, 56]).unwrap()).for_statistics(2, 4);
        assert!(first.has_whole_channels() && first.count() >= MIN_TILES);
        let last =
            Matrix::of(&Shape::channels_last(&[32, 56, 56, 64]).unwrap()).for_statistics(2, 4);
        assert!(!last.has_whole_channels() && last.count() >= MIN_TILES);
        let huge =
            Matrix::of(&Shape::channels_first(&[1, 2, 3000, 3000]).unwrap()).for_statistics(2, 4);
        assert!(!huge.has_whole_channels() && huge.count() >= MIN_TILES);
    }
}
