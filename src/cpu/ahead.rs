//! The tile that a thread works on next, fetched while this one is written: otherwise memory would not be read then, and
//! not be written while statistics are taken.

use super::matrix::Matrix;
use super::tiles::Tile;

/// The largest tile that is fetched, of all arrays that are read: it and the one before must find room in a second-level
/// cache.
const FETCHED_BYTES: usize = 1 << 20;

/// How far ahead of a place in a tile the same place of the next one is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    /// Whether that is to be fetched.
    pub fetches: bool,
    /// In values.
    pub distance: usize,
}

impl Ahead {
    /// Where nothing is to be fetched.
    pub(crate) fn nothing() -> Self {
        Self {
            fetches: false,
            distance: 0,
        }
    }

    /// From a tile to the next, whose values are of so many bytes in all arrays.
    pub(crate) fn of(matrix: &Matrix, tile: &Tile, next: Option<&Tile>, bytes: usize) -> Self {
        let Some(next) = next else {
            return Self::nothing();
        };
        let place = |tile: &Tile| tile.run(matrix, tile.rows.start);
        let (here, there) = (place(tile), place(next));
        Self {
            fetches: next.rows.len() * there.len() * bytes <= FETCHED_BYTES,
            // Tiles are taken in any order: it may be behind.
            distance: there.start.wrapping_sub(here.start),
        }
    }
}
