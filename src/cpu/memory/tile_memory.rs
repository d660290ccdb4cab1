//! Memory that many tiles borrow at once: with `slice.rs`, `strided.rs` and `quantized_tile.rs` the
//! place where the CPU backend goes beneath slices.
//!
//! Two things need it. A pass may write over its input (y over x, dx over dy), which a pair of slices cannot say; and
//! tiles of a view are not contiguous, so `chunks_mut` cannot hand them out. Both come down to this: in one
//! [`for_each_tile`], each tile is given to one call, and [`TileMemory`] lets that call reach its own rectangle only.
#![expect(
    unsafe_code,
    reason = "disjoint rectangles of one array, and writing over the input"
)]

use std::marker::PhantomData;

use crate::backend::operands::InOut;
use crate::cpu::memory::slice::{RawSlice, Rows};
use crate::cpu::memory::strided::{StridedSpans, StridedSpansMut, evenly_spaced};
use crate::cpu::parallel::Threads;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::{Tile, Tiling};
use crate::cpu::tiling::view::MatrixView;

/// An output of this size is written past the caches: it would only drive out what is still needed, and each line of
/// it would first be read. (On a two-core Xeon, copying 2 × 6 MB and more: 34 GB/s instead of 23.)
const NON_TEMPORAL_BYTES: usize = 2 << 20;

impl<T> InOut<&[T], &mut [T]> {
    /// The values to be read.
    pub(crate) fn input(&self) -> &[T] {
        match self {
            InOut::Separate(input, _) => input,
            InOut::InPlace(both) => both,
        }
    }
}

/// Everything that tiles share out to be written, and what the first of it is computed from: named, because each pass has some
/// of it only.
pub(crate) struct Outputs<'a, T> {
    pub map: InOut<&'a [T], &'a mut [T]>,
    /// A second output at the same places: the gradient of the residual, or v where it is saved for backward.
    pub second: Option<&'a mut [T]>,
    /// One bit a value.
    pub mask: Option<&'a mut [u8]>,
}

/// The memory that the call for one tile may touch; that of the tile which the same thread takes next can be read as well.
pub(crate) struct TileMemory<'a, T> {
    view: MatrixView,
    pub(crate) tile: &'a Tile,
    input: *const T,
    output: *mut T,
    second: Option<*mut T>,
    mask: Option<*mut u8>,
    non_temporal: bool,
    borrowed: PhantomData<&'a mut T>,
}

impl<'a, T: SimdElement + Copy + Default> TileMemory<'a, T> {
    /// Checks that a span is in the tile.
    #[inline(always)]
    fn check(&self, span: &Span) {
        self.tile.check_span(&self.view, span);
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
    pub(crate) fn input(&self, span: Span) -> RawSlice<'a, T> {
        self.check(&span);
        // SAFETY: the span is in the tile, thus in the array (both lengths were checked by `for_each_tile`), and only the
        // call for this tile writes it, whose turn is now or next on this thread.
        unsafe { RawSlice::of_memory(self.input.add(span.start), span.len()) }
    }

