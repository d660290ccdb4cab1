//! Memory lent to many tiles at once: with `run.rs` and `runs.rs` the place where the CPU backend goes beneath slices.
//!
//! Two things need it. A pass may write over its input (y over x, dx over dy), which a pair of slices cannot say; and
//! tiles of a matrix are not contiguous, so `chunks_mut` cannot hand them out. Both come down to this: in one
//! [`scatter`], each tile is given to one call, and [`TileMemory`] lets that call reach its own rectangle only.
#![expect(
    unsafe_code,
    reason = "disjoint rectangles of one array, and writing over the input"
)]

use std::marker::PhantomData;

use crate::backend::operands::InOut;
use crate::cpu::memory::slice::{Rows, Run};
use crate::cpu::memory::strided::{Runs, RunsMut, evenly_spaced};
use crate::cpu::parallel::Threads;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::Matrix;

/// An output of this size is written past the caches: it would only drive out what is still needed, and each line of
/// it would first be read. (On a two-core Xeon, copying 2 × 6 MB and more: 34 GB/s instead of 23.)
const STREAMED_BYTES: usize = 2 << 20;

impl<T> InOut<&[T], &mut [T]> {
    /// The values to be read.
    pub(crate) fn input(&self) -> &[T] {
        match self {
            InOut::Separate(input, _) => input,
            InOut::InPlace(both) => both,
        }
    }
}

/// Everything a pass writes.
pub(crate) struct Outputs<'a, T> {
    pub map: InOut<&'a [T], &'a mut [T]>,
    /// A second output at the same places: the gradient of the residual.
    pub second: Option<&'a mut [T]>,
    /// One bit a value.
    pub mask: Option<&'a mut [u8]>,
}

/// The memory that the call for one tile may touch; that of the tile which the same thread takes next is lent too, shared, so
/// that it can be read.
pub(crate) struct TileMemory<'a, T> {
    matrix: Matrix,
    pub(crate) tile: &'a Tile,
    input: *const T,
    output: *mut T,
    second: Option<*mut T>,
    mask: Option<*mut u8>,
    streamed: bool,
    lent: PhantomData<&'a mut T>,
}

impl<'a, T: SimdElement + Copy + Default> TileMemory<'a, T> {
    /// Checks that a span is in the tile.
    #[inline(always)]
    fn check(&self, span: &Span) {
        let rows = &self.tile.rows;
        assert!(rows.contains(&span.row));
        let start = self.tile.run(&self.matrix, span.row).start;
        let last = if self.tile.has_whole_rows(&self.matrix) {
            rows.end - 1
        } else {
            span.row
        };
        let end = self.tile.run(&self.matrix, last).end;
        assert!(start <= span.start && span.start <= span.end && span.end <= end);
    }

    /// Checks that spans are in the tile.
    #[inline(always)]
    fn check_all<const A: usize>(&self, spans: &[Span; A]) {
        for i in 0..A {
            self.check(&spans[i]);
        }
    }

