//! An array to be read, and its subslices: beneath `&[T]`, for a pass may write over what it has read.
#![expect(unsafe_code, reason = "memory that is read, then written over")]

use std::marker::PhantomData;
use std::ops::Range;

use crate::cpu::memory::strided::{StridedSpans, evenly_spaced};
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::tiling::span::Span;

/// A `&[T]` whose values may be written over once they have been read.
#[derive(Clone, Copy)]
pub(crate) struct RawSlice<'a, T> {
    start: *const T,
    len: usize,
    borrowed: PhantomData<&'a T>,
}

impl<'a, T: SimdElement + Copy + Default> RawSlice<'a, T> {
    /// # Safety
    /// `len` values from `start` on are borrowed for 'a, and nobody writes those that are read meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn of_memory(start: *const T, len: usize) -> Self {
        Self {
            start,
            len,
            borrowed: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn new(values: &'a [T]) -> Self {
        Self {
            start: values.as_ptr(),
            len: values.len(),
            borrowed: PhantomData,
        }
    }

    /// A part of it, for as long.
    #[inline(always)]
    pub(crate) fn subslice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: the line before checked that the range is in the array.
        let start = unsafe { self.start.add(range.start) };
        Self {
            start,
            len: range.end - range.start,
            borrowed: PhantomData,
        }
    }

    /// Parts of equal length at equal distances.
    #[inline(always)]
    pub(crate) fn strided<const A: usize>(&self, spans: [Span; A]) -> StridedSpans<'a, T, A> {
        let (first, distance) = evenly_spaced(spans);
        let (start, _last) = (
            self.subslice(first.range()).start,
            self.subslice(spans[A - 1].range()),
        );
        // SAFETY: `subslice` checked that the first part and the last are in the array, so that those between are.
        unsafe { StridedSpans::of_memory(start, distance, first.len()) }
    }

    /// The part at `first`, and the same columns of the rows that follow, `count` in all.
    #[inline(always)]
    pub(crate) fn rows(&self, first: Span, count: usize, row_len: usize) -> Rows<'a, T> {
        let rows = Rows {
            first: self.subslice(first.range()),
            row_len,
            count,
        };
        // The last row is checked here, so that no row between has to be.
        self.subslice(rows.span(first, count - 1).range());
        rows
    }

    /// One value.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> T {
        assert!(at < self.len);
        // SAFETY: the array is borrowed for 'a, and the line before checked the bound.
        unsafe { self.start.add(at).read() }
    }

    /// `count` values from `at` on, at most sixteen, then zeros.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(&self, simd: S, at: usize, count: usize) -> T::Vector<S> {
        // SAFETY: the one span is this array.
        let span = unsafe { StridedSpans::<T, 1>::of_memory(self.start, 0, self.len) };
        let [values] = span.read(simd, at, count);
        values
    }
}

/// The same columns of neighbouring rows.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    first: RawSlice<'a, T>,
    row_len: usize,
    count: usize,
}

impl<'a, T> Rows<'a, T> {
    /// # Safety
    /// `first`, the same columns of the row `count - 1` rows on, and those between are in one array, and borrowed for 'a.
    #[inline(always)]
    pub(crate) unsafe fn of_memory(first: RawSlice<'a, T>, row_len: usize, count: usize) -> Self {
        Self {
            first,
            row_len,
            count,
        }
    }

    /// Where the `i`-th of the rows is, if the first is at `first`.
    #[inline(always)]
    pub(crate) fn span(&self, first: Span, i: usize) -> Span {
        Span {
            row: first.row + i,
            start: first.start + i * self.row_len,
            end: first.end + i * self.row_len,
        }
    }

    /// The spans of the `A` rows from `row` on that are `step` rows apart.
    #[inline(always)]
    pub(crate) fn streams<const A: usize>(
        &self,
        row: usize,
        step: usize,
    ) -> StridedSpans<'a, T, A> {
        assert!(row < self.count && (A - 1) * step < self.count - row);
        // SAFETY: both makers checked that the first row's part and the last one's are in memory borrowed for 'a, in one
        // array, and the line before that these are between them or among them.
        unsafe {
            let start = self.first.start.add(row * self.row_len);
            StridedSpans::of_memory(start, step * self.row_len, self.first.len)
        }
    }
}
