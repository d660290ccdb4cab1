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

use super::in_loop::asked_in_loop;
use super::simd::{LANES, Simd, SimdElement};
use super::threads::Threads;
use super::tiles::{CACHE_LINE, Matrix, Span, Tile, Tiling};
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

    /// Parts of equal length.
    #[inline(always)]
    pub(crate) fn parts<const A: usize>(&self, spans: [Span; A]) -> Runs<'a, T, A> {
        let mut starts = [self.start; A];
        for i in 0..A {
            assert!(spans[i].len() == spans[0].len());
            starts[i] = self.part(spans[i].range()).start;
        }
        Runs {
            starts,
            len: spans[0].len(),
            lent: PhantomData,
        }
    }

    /// The part at `first`, and the same part of the rows that follow, `count` in all.
    #[inline(always)]
    pub(crate) fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        let rows = Rows {
            first: self.part(first.range()),
            row_len,
            count,
        };
        self.part(rows.span(first, count - 1).range());
        rows
    }

    /// One value.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> T {
        assert!(at < self.len);
        // SAFETY: the run's memory is lent for 'a, and the line before checked the bound.
        unsafe { self.start.add(at).read() }
    }

    /// `N` times sixteen values from `at` on.
    #[inline(always)]
    pub(crate) fn load<S: Simd, const N: usize>(&self, simd: S, at: usize) -> [T::Vector<S>; N] {
        assert!(at < self.len && self.len - at >= N * LANES);
        let mut values = [T::splat(simd, T::Scalar::default()); N];
        for i in 0..N {
            // SAFETY: the run's memory is lent for 'a, and the line before the loop checked that N vectors are there.
            // The reference ends with this expression, before the same call can write there.
            let from = unsafe { &*self.start.add(at + i * LANES).cast::<[T; LANES]>() };
            values[i] = T::load(simd, from);
        }
        values
    }

    /// `count` values from `at` on, at most sixteen, then zeros.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(&self, simd: S, at: usize, count: usize) -> T::Vector<S> {
        if count == LANES {
            let [values] = self.load(simd, at);
            values
        } else {
            self.load_some(simd, at, count)
        }
    }

    /// `count` values from `at` on, fewer than sixteen, then zeros.
    #[inline(always)]
    pub(crate) fn load_some<S: Simd>(&self, simd: S, at: usize, count: usize) -> T::Vector<S> {
        assert!(count < LANES && at <= self.len && self.len - at >= count);
        // SAFETY: the run's memory is lent for 'a, and the line before checked that `count` values are there. The slice
        // ends with this call, before the same thread can write there.
        T::load_some(simd, unsafe {
            std::slice::from_raw_parts(self.start.add(at), count)
        })
    }
}

/// Runs of equal length, at equal distances: a part of neighbouring rows.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    first: Run<'a, T>,
    row_len: usize,
    count: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Where the part of the `i`-th of the rows is, if the first is at `first`.
    #[inline(always)]
    pub(crate) fn span(&self, first: Span, i: usize) -> Span {
        Span {
            row: first.row + i,
            start: first.start + i * self.row_len,
            end: first.end + i * self.row_len,
        }
    }

    /// The part of the `i`-th of the rows.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> Run<'a, T> {
        assert!(i < self.count);
        // SAFETY: both makers checked that the first row's part and the last one's are in memory lent for 'a, in one array,
        // and the line before that this one is between them or one of them.
        let start = unsafe { self.first.start.add(i * self.row_len) };
        Run {
            start,
            ..self.first
        }
    }
}

/// Values to be read, in `A` runs of equal length.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a, T, const A: usize> {
    starts: [*const T; A],
    len: usize,
    lent: PhantomData<&'a T>,
}

impl<T: SimdElement + Copy + Default, const A: usize> Runs<'_, T, A> {
    /// `count` values from `at` on in each, at most sixteen, then zeros.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(&self, simd: S, at: usize, count: usize) -> [T::Vector<S>; A] {
        let mut values = [T::splat(simd, T::Scalar::default()); A];
        if count == LANES {
            assert!(at < self.len && self.len - at >= LANES);
            for i in 0..A {
                // SAFETY: the runs' memory is lent for 'a, and the line before the loop checked that 16 values are
                // there. The reference ends with this expression, before the same call can write there.
                let from = unsafe { &*self.starts[i].add(at).cast::<[T; LANES]>() };
                values[i] = T::load(simd, from);
            }
            return values;
        }
        for i in 0..A {
            let run = Run {
                start: self.starts[i],
                len: self.len,
                lent: self.lent,
            };
            values[i] = run.load_some(simd, at, count);
        }
        values
    }
}