    /// The input (which may be the output) at a span of the tile.
    #[inline(always)]
    pub(crate) fn input(&self, span: Span) -> Run<'a, T> {
        self.check(&span);
        // SAFETY: the span is in the tile, thus in the array (both lengths were checked by `scatter`), and only the
        // call for this tile writes it, whose turn is now or next on this thread.
        unsafe { Run::of_memory(self.input.add(span.start), span.len()) }
    }

    /// The input at a span of the tile, and at the same columns of the rows that follow, `count` in all.
    #[inline(always)]
    pub(crate) fn input_rows(&self, first: Span, count: usize) -> Rows<'a, T> {
        let row_len = self.matrix.row_len();
        let last = (count - 1) * row_len;
        self.check(&Span {
            row: first.row + count - 1,
            start: first.start + last,
            end: first.end + last,
        });
        // SAFETY: `input` checks the first row, the lines before checked the last: both are in the tile, thus those between.
        unsafe { Rows::of_memory(self.input(first), row_len, count) }
    }

    /// The input at some spans of the tile.
    #[inline(always)]
    pub(crate) fn inputs<const A: usize>(&self, spans: [Span; A]) -> Runs<'a, T, A> {
        self.check_all(&spans);
        let (first, distance) = evenly_spaced(spans);
        // SAFETY: all spans are in the tile, thus in the array (both lengths were checked by `scatter`), as far from each
        // other as was checked; only the call for this tile writes it, whose turn is now or next on this thread.
        unsafe { Runs::of_memory(self.input.add(first.start), distance, first.len()) }
    }

    /// Some spans of an output.
    #[inline(always)]
    fn runs_mut<const A: usize>(&self, output: *mut T, spans: [Span; A]) -> RunsMut<'a, T, A> {
        self.check_all(&spans);
        let (first, distance) = evenly_spaced(spans);
        assert!(A == 1 || distance >= first.len());
        // SAFETY: all spans are in the tile, thus in the array (whose length was checked by `scatter`), as far from each
        // other as was checked, and do not overlap, as was checked too; no other call has the tile.
        unsafe {
            let start = output.add(first.start);
            RunsMut::of_memory(start, distance, first.len(), self.streamed)
        }
    }

    /// The output at some spans of the tile.
    #[inline(always)]
    pub(crate) fn outputs<const A: usize>(&mut self, spans: [Span; A]) -> RunsMut<'a, T, A> {
        self.runs_mut(self.output, spans)
    }

    /// The second output, if there is one, at some spans of the tile.
    #[inline(always)]
    pub(crate) fn seconds<const A: usize>(
        &mut self,
        spans: [Span; A],
    ) -> Option<RunsMut<'a, T, A>> {
        self.second.map(|second| self.runs_mut(second, spans))
    }

    /// The mask bytes, if there is a mask, of some spans of the tile, each inside one segment.
    #[inline(always)]
    pub(crate) fn masks<const A: usize>(&mut self, spans: [Span; A]) -> Option<[&mut [u8]; A]> {
        let mask = self.mask?;
        self.check_all(&spans);
        for i in 1..A {
            assert!(spans[i - 1].end <= spans[i].start);
        }
        Some(spans.map(|span| {
            let bytes = self.matrix.mask_range(span);
            // SAFETY: `mask_range` gives whole bytes of the span alone (it checks that the span begins and ends between
            // bytes), inside the length that `scatter` checked; the spans are apart, as was checked above, no other
            // call has this tile, and this one lends itself for as long.
            unsafe { std::slice::from_raw_parts_mut(mask.add(bytes.start), bytes.len()) }
        }))
    }
}

/// Pointers to arrays that outlive the scatter; the tiles keep the threads apart.
struct Shared<T> {
    matrix: Matrix,
    input: *const T,
    output: *mut T,
    second: Option<*mut T>,
    mask: Option<*mut u8>,
    streamed: bool,
}

// SAFETY: the pointers are used through `TileMemory` only, each of which reaches its own tile, and tiles are disjoint.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn lend<'a>(&self, tile: &'a Tile) -> TileMemory<'a, T> {
        TileMemory {
            matrix: self.matrix,
            tile,
            input: self.input,
            output: self.output,
            second: self.second,
            mask: self.mask,
            streamed: self.streamed,
            lent: PhantomData,
        }
    }
}

/// Calls `work` once for every tile, on however many threads, and returns what the calls gave, in the tiles' order. Each call
/// has its tile, the one that the same thread takes next (to be read only), and what the thread's call before left for it.
pub(crate) fn scatter<T, R, L: Default>(
    threads: &Threads,
    tiling: &Tiling,
    outputs: Outputs<'_, T>,
    work: impl for<'m> Fn(&mut TileMemory<'m, T>, Option<&TileMemory<'m, T>>, &mut L) -> R + Sync,
) -> Vec<R>
where
    T: SimdElement + Copy + Default + Send + Sync,
    R: Send,
{
    let matrix = tiling.matrix;
    // Over its input, an output is in cache already.
    let streamed =
        matches!(outputs.map, InOut::Separate(..)) && matrix.len * size_of::<T>() >= STREAMED_BYTES;
    let (input, output, len) = match outputs.map {
        InOut::Separate(input, output) => (
            input.as_ptr(),
            output.as_mut_ptr(),
            input.len().min(output.len()),
        ),
        InOut::InPlace(both) => {
            // One pointer for both, so that writing does not take from it the right to read.
            let pointer = both.as_mut_ptr();
            (pointer.cast_const(), pointer, both.len())
        }
    };
    assert!(len >= matrix.len);
    assert!(
        outputs
            .second
            .as_ref()
            .is_none_or(|second| second.len() >= matrix.len)
    );
    assert!(
        outputs
            .mask
            .as_ref()
            .is_none_or(|mask| mask.len() >= matrix.mask_bytes())
    );
    let shared = Shared {
        matrix,
        input,
        output,
        second: outputs.second.map(<[T]>::as_mut_ptr),
        mask: outputs.mask.map(<[u8]>::as_mut_ptr),
        streamed,
    };
    let shared = &shared;
    let bytes = matrix.len * size_of::<T>();
    threads.map(tiling.count(), bytes, tiling.order, |index, next, left| {
        let (tile, next) = (tiling.tile(index), next.map(|next| tiling.tile(next)));
        let next = next.as_ref().map(|next| shared.lend(next));
        work(&mut shared.lend(&tile), next.as_ref(), left)
    })
}
