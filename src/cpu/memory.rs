//! Memory lent to many tiles at once: the one place where the CPU backend goes beneath slices.
//!
//! Two things need it. A pass may write over its input (y over x, dx over dy), which a pair of slices cannot say; and
//! tiles of a matrix are not contiguous, so `chunks_mut` cannot hand them out. Both come down to this: in one
//! [`scatter`], each tile is given to one call, and [`TileMemory`] lets that call reach its own rectangle only.
#![expect(
    unsafe_code,
    reason = "disjoint rectangles of one array, and writing over the input"
)]

use std::marker::PhantomData;
use std::ops::Range;

use super::simd::{LANES, Simd, SimdElement};
use super::threads::Threads;
use super::tiles::{Matrix, Span, Tile, Tiling};
use crate::backend::InOut;

/// Values to be read, one after the other in memory.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a, T> {
    start: *const T,
    len: usize,
    lent: PhantomData<&'a T>,
}

impl<'a, T: SimdElement + Copy + Default> Run<'a, T> {
    #[inline(always)]
    pub(crate) fn new(values: &'a [T]) -> Self {
        Self {
            start: values.as_ptr(),
            len: values.len(),
            lent: PhantomData,
        }
    }

    /// A part of it.
    #[inline(always)]
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: the line before checked that the range is in the run.
        let start = unsafe { self.start.add(range.start) };
        Self {
            start,
            len: range.end - range.start,
            lent: PhantomData,
        }
    }

    /// One value.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> T {
        assert!(at < self.len);
        // SAFETY: the run's memory is lent for 'a, and the line before checked the bound.
        unsafe { self.start.add(at).read() }
    }

    /// Sixteen values from `at` on.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(&self, simd: S, at: usize) -> T::Vector<S> {
        assert!(at < self.len && self.len - at >= LANES);
        // SAFETY: the run's memory is lent for 'a, and the line before checked that 16 values are there. The
        // reference ends with this expression, before the same call can write there.
        T::load(simd, unsafe { &*self.start.add(at).cast::<[T; LANES]>() })
    }

    /// `count` values from `at` on, at most sixteen, then zeros.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(&self, simd: S, at: usize, count: usize) -> T::Vector<S> {
        if count == LANES {
            self.load(simd, at)
        } else {
            self.load_some(simd, at, count)
        }
    }

    /// As [`Run::read`], for fewer.
    #[inline(always)]
    pub(crate) fn load_some<S: Simd>(&self, simd: S, at: usize, count: usize) -> T::Vector<S> {
        let mut values = [T::default(); LANES];
        let count = self.len.saturating_sub(at).min(LANES).min(count);
        // SAFETY: `count` values from `at` on are in the run, and in `values`, which is a local.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.wrapping_add(at), values.as_mut_ptr(), count);
        }
        T::load(simd, &values)
    }
}

/// Values to be written, one after the other in memory.
pub(crate) struct RunMut<'a, T> {
    start: *mut T,
    len: usize,
    streamed: bool,
    lent: PhantomData<&'a mut T>,
}

/// What memory moves by.
const CACHE_LINE: usize = 64;
/// An output of this size is written past the caches: it would only drive out what is still needed, and each line of
/// it would first be read. (On a two-core Xeon, copying 2 × 6 MB and more: 34 GB/s instead of 23.)
const STREAMED_BYTES: usize = 4 << 20;
/// The shortest row of columns that is. (Rows of 512 values gain nothing, rows of 1024 a quarter.)
const STREAMED_ROW: usize = 1024;

impl<T: SimdElement + Copy + Default> RunMut<'_, T> {
    /// `count` values from `at` on, at most sixteen.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(&mut self, simd: S, at: usize, count: usize, value: T::Vector<S>) {
        if count == LANES {
            self.store(simd, at, value);
        } else {
            self.store_some(simd, at, count, value);
        }
    }

    /// Sixteen values from `at` on, past the caches if the run is streamed.
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, at: usize, value: T::Vector<S>) {
        assert!(at < self.len && self.len - at >= LANES);
        // SAFETY: the run's memory is lent to this call for 'a, and the line before checked that 16 values are there.
        // The reference ends with this call.
        let to = unsafe { &mut *self.start.add(at).cast::<[T; LANES]>() };
        if self.streamed {
            T::stream(simd, value, to);
        } else {
            T::store(simd, value, to);
        }
    }

    /// How many values to write first, so that those that follow can be streamed.
    #[inline(always)]
    pub(crate) fn unaligned_head(&self) -> usize {
        if !self.streamed {
            return 0;
        }
        let alignment = LANES * size_of::<T>();
        self.start
            .align_offset(alignment.min(CACHE_LINE))
            .min(self.len)
    }

    /// `count` values from `at` on, at most sixteen.
    #[inline(always)]
    fn store_some<S: Simd>(&mut self, simd: S, at: usize, count: usize, value: T::Vector<S>) {
        let mut values = [T::default(); LANES];
        T::store(simd, value, &mut values);
        let count = self.len.saturating_sub(at).min(LANES).min(count);
        // SAFETY: `count` values from `at` on are in the run, and in `values`, which is a local.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.start.wrapping_add(at), count);
        }
    }
}

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