impl<T, const A: usize> Runs<'_, T, A> {
    /// Has the sixteen values that are `distance` ahead of those at `at` fetched, wherever that is.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd>(&self, simd: S, at: usize, distance: usize) {
        let bytes = LANES * size_of::<T>();
        if bytes < CACHE_LINE && !(at / LANES).is_multiple_of(CACHE_LINE / bytes) {
            return;
        }
        for i in 0..A {
            let place = self.starts[i].wrapping_add(at.wrapping_add(distance));
            for line in (0..bytes).step_by(CACHE_LINE) {
                simd.fetch(place.cast::<u8>().wrapping_add(line));
            }
        }
    }
}

/// Values to be written, in `A` runs of equal length.
pub(crate) struct RunsMut<'a, T, const A: usize> {
    starts: [*mut T; A],
    len: usize,
    streamed: bool,
    lent: PhantomData<&'a mut T>,
}

/// An output of this size is written past the caches: it would only drive out what is still needed, and each line of
/// it would first be read. (On a two-core Xeon, copying 2 × 6 MB and more: 34 GB/s instead of 23.)
const STREAMED_BYTES: usize = 2 << 20;

impl<T: SimdElement + Copy + Default, const A: usize> RunsMut<'_, T, A> {
    /// Runs of no values.
    pub(crate) fn none() -> Self {
        Self {
            starts: [std::ptr::NonNull::dangling().as_ptr(); A],
            len: 0,
            streamed: false,
            lent: PhantomData,
        }
    }

    /// `count` values from `at` on in each, at most sixteen, past the caches if the runs are streamed.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(
        &mut self,
        simd: S,
        at: usize,
        count: usize,
        values: [T::Vector<S>; A],
    ) {
        if count < LANES {
            for i in 0..A {
                self.store_some(simd, i, at, count, values[i]);
            }
            return;
        }
        assert!(at < self.len && self.len - at >= LANES);
        let streamed = asked_in_loop(self.streamed);
        for i in 0..A {
            // SAFETY: the runs' memory is lent to this call for 'a, and the line before the loop checked that 16 values
            // are there. The reference ends with this turn.
            let to = unsafe { &mut *self.starts[i].add(at).cast::<[T; LANES]>() };
            if streamed {
                T::stream(simd, values[i], to);
            } else {
                T::store(simd, values[i], to);
            }
        }
    }

    /// How many values to write first, so that none of the vectors that follow lies over two cache lines: such a one takes
    /// longer to write, and cannot be streamed.
    #[inline(always)]
    pub(crate) fn unaligned_head(&self) -> usize {
        let alignment = (LANES * size_of::<T>()).min(CACHE_LINE);
        let head = self.starts[0].align_offset(alignment);
        // A place that is not aligned to its type never comes to be aligned.
        if head < LANES { head.min(self.len) } else { 0 }
    }

    /// `count` values from `at` on in the `i`-th run, fewer than sixteen.
    #[inline(always)]
    fn store_some<S: Simd>(
        &mut self,
        simd: S,
        i: usize,
        at: usize,
        count: usize,
        value: T::Vector<S>,
    ) {
        assert!(count < LANES && at <= self.len && self.len - at >= count);
        // SAFETY: the runs' memory is lent to this call for 'a, and the line before checked that `count` values are there.
        // The slice ends with this call.
        T::store_some(simd, value, unsafe {
            std::slice::from_raw_parts_mut(self.starts[i].add(at), count)
        });
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

    /// Checks that spans of equal length are in the tile.
    #[inline(always)]
    fn check_all<const A: usize>(&self, spans: &[Span; A]) {
        for i in 0..A {
            self.check(&spans[i]);
            assert!(spans[i].len() == spans[0].len());
        }
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

    /// The input at a span of the tile, and at the same columns of the rows that follow, `count` in all.
    #[inline(always)]
    pub(crate) fn input_rows(&self, first: Span, count: usize) -> Rows<'a, T> {
        let row_len = self.matrix.row_len();
        let rows = Rows {
            first: self.input(first),
            row_len,
            count,
        };
        self.check(&rows.span(first, count - 1));
        rows
    }

    /// The input at some spans of the tile.
    #[inline(always)]
    pub(crate) fn inputs<const A: usize>(&self, spans: [Span; A]) -> Runs<'a, T, A> {
        self.check_all(&spans);
        let mut starts = [self.input; A];
        for i in 0..A {
            // SAFETY: the span is in the tile, thus in the array (both lengths were checked by `scatter`).
            starts[i] = unsafe { self.input.add(spans[i].start) };
        }
        Runs {
            starts,
            len: spans[0].len(),
            lent: PhantomData,
        }
    }

    /// Some spans of an output.
    #[inline(always)]
    fn runs_mut<const A: usize>(&self, output: *mut T, spans: [Span; A]) -> RunsMut<'a, T, A> {
        self.check_all(&spans);
        let mut starts = [output; A];
        for i in 0..A {
            // SAFETY: the span is in the tile, thus in the array (whose length was checked by `scatter`); no other call
            // has this tile.
            starts[i] = unsafe { output.add(spans[i].start) };
        }
        RunsMut {
            starts,
            len: spans[0].len(),
            streamed: self.streamed,
            lent: PhantomData,
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
    pub(crate) fn masks<const A: usize>(&mut self, spans: [Span; A]) -> Option<[&'a mut [u8]; A]> {
        let mask = self.mask?;
        self.check_all(&spans);
        for i in 1..A {
            assert!(spans[i - 1].end <= spans[i].start);
        }
        Some(spans.map(|span| {
            let bytes = mask_range(&self.matrix, span);
            // SAFETY: `mask_range` gives whole bytes of the span alone (it checks that the span begins and ends between
            // bytes), inside the length that `scatter` checked; the spans are apart, as was checked above, no other
            // call has this tile, and this one is given each span once.
            unsafe { std::slice::from_raw_parts_mut(mask.add(bytes.start), bytes.len()) }
        }))
    }
}