    /// The input at a span of the tile, and at the same columns of the rows that follow, `count` in all.
    #[inline(always)]
    pub(crate) fn input_rows(&self, first: Span, count: usize) -> Rows<'a, T> {
        let row_len = self.view.row_len();
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
    pub(crate) fn inputs<const A: usize>(&self, spans: [Span; A]) -> StridedSpans<'a, T, A> {
        self.check_all(&spans);
        let (first, distance) = evenly_spaced(spans);
        // SAFETY: all spans are in the tile, thus in the array (both lengths were checked by `for_each_tile`), as far from each
        // other as was checked; only the call for this tile writes it, whose turn is now or next on this thread.
        unsafe { StridedSpans::of_memory(self.input.add(first.start), distance, first.len()) }
    }

    /// Some spans of an output.
    #[inline(always)]
    fn strided_mut<const A: usize>(
        &self,
        output: *mut T,
        spans: [Span; A],
    ) -> StridedSpansMut<'a, T, A> {
        self.check_all(&spans);
        let (first, distance) = evenly_spaced(spans);
        assert!(A == 1 || distance >= first.len());
        // SAFETY: all spans are in the tile, thus in the array (whose length was checked by `for_each_tile`), as far from each
        // other as was checked, and do not overlap, as was checked too; no other call has the tile.
        unsafe {
            let start = output.add(first.start);
            StridedSpansMut::of_memory(start, distance, first.len(), self.non_temporal)
        }
    }

    /// The output at some spans of the tile.
    #[inline(always)]
    pub(crate) fn outputs<const A: usize>(
        &mut self,
        spans: [Span; A],
    ) -> StridedSpansMut<'a, T, A> {
        self.strided_mut(self.output, spans)
    }

    /// The second output, if there is one, at some spans of the tile.
    #[inline(always)]
    pub(crate) fn seconds<const A: usize>(
        &mut self,
        spans: [Span; A],
    ) -> Option<StridedSpansMut<'a, T, A>> {
        self.second.map(|second| self.strided_mut(second, spans))
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
            let bytes = self.view.mask_range(span);
            // SAFETY: `mask_range` gives whole bytes of the span alone (it checks that the span begins and ends between
            // bytes), inside the length that `for_each_tile` checked; the spans are apart, as was checked above, no other
            // call has this tile, and this one is borrowed for as long.
            unsafe { std::slice::from_raw_parts_mut(mask.add(bytes.start), bytes.len()) }
        }))
    }
}

/// Pointers to arrays that outlive [`for_each_tile`]; the tiles keep the threads apart.
struct SharedPointers<T> {
    view: MatrixView,
    input: *const T,
    output: *mut T,
    second: Option<*mut T>,
    mask: Option<*mut u8>,
    non_temporal: bool,
}

// SAFETY: the pointers are used through `TileMemory` only, each of which reaches its own tile, and tiles are disjoint.
unsafe impl<T: Send + Sync> Sync for SharedPointers<T> {}

impl<T> SharedPointers<T> {
    fn memory_of<'a>(&self, tile: &'a Tile) -> TileMemory<'a, T> {
        TileMemory {
            view: self.view,
            tile,
            input: self.input,
            output: self.output,
            second: self.second,
            mask: self.mask,
            non_temporal: self.non_temporal,
            borrowed: PhantomData,
        }
    }
}

/// Calls `work` once for every tile, on however many threads, and returns what the calls gave, in the tiles' order. Each call
/// has its tile, the one that the same thread takes next (to be read only), and what the thread's call before left for it.
pub(crate) fn for_each_tile<T, R, L: Default>(
    threads: &Threads,
    tiling: &Tiling,
    outputs: Outputs<'_, T>,
    work: impl for<'m> Fn(&mut TileMemory<'m, T>, Option<&TileMemory<'m, T>>, &mut L) -> R + Sync,
) -> Vec<R>
where
    T: SimdElement + Copy + Default + Send + Sync,
    R: Send,
{
    let view = tiling.view;
    // Over its input, an output is in cache already.
    let non_temporal = matches!(outputs.map, InOut::Separate(..))
        && view.len * size_of::<T>() >= NON_TEMPORAL_BYTES;
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
    assert!(len >= view.len);
    assert!(
        outputs
            .second
            .as_ref()
            .is_none_or(|second| second.len() >= view.len)
    );
    assert!(
        outputs
            .mask
            .as_ref()
            .is_none_or(|mask| mask.len() >= view.mask_bytes())
    );
    let shared = SharedPointers {
        view,
        input,
        output,
        second: outputs.second.map(<[T]>::as_mut_ptr),
        mask: outputs.mask.map(<[u8]>::as_mut_ptr),
        non_temporal,
    };
    let shared = &shared;
    let bytes = view.len * size_of::<T>();
    threads.map(tiling.count(), bytes, tiling.order, |index, next, left| {
        let (tile, next) = (tiling.tile(index), next.map(|next| tiling.tile(next)));
        let next = next.as_ref().map(|next| shared.memory_of(next));
        work(&mut shared.memory_of(&tile), next.as_ref(), left)
    })
}
