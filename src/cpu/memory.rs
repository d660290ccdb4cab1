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
use super::tiles::{Matrix, Tile, Tiling};
use crate::backend::InOut;

/// Values to be read, one after the other in memory.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a, T> {
    start: *const T,
    len: usize,
    lent: PhantomData<&'a T>,
}

impl<'a, T: SimdElement + Copy> Run<'a, T> {
    #[inline(always)]
    pub(crate) fn new(values: &'a [T]) -> Self {
        Self {
            start: values.as_ptr(),
            len: values.len(),
            lent: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
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

    /// The last values from `at` on, fewer than sixteen, then `fill`.
    #[inline(always)]
    pub(crate) fn load_last<S: Simd>(&self, simd: S, at: usize, fill: T) -> T::Vector<S> {
        let mut values = [fill; LANES];
        let count = self.len.saturating_sub(at).min(LANES);
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
    lent: PhantomData<&'a mut T>,
}

impl<T: SimdElement + Copy + Default> RunMut<'_, T> {
    /// Sixteen values from `at` on.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(&mut self, simd: S, at: usize, value: T::Vector<S>) {
        assert!(at < self.len && self.len - at >= LANES);
        // SAFETY: the run's memory is lent to this call for 'a, and the line before checked that 16 values are there.
        // The reference ends with this expression.
        T::store(simd, value, unsafe {
            &mut *self.start.add(at).cast::<[T; LANES]>()
        });
    }

    /// The last values from `at` on, fewer than sixteen.
    #[inline(always)]
    pub(crate) fn store_last<S: Simd>(&mut self, simd: S, at: usize, value: T::Vector<S>) {
        let mut values = [T::default(); LANES];
        T::store(simd, value, &mut values);
        let count = self.len.saturating_sub(at).min(LANES);
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
    lent: PhantomData<&'a mut T>,
}

impl<'a, T: SimdElement + Copy + Default> TileMemory<'a, T> {
    /// Checks that a range of the array is in the tile.
    #[inline(always)]
    fn check(&self, range: &Range<usize>) {
        let row = range.start / self.matrix.row_len();
        let run = self.tile.run(&self.matrix, row);
        assert!(
            self.tile.rows.contains(&row)
                && run.start <= range.start
                && range.start <= range.end
                && range.end <= run.end
        );
    }

    /// The input (which may be the output) at a range inside one row of the tile.
    #[inline(always)]
    pub(crate) fn input(&self, range: Range<usize>) -> Run<'a, T> {
        self.check(&range);
        // SAFETY: the range is in the tile, thus in the array (both lengths were checked by `scatter`).
        let start = unsafe { self.input.add(range.start) };
        Run {
            start,
            len: range.len(),
            lent: PhantomData,
        }
    }

    /// A checked range of an output.
    #[inline(always)]
    fn run_mut(output: *mut T, range: &Range<usize>) -> RunMut<'a, T> {
        // SAFETY: both callers checked that the range is in the tile, thus in the array (whose length was checked by
        // `scatter`); no other call has this tile.
        let start = unsafe { output.add(range.start) };
        RunMut {
            start,
            len: range.len(),
            lent: PhantomData,
        }
    }

    /// The output at a range inside one row of the tile.
    #[inline(always)]
    pub(crate) fn output(&mut self, range: Range<usize>) -> RunMut<'a, T> {
        self.check(&range);
        Self::run_mut(self.output, &range)
    }

    /// The second output, if there is one, at a range inside one row of the tile.
    #[inline(always)]
    pub(crate) fn second(&mut self, range: Range<usize>) -> Option<RunMut<'a, T>> {
        self.check(&range);
        self.second.map(|second| Self::run_mut(second, &range))
    }

    /// The mask bytes, if there is a mask, of a range inside one segment of the tile.
    #[inline(always)]
    pub(crate) fn mask(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        let mask = self.mask?;
        self.check(&range);
        let bytes = mask_range(&self.matrix, &range);
        // SAFETY: `mask_range` gives whole bytes of the range alone (it checks that the range begins and ends between
        // bytes), inside the length that `scatter` checked; no other call has this tile, and this one borrows it.
        Some(unsafe { std::slice::from_raw_parts_mut(mask.add(bytes.start), bytes.len()) })
    }
}

/// The mask bytes of a range of values inside one segment.
#[inline(always)]
pub(crate) fn mask_range(matrix: &Matrix, range: &Range<usize>) -> Range<usize> {
    let segment = matrix.mask_segment();
    let (index, start) = (range.start / segment, range.start % segment);
    let end = start + range.len();
    assert!(start.is_multiple_of(8) && end <= segment);
    assert!(end.is_multiple_of(8) || end == segment || range.end == matrix.len);
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
            lent: PhantomData,
        };
        work(&tile, &mut memory)
    })
}