/// The mask bytes of a span inside one segment.
#[inline(always)]
pub(crate) fn mask_range(matrix: &Matrix, span: Span) -> Range<usize> {
    let (start, end) = mask_bits(matrix, span);
    assert!(start.is_multiple_of(8));
    assert!(
        end.is_multiple_of(8)
            || span.end.is_multiple_of(matrix.mask_segment())
            || span.end == matrix.len
    );
    start / 8..end.div_ceil(8)
}

/// The first bit of a span inside one segment, and the one after its last.
#[inline(always)]
pub(crate) fn mask_bits(matrix: &Matrix, span: Span) -> (usize, usize) {
    let segment = matrix.mask_segment();
    let (index, start) = if segment >= matrix.len {
        (0, span.start)
    } else {
        (span.start / segment, span.start % segment)
    };
    assert!(start + span.len() <= segment);
    let first = 8 * index * segment.div_ceil(8) + start;
    (first, first + span.len())
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

/// Which tiles are worked on first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    FirstFirst,
    /// Those that were read last, which are likeliest to be in cache still.
    LastFirst,
}

/// Calls `work` once for every tile, on however many threads, with the tile that the same thread takes next, and returns what the calls gave, in this order.
pub(crate) fn scatter<T, R>(
    threads: &Threads,
    tiling: &Tiling,
    outputs: Outputs<'_, T>,
    order: Order,
    work: impl Fn(&Tile, Option<&Tile>, &mut TileMemory<'_, T>) -> R + Sync,
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
        input,
        output,
        second: outputs.second.map(<[T]>::as_mut_ptr),
        mask: outputs.mask.map(<[u8]>::as_mut_ptr),
    };
    let shared = &shared;
    let bytes = matrix.len * size_of::<T>();
    let count = tiling.count();
    let in_order = |index: usize| match order {
        Order::FirstFirst => index,
        Order::LastFirst => count - 1 - index,
    };
    threads.map(count, bytes, |index, next| {
        let tile = tiling.tile(in_order(index));
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
        let next = next.map(|next| tiling.tile(in_order(next)));
        work(&tile, next.as_ref(), &mut memory)
    })
}
