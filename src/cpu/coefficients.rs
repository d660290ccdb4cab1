//! Per-channel numbers as a step wants them: one for a whole run, or one for every column of a tile.

use std::ops::Range;

use super::simd::{LANES, Simd};
use super::tiles::{Matrix, Tile};
use crate::{Compute, Element};

/// A per-channel number, at the columns from `at` on.
pub(crate) trait Coefficient<S: Simd, T: Element>: Copy {
    fn load(self, simd: S, at: usize) -> T::Vector<S>;
}

/// The same in every column.
#[derive(Clone, Copy)]
pub(crate) struct Same<V>(pub V);

impl<S: Simd, T: Element> Coefficient<S, T> for Same<T::Vector<S>> {
    #[inline(always)]
    fn load(self, _: S, _: usize) -> T::Vector<S> {
        self.0
    }
}

/// One for each column of a tile, padded to whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct PerColumn<'a, C>(pub &'a [C]);

impl<S: Simd, T: Element> Coefficient<S, T> for PerColumn<'_, T::Compute> {
    #[inline(always)]
    fn load(self, simd: S, at: usize) -> T::Vector<S> {
        match self.0[at..].first_chunk::<LANES>() {
            Some(values) => T::load_compute(simd, values),
            None => unreachable!("columns are padded to whole vectors"),
        }
    }
}

/// `N` numbers for each of some channels.
#[derive(Debug)]
pub(crate) struct Coefficients<C, const N: usize> {
    /// The channel that the values begin with.
    first: usize,
    values: [Vec<C>; N],
}

impl<C: Compute, const N: usize> Coefficients<C, N> {
    /// Those of the channels of a range.
    pub(crate) fn new(channels: Range<usize>, of_channel: impl Fn(usize) -> [C; N]) -> Self {
        let mut values = [const { Vec::new() }; N];
        for values in &mut values {
            values.reserve_exact(channels.len());
        }
        for channel in channels.clone() {
            for (values, value) in values.iter_mut().zip(of_channel(channel)) {
                values.push(value);
            }
        }
        Self {
            first: channels.start,
            values,
        }
    }

    /// The numbers of one channel, in registers.
    #[inline(always)]
    pub(crate) fn of_channel<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        channel: usize,
    ) -> [Same<T::Vector<S>>; N] {
        let mut numbers = [Same(T::splat(simd, C::default())); N];
        for i in 0..N {
            numbers[i] = Same(T::splat(simd, self.values[i][channel - self.first]));
        }
        numbers
    }

    /// The numbers of every column of a tile.
    pub(crate) fn of_columns(&self, matrix: &Matrix, tile: &Tile) -> [Vec<C>; N] {
        let channels = tile.channels(matrix);
        let mut columns = [const { Vec::new() }; N];
        for (values, columns) in self.values.iter().zip(&mut columns) {
            let values = &values[channels.start - self.first..channels.end - self.first];
            spread_over_columns(matrix, tile, values, |value| value, columns);
        }
        columns
    }
}

/// Gives every column of a tile its channel's value, and zero to the padding.
pub(crate) fn spread_over_columns<A: Copy, C: Copy + Default>(
    matrix: &Matrix,
    tile: &Tile,
    per_channel: &[A],
    convert: impl Fn(A) -> C,
    columns: &mut Vec<C>,
) {
    let len = tile.columns(matrix).len();
    columns.clear();
    // One vector more than there is: a run may be entered between vectors.
    columns.resize(len.next_multiple_of(LANES) + LANES, C::default());
    let width = matrix.width;
    for (unit, value) in columns[..len]
        .chunks_mut(width)
        .zip(per_channel.iter().cycle())
    {
        unit.fill(convert(*value));
    }
}

/// Adds up the columns of each channel, in order.
pub(crate) fn gather_columns(
    matrix: &Matrix,
    tile: &Tile,
    columns: &[f64],
    per_channel: &mut [f64],
) {
    per_channel.fill(0.0);
    let channels = per_channel.len();
    let units = columns[..tile.columns(matrix).len()].chunks(matrix.width);
    for (i, unit) in units.enumerate() {
        let mut sums = [0.0; 4];
        for (j, value) in unit.iter().enumerate() {
            sums[j % 4] += value;
        }
        per_channel[i % channels] += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
}
