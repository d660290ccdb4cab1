//! Spans at equal distances, read and written a vector at a time: beneath slices, for what has been read may be written over.
#![expect(unsafe_code, reason = "memory that is read, then written over")]

use std::marker::PhantomData;

use crate::cpu::simd::Simd;
use crate::cpu::simd::aligned::{Aligned, CACHE_LINE};
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::LANES;
use crate::cpu::tiling::span::Span;

/// The first of some spans, and how far it is from each to the next. (Four starts beside those of other arrays are more than
/// there are registers.)
#[inline(always)]
pub(crate) fn evenly_spaced<const A: usize>(spans: [Span; A]) -> (Span, usize) {
    let (first, last) = (spans[0], spans[A - 1]);
    let distance = (last.start - first.start) / A.saturating_sub(1).max(1);
    for i in 0..A {
        let span = spans[i];
        assert!(span.start == first.start + i * distance && span.len() == first.len());
    }
    (first, distance)
}

/// Values to be read, in `A` spans of equal length at equal distances.
#[derive(Clone, Copy)]
pub(crate) struct StridedSpans<'a, T, const A: usize> {
    start: *const T,
    distance: usize,
    len: usize,
    borrowed: PhantomData<&'a T>,
}

impl<T: SimdElement + Copy + Default, const A: usize> StridedSpans<'_, T, A> {
    /// `count` values from `at` on in each, at most sixteen, then zeros.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(&self, simd: S, at: usize, count: usize) -> [T::Vector<S>; A] {
        let mut values = [T::splat(simd, T::Scalar::default()); A];
        if count == LANES {
            assert!(at < self.len && self.len - at >= LANES);
            for i in 0..A {
                // SAFETY: the spans' memory is borrowed for 'a, and the line before the loop checked that 16 values are
                // there. The reference ends with this expression, before the same call can write there.
                let from = unsafe {
                    let span = self.start.add(at).add(i * self.distance);
                    &*span.cast::<[T; LANES]>()
                };
                values[i] = T::load(simd, from);
            }
            return values;
        }
        assert!(count < LANES && at <= self.len && self.len - at >= count);
        for i in 0..A {
            // SAFETY: the spans' memory is borrowed for 'a, at this distance from each other, and the assertion checked that `count`
            // values are there. The slice ends with this turn, before the same thread can write there.
            values[i] = T::load_partial(simd, unsafe {
                let span = self.start.add(at).add(i * self.distance);
                std::slice::from_raw_parts(span, count)
            });
        }
        values
    }

    /// As [`read`](Self::read), but of the spans that have any of these lanes: zeros of the others, whose memory is left alone.
    #[inline(always)]
    pub(crate) fn read_any<S: Simd>(
        &self,
        simd: S,
        at: usize,
        count: usize,
        lanes: [u16; A],
    ) -> [T::Vector<S>; A] {
        let mut all = u16::MAX;
        for i in 0..A {
            all &= lanes[i];
        }
        if all == u16::MAX {
            return self.read(simd, at, LANES);
        }
        let mut values = [T::splat(simd, T::Scalar::default()); A];
        assert!(count <= LANES && at <= self.len && self.len - at >= count);
        for i in 0..A {
            if lanes[i] != 0 {
                // SAFETY: the spans' memory is borrowed for 'a, at this distance from each other, and the assertion checked that `count`
                // values are there. The slice ends with this turn, before the same thread can write there.
                let span = unsafe {
                    let span = self.start.add(at).add(i * self.distance);
                    std::slice::from_raw_parts(span, count)
                };
                values[i] = match span.first_chunk::<LANES>() {
                    Some(span) => T::load(simd, span),
                    None => T::load_partial(simd, span),
                };
            }
        }
        values
    }
}

impl<T, const A: usize> StridedSpans<'_, T, A> {
    /// Spans of no values.
    pub(crate) fn none() -> Self {
        Self {
            start: std::ptr::NonNull::<T>::dangling().as_ptr().cast_const(),
            distance: 0,
            len: 0,
            borrowed: PhantomData,
        }
    }

    /// # Safety
    /// `len` values from `start` on and from `A - 1` places at this distance from each other are in one array, borrowed for the
    /// lifetime, and nobody else writes them.
    #[inline(always)]
    pub(crate) unsafe fn of_memory(start: *const T, distance: usize, len: usize) -> Self {
        Self {
            start,
            distance,
            len,
            borrowed: PhantomData,
        }
    }

    /// Prefetches the lines that are `ahead` values after `at`, wherever that is: as many as sixteen values fill, at least
    /// one.
    #[inline(always)]
    pub(crate) fn prefetch<S: Simd>(&self, simd: S, at: usize, ahead: usize) {
        let bytes = (LANES * size_of::<T>()).max(CACHE_LINE);
        for i in 0..A {
            let place = self.start.wrapping_add(at + ahead);
            let place = place.wrapping_add(i * self.distance);
            for line in (0..bytes).step_by(CACHE_LINE) {
                simd.prefetch(place.cast::<u8>().wrapping_add(line));
            }
        }
    }
}

