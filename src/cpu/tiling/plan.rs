//! The tiling plan: how a view is cut into work, by its shape, the size of its values and how many arrays of them a pass reads and
//! writes (`pass_arrays.rs`), never by how many threads there are.

use crate::cpu::simd::aligned::CACHE_LINE;
use crate::cpu::tiling::span::STREAMS;
use crate::cpu::tiling::tile::Tiling;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::{LINE_VALUES, MatrixView};

/// Below this, one tile: there is nothing to share out.
const SINGLE_TILE_BYTES: usize = 128 << 10;
/// What a tile of whole channels may take of a core's second-level cache.
const CACHED_BYTES: usize = 512 << 10;
/// Values a tile has where nothing needs to stay in cache: long spans, where that leaves enough tiles.
const TILE_VALUES: std::ops::RangeInclusive<usize> = 32 << 10..=128 << 10;
/// Values of a tile that has some of its channels' values only.
const CUT_CHANNEL_VALUES: usize = 64 << 10;
/// The span of memory that a tile takes from each row, where channels are many and small.
const MAX_SPAN_VALUES: usize = 4 << 10;
/// The span that it takes at least, even where all rows of that do not fit the cache.
const MIN_SPAN_VALUES: usize = 1 << 10;
/// The shortest span worth going to the next row for.
const MIN_COLUMNS: usize = 256;
/// Enough tiles of whole channels to keep the threads of a large machine busy.
const MIN_TILES: usize = 16;
/// Enough tiles where they are easily had.
const ENOUGH_TILES: usize = 64;

impl MatrixView {
    /// Cuts so that a tile has all rows of its channels: statistics and what follows from them stay in cache.
    fn by_channel(&self, planes: usize) -> Tiling {
        Tiling {
            view: *self,
            tile_rows: self.rows.max(1),
            tile_planes: planes.clamp(1, self.planes),
            piece: self.width,
            order: Traversal::Ascending,
        }
    }

    /// Cuts for work on each value alone: several rows, so that there are spans for several streams, and so that
    /// a column's coefficients are made once and found in cache.
    pub(crate) fn by_rows(&self) -> Tiling {
        let (least, most) = TILE_VALUES.into_inner();
        self.in_tiles_of((self.len / ENOUGH_TILES).clamp(least, most))
    }

    /// Tiles of about so many values, of whole rows where rows are not larger than that.
    fn in_tiles_of(&self, values: usize) -> Tiling {
        let row = self.row_len();
        let whole_rows = |rows: usize, step: usize| Tiling {
            view: *self,
            tile_rows: rows.max(1).next_multiple_of(STREAMS * step),
            tile_planes: self.planes,
            piece: self.width,
            order: Traversal::Ascending,
        };
        if !self.splits_rows() || (self.width == 1 && row <= values) {
            return whole_rows(values / row, self.rows_of_lines());
        }
        if self.along_rows() {
            let planes = (MAX_SPAN_VALUES / self.width)
                .max(1)
                .next_multiple_of(self.planes_of_lines(LINE_VALUES));
            if planes >= self.planes {
                return whole_rows(values / row, 1);
            }
            return Tiling {
                tile_planes: planes,
                ..whole_rows(2 * values / (planes * self.width), 1)
            };
        }
        Tiling {
            view: *self,
            tile_rows: STREAMS,
            tile_planes: (values / (STREAMS * self.width)).clamp(1, self.planes),
            piece: if self.width <= values {
                self.width
            } else {
                (values / 2).next_multiple_of(64)
            },
            order: Traversal::Ascending,
        }
    }