/// The memory that the call for one tile may touch.
pub(crate) struct TileMemory<'a, T> {
    matrix: Matrix,
    tile: &'a Tile,
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
        let row = self.tile.run(&self.matrix, span.row);
        assert!(self.tile.rows.contains(&span.row));
        assert!(row.start <= span.start && span.start <= span.end && span.end <= row.end);
    }

    /// The input (which may be the output) at a span of the tile.
    #[inline(always)]
    pub(crate) fn input(&self, span: Span) -> Run<'a, T> {
        self.check(&span);
        // SAFETY: the span is in the tile, thus in the array (both lengths were checked by `scatter`).
        let start = unsafe { self.input.add(span.start) };
        Run {
            start,
            len: span.len(),
            lent: PhantomData,
        }
    }

    /// A checked span of an output.
    #[inline(always)]
    fn run_mut(&self, output: *mut T, span: Span) -> RunMut<'a, T> {
        // SAFETY: both callers checked that the span is in the tile, thus in the array (whose length was checked by
        // `scatter`); no other call has this tile.
        let start = unsafe { output.add(span.start) };
        RunMut {
            start,
            len: span.len(),
            streamed: self.streamed,
            lent: PhantomData,
        }
    }

    /// The output at a span of the tile.
    #[inline(always)]
    pub(crate) fn output(&mut self, span: Span) -> RunMut<'a, T> {
        self.check(&span);
        self.run_mut(self.output, span)
    }

    /// The second output, if there is one, at a span of the tile.
    #[inline(always)]
    pub(crate) fn second(&mut self, span: Span) -> Option<RunMut<'a, T>> {
        self.check(&span);
        self.second.map(|second| self.run_mut(second, span))
    }

    /// The mask bytes, if there is a mask, of a span of the tile inside one segment.
    #[inline(always)]
    pub(crate) fn mask(&mut self, span: Span) -> Option<&mut [u8]> {
        let mask = self.mask?;
        self.check(&span);
        let bytes = mask_range(&self.matrix, span);
        // SAFETY: `mask_range` gives whole bytes of the span alone (it checks that the span begins and ends between
        // bytes), inside the length that `scatter` checked; no other call has this tile, and this one borrows it.
        Some(unsafe { std::slice::from_raw_parts_mut(mask.add(bytes.start), bytes.len()) })
    }
}

/// The mask bytes of a span inside one segment.
#[inline(always)]
pub(crate) fn mask_range(matrix: &Matrix, span: Span) -> Range<usize> {
    let segment = matrix.mask_segment();
    let (index, start) = (span.start / segment, span.start % segment);
    let end = start + span.len();
    assert!(start.is_multiple_of(8) && end <= segment);
    assert!(end.is_multiple_of(8) || end == segment || span.end == matrix.len);
    let first = index * segment.div_ceil(8);
    first + start / 8..first + end.div_ceil(8)
}

/// Pointers to arrays that outlive the scatter; the tiles keep the threads apart.
struct Shared<T> {
    input: *const T,
    output: *mut T,
    second: Option<*mut T>,
    mask: Option<*mut u8>,
}

// SAFETY: the pointers are used through `TileMemory` only, each of which reaches its own tile, and tiles are disjoint.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

/// Calls `work` once for every tile, on however many threads, and returns what the calls gave, in the tiles' order.
pub(crate) fn scatter<T, R>(
    threads: &Threads,
    tiling: &Tiling,
    outputs: Outputs<'_, T>,
    work: impl Fn(&Tile, &mut TileMemory<'_, T>) -> R + Sync,
) -> Vec<R>
where
    T: SimdElement + Copy + Default + Send + Sync,
    R: Send,
{
    let matrix = tiling.matrix;
    // Over its input, an output is in cache already; the loop that writes a mask keeps to whole bytes of it; and where
    // work is by columns each row is aligned anew, which short rows do not repay.
    let streamed = matches!(outputs.map, InOut::Separate(..))
        && outputs.mask.is_none()
        && (!matrix.by_columns() || matrix.row_len() >= STREAMED_ROW)
        && matrix.len * size_of::<T>() >= STREAMED_BYTES;
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
        input,
        output,
        second: outputs.second.map(<[T]>::as_mut_ptr),
        mask: outputs.mask.map(<[u8]>::as_mut_ptr),
    };
    let shared = &shared;
    threads.map(tiling.count(), matrix.len * size_of::<T>(), |index| {
        let tile = tiling.tile(index);
        let mut memory = TileMemory {
            matrix,
            tile: &tile,
            input: shared.input,
            output: shared.output,
            second: shared.second,
            mask: shared.mask,
            streamed,
            lent: PhantomData,
        };
        work(&tile, &mut memory)
    })
}