/// Values to be written, in `A` spans of equal length at equal distances.
pub(crate) struct StridedSpansMut<'a, T, const A: usize> {
    start: *mut T,
    distance: usize,
    len: usize,
    non_temporal: bool,
    borrowed: PhantomData<&'a mut T>,
}

impl<T: SimdElement + Copy + Default, const A: usize> StridedSpansMut<'_, T, A> {
    /// # Safety
    /// `len` values from `start` on and from `A - 1` places at this distance from each other are in one array, apart from each
    /// other, and borrowed for the lifetime, to nobody else.
    #[inline(always)]
    pub(crate) unsafe fn of_memory(
        start: *mut T,
        distance: usize,
        len: usize,
        non_temporal: bool,
    ) -> Self {
        Self {
            start,
            distance,
            len,
            // Not where other spans begin elsewhere in a line than the first.
            non_temporal: non_temporal && (distance * size_of::<T>()).is_multiple_of(CACHE_LINE),
            borrowed: PhantomData,
        }
    }

    /// Spans of no values.
    pub(crate) fn none() -> Self {
        Self {
            start: std::ptr::NonNull::dangling().as_ptr(),
            distance: 0,
            len: 0,
            non_temporal: false,
            borrowed: PhantomData,
        }
    }

    /// `count` values from `at` on in each, at most sixteen, or `L` times sixteen: past the caches if the spans are non-temporal and
    /// that is a cache line.
    #[inline(always)]
    pub(crate) fn write<S: Simd, const L: usize>(
        &mut self,
        simd: S,
        at: usize,
        count: usize,
        values: [[T::Vector<S>; A]; L],
    ) {
        if count < LANES {
            for i in 0..A {
                self.store_partial(simd, i, at, count, values[0][i]);
            }
            return;
        }
        assert!(at < self.len && self.len - at >= L * LANES);
        let first = self.start.wrapping_add(at).addr();
        let non_temporal = L == T::VECTORS_IN_LINE && opaque(self.non_temporal);
        // The distance is whole lines, if the spans are non-temporal: one is aligned as all are.
        let non_temporal = non_temporal && first.is_multiple_of(CACHE_LINE);
        for i in 0..A {
            // SAFETY: the spans' memory is borrowed by this call for 'a, and the assertion checked that L vectors are there. The
            // reference ends with this turn.
            let to = unsafe {
                let span = self.start.add(at).add(i * self.distance);
                &mut *span.cast::<[[T; LANES]; L]>()
            };
            let mut line = [values[0][i]; L];
            for l in 0..L {
                line[l] = values[l][i];
            }
            if non_temporal {
                // SAFETY: `to` begins with a cache line: the first span does, as was asked above, and the others are whole
                // lines away from it (`of_memory`).
                let to = unsafe { Aligned::assume(to) };
                T::store_non_temporal(simd, line, to);
            } else {
                for l in 0..L {
                    T::store(simd, line[l], &mut to[l]);
                }
            }
        }
    }

    /// Prefetches the last line of each span, if spans are non-temporal: a part of it is written through the caches, and what is
    /// written after it would have to wait.
    #[inline(always)]
    pub(crate) fn prefetch_ends<S: Simd>(&self, simd: S) {
        if self.non_temporal {
            for i in 0..A {
                let last = self.start.wrapping_add(i * self.distance + self.len - 1);
                simd.prefetch_for_write(last.cast_const().cast());
            }
        }
    }

    /// How many values to write first, so that the vectors that follow lie in whole cache lines: one that lies over two takes
    /// longer to write, and cannot bypass the caches.
    #[inline(always)]
    pub(crate) fn unaligned_head(&self) -> usize {
        let head = self.start.align_offset(CACHE_LINE);
        // A place that is not aligned to its type never comes to be aligned.
        if head < CACHE_LINE {
            head.min(self.len)
        } else {
            0
        }
    }

    /// `count` values from `at` on in the `i`-th span, fewer than sixteen.
    #[inline(always)]
    fn store_partial<S: Simd>(
        &mut self,
        simd: S,
        i: usize,
        at: usize,
        count: usize,
        value: T::Vector<S>,
    ) {
        assert!(count < LANES && at <= self.len && self.len - at >= count);
        // SAFETY: the spans' memory is borrowed by this call for 'a, and the line before checked that `count` values are there.
        // The slice ends with this call.
        T::store_partial(simd, value, unsafe {
            std::slice::from_raw_parts_mut(self.start.add(at).add(i * self.distance), count)
        });
    }
}
