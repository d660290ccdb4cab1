//! Bytes that many tiles write at once, made of an array that they only read: what `tile_memory.rs` is for outputs of the input's type.
#![expect(unsafe_code, reason = "disjoint rectangles of one array")]

use std::marker::PhantomData;

use crate::cpu::parallel::Threads;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::MatrixView;

/// The bytes that the call for one tile may write.
pub(crate) struct QuantizedTile<'a> {
    view: MatrixView,
    pub(crate) tile: &'a Tile,
    output: *mut i8,
    borrowed: PhantomData<&'a mut i8>,
}

impl QuantizedTile<'_> {
    /// The bytes at some spans of the tile, one after the other in memory.
    #[inline(always)]
    pub(crate) fn outputs<const A: usize>(&mut self, spans: [Span; A]) -> [&mut [i8]; A] {
        for i in 0..A {
            self.tile.check_span(&self.view, &spans[i]);
            assert!(i == 0 || spans[i - 1].end <= spans[i].start);
        }
        spans.map(|span| {
            // SAFETY: the span is in the tile, thus in the array, whose length was checked by `for_each_quantized_tile`; the spans are
            // apart, as was checked above, no other call has this tile, and this one is borrowed for as long.
            unsafe { std::slice::from_raw_parts_mut(self.output.add(span.start), span.len()) }
        })
    }
}

/// A pointer to an array that outlives [`for_each_quantized_tile`]; the tiles keep the threads apart.
struct SharedOutput(*mut i8);

// SAFETY: the pointer is used through `QuantizedTile` only, each of which reaches its own tile, and tiles are disjoint.
unsafe impl Sync for SharedOutput {}

impl SharedOutput {
    fn of_tile<'a>(&self, view: MatrixView, tile: &'a Tile) -> QuantizedTile<'a> {
        QuantizedTile {
            view,
            tile,
            output: self.0,
            borrowed: PhantomData,
        }
    }
}

/// Calls `work` once for every tile, on as many threads as so many bytes that are read are worth.
pub(crate) fn for_each_quantized_tile(
    threads: &Threads,
    tiling: &Tiling,
    bytes: usize,
    output: &mut [i8],
    work: impl Fn(QuantizedTile<'_>) + Sync,
) {
    assert!(output.len() >= tiling.view.len);
    let shared = &SharedOutput(output.as_mut_ptr());
    threads.map(
        tiling.count(),
        bytes,
        tiling.order,
        |index, _, (): &mut ()| {
            let tile = tiling.tile(index);
            work(shared.of_tile(tiling.view, &tile));
        },
    );
}