    /// How to take statistics: of whole channels where that gives enough tiles, of cut ones to be merged otherwise.
    /// `arrays` is how many arrays of values of `value_bytes` the pass reads and writes.
    pub(crate) fn for_statistics(&self, arrays: usize, value_bytes: usize) -> Tiling {
        let bytes = arrays * value_bytes;
        if self.len * bytes <= SINGLE_TILE_BYTES {
            return self.by_channel(self.planes);
        }
        if !self.splits_rows() {
            return self.in_tiles_of(CUT_CHANNEL_VALUES);
        }
        let channel_bytes = (self.rows * self.width * bytes).max(1);
        if self.width > 1 || channel_bytes * MIN_COLUMNS <= CACHED_BYTES {
            let fitting = CACHED_BYTES / channel_bytes;
            let step = if self.along_rows() {
                // At least eight, for whole bytes of a mask.
                self.planes_of_lines((CACHE_LINE / value_bytes).max(8))
            } else {
                1
            };
            let wanted = if self.along_rows() {
                fitting.max(MIN_SPAN_VALUES.div_ceil(self.width))
            } else {
                fitting.min((MAX_SPAN_VALUES / self.width).max(1))
            };
            let wanted = wanted.next_multiple_of(step);
            let tiles = MIN_TILES.min(self.len * bytes / SINGLE_TILE_BYTES);
            let enough = self.planes.div_ceil(tiles).next_multiple_of(step);
            let planes = wanted.clamp(1, enough);
            // Tiles of whole lines can be fewer than were wanted.
            if 2 * self.planes.div_ceil(planes) >= tiles {
                return self.by_channel(planes);
            }
        }
        self.with_cut_channels()
    }

    /// Cuts channels too: a tile has some values of each, and their moments are merged.
    fn with_cut_channels(&self) -> Tiling {
        if self.along_rows() {
            // Enough rows that merging a tile costs little beside reading it.
            let rows = (CUT_CHANNEL_VALUES / self.row_len())
                .max(self.rows.div_ceil(MIN_TILES).clamp(64, 1024));
            return Tiling {
                view: *self,
                tile_rows: rows,
                tile_planes: self.planes,
                piece: self.width,
                order: Traversal::Ascending,
            };
        }
        let piece = if self.width > 2 * CUT_CHANNEL_VALUES {
            CUT_CHANNEL_VALUES
        } else {
            self.width
        };
        Tiling {
            view: *self,
            tile_rows: (CUT_CHANNEL_VALUES / self.width).max(1),
            tile_planes: 1,
            piece,
            order: Traversal::Ascending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    fn covers(tiling: &Tiling) {
        let view = tiling.view;
        let mut seen = vec![0u8; view.len];
        for index in 0..tiling.count() {
            let tile = tiling.tile(index);
            for row in tile.rows.clone() {
                for at in tile.span(&view, row).range() {
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
                let view = MatrixView::of(&shape.unwrap());
                for (arrays, bytes) in [(1, 2), (2, 4), (3, 8)] {
                    covers(&view.for_statistics(arrays, bytes));
                }
                for values in [1000, 65536] {
                    covers(&view.in_tiles_of(values));
                }
            }
        }
    }

    #[test]
    fn whole_channels_are_known_as_such() {
        let first =
            MatrixView::of(&Shape::channels_first(&[32, 64, 56, 56]).unwrap()).for_statistics(2, 4);
        assert!(first.has_whole_channels() && first.count() >= MIN_TILES);
        let last =
            MatrixView::of(&Shape::channels_last(&[32, 56, 56, 64]).unwrap()).for_statistics(2, 4);
        assert!(!last.has_whole_channels() && last.count() >= MIN_TILES);
        let huge = MatrixView::of(&Shape::channels_first(&[1, 2, 3000, 3000]).unwrap())
            .for_statistics(2, 4);
        assert!(!huge.has_whole_channels() && huge.count() >= MIN_TILES);
    }

    /// With cut channels, a pass reads memory twice: numbers of channels that are no power of two must not come to that.
    #[test]
    fn the_channels_of_known_networks_stay_whole() {
        for channels in [
            24, 40, 48, 80, 96, 112, 136, 144, 160, 192, 232, 240, 320, 480, 672, 1152,
        ] {
            for side in [7, 14, 28, 56, 112] {
                // Some have more bytes than a machine of 32 bits can address.
                let Ok(shape) = Shape::channels_first(&[32, channels, side, side]) else {
                    assert!(size_of::<usize>() < 8 && channels * side * side > 1 << 22);
                    continue;
                };
                for (arrays, bytes) in [(2, 2), (3, 2), (2, 4), (3, 4)] {
                    let tiling = MatrixView::of(&shape).for_statistics(arrays, bytes);
                    assert!(tiling.has_whole_channels(), "{shape}: {tiling:?}");
                }
            }
        }
    }
}
