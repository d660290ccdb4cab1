//! Memory that several threads work on: pointers that were checked once, for a tile.

pub(crate) mod heap;
pub(crate) mod scratch;
pub(crate) mod slice;
pub(crate) mod strided;
pub(crate) mod tile_memory;
