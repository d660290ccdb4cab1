//! Memory: what is owned and retained, and pointers into it that were checked once, for a tile that several threads work on.

pub(crate) mod block;
pub(crate) mod buffer;
pub(crate) mod forked_lock;
pub(crate) mod heap;
pub(crate) mod huge_pages;
pub(crate) mod pool;
pub(crate) mod quantized_tile;
pub(crate) mod scratch;
pub(crate) mod slice;
pub(crate) mod strided;
pub(crate) mod tile_memory;
