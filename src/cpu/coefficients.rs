//! Per-channel numbers as a step wants them: one for a whole run, or one for every column of a tile.

use std::ops::Range;

use super::matrix::Matrix;
use super::scratch::Scratch;
use super::simd::{LANES, Simd};
use super::tiles::Tile;
use crate::{Compute, Element};

/// The numbers of some columns, which come again after `period` of them, and then a vector more.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a, C, const N: usize> {
    pub period: usize,
    values: [&'a [C]; N],
}

impl<C: Compute, const N: usize> Columns<'_, C, N> {
    /// Those of the sixteen columns from `column` on.
    #[inline(always)]
    pub(crate) fn at<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        column: usize,
    ) -> [T::Vector<S>; N] {
        // Not by `map`: an intrinsic behind its closure is a call.
        let mut numbers = [T::splat(simd, C::default()); N];
        for i in 0..N {
            numbers[i] = match self.values[i][column..].first_chunk::<LANES>() {
                Some(values) => T::load_compute(simd, values),
                None => unreachable!("columns are padded to whole vectors"),
            };
        }
        numbers
    }
}

/// The columns of a tile: often the channels' numbers as they are.
pub(crate) struct TileColumns<'a, C: Compute, const N: usize> {
    period: usize,
    /// Where each of the numbers begins.
    starts: [usize; N],
    values: Values<'a, C>,
}

enum Values<'a, C: Compute> {
    OfChannels(&'a [C]),
    OfColumns(Scratch<C>),
}

impl<C: Compute, const N: usize> TileColumns<'_, C, N> {
    #[inline(always)]
    pub(crate) fn lend<const F: usize>(&self) -> Columns<'_, C, F> {
        const { assert!(F <= N) }
        let padded = self.period + LANES;
        let values = match &self.values {
            Values::OfChannels(values) => values,
            Values::OfColumns(values) => &values[..],
        };
        Columns {
            period: self.period,
            // One length for all, so that one check will do.
            values: std::array::from_fn(|i| {
                let start = self.starts[i];
                &values[start..start + padded]
            }),
        }
    }
}

/// The numbers of one unit, as columns.
#[derive(Clone, Copy)]
pub(crate) struct UnitColumns<C, const N: usize>([[C; 2 * LANES]; N]);

impl<C: Copy + Default, const N: usize> Default for UnitColumns<C, N> {
    fn default() -> Self {
        Self([[C::default(); 2 * LANES]; N])
    }
}

impl<C, const N: usize> UnitColumns<C, N> {
    #[inline(always)]
    pub(crate) fn lend(&self) -> Columns<'_, C, N> {
        Columns {
            period: LANES,
            values: self.0.each_ref().map(|values| &values[..]),
        }
    }
}

/// `N` numbers for each of some channels.
pub(crate) struct Coefficients<C: Compute, const N: usize> {
    channels: Range<usize>,
    /// First numbers, second numbers and so on, each followed by their own beginning, a vector of it.
    values: Scratch<C>,
}

impl<C: Compute, const N: usize> Coefficients<C, N> {
    /// Those of the channels of a range.
    pub(crate) fn new(channels: Range<usize>, of_channel: impl Fn(usize) -> [C; N]) -> Self {
        let padded = channels.len() + LANES;
        let mut values = Scratch::of_len(N * padded);
        for (c, channel) in channels.clone().enumerate() {
            for (i, value) in of_channel(channel).into_iter().enumerate() {
                values[i * padded + c] = value;
            }
        }
        for values in values.chunks_mut(padded) {
            repeat_beginning(values, channels.len());
        }
        Self { channels, values }
    }

    /// Where the `i`-th number of a channel is.
    #[inline(always)]
    fn place(&self, i: usize, channel: usize) -> usize {
        i * (self.channels.len() + LANES) + channel - self.channels.start
    }

    /// The first `F` numbers of a channel.
    #[inline(always)]
    pub(crate) fn of_channel<const F: usize>(&self, channel: usize) -> [C; F] {
        const { assert!(F <= N) }
        let mut numbers = [C::default(); F];
        for i in 0..F {
            numbers[i] = self.values[self.place(i, channel)];
        }
        numbers
    }

    /// The first `F` numbers of some channels.
    #[inline(always)]
    pub(crate) fn of_channels<const F: usize>(&self, channels: Range<usize>) -> [&[C]; F] {
        const { assert!(F <= N) }
        std::array::from_fn(|i| &self.values[self.place(i, channels.start)..][..channels.len()])
    }

    /// The numbers of one unit (whose number is its channel's).
    #[inline(always)]
    pub(crate) fn of_unit(&self, unit: usize) -> UnitColumns<C, N> {
        let mut columns = [[C::default(); 2 * LANES]; N];
        for i in 0..N {
            columns[i] = [self.values[self.place(i, unit)]; 2 * LANES];
        }
        UnitColumns(columns)
    }

    /// The numbers of every column of a tile: the first so many, what stands for the others does not matter.
    #[inline(always)]
    pub(crate) fn of_columns<S: Simd, T: Element<Compute = C>>(
        &self,
        simd: S,
        matrix: &Matrix,
        tile: &Tile,
        needed: usize,
    ) -> TileColumns<'_, C, N> {
        let channels = tile.channels(matrix);
        let len = tile.columns(matrix).len();
        let places = std::array::from_fn(|i| self.place(i, channels.start));
        if matrix.width == 1 && len == channels.len() && len >= LANES {
            return TileColumns {
                period: len,
                starts: places,
                values: Values::OfChannels(&self.values),
            };
        }
        let period = period_of(len);
        let mut columns = Scratch::of_len(needed * (period + LANES));
        for (place, columns) in places[..needed]
            .iter()
            .zip(columns.chunks_mut(period + LANES))
        {
            let values = &self.values[*place..place + channels.len()];
            if matrix.width == 1 {
                for position in columns[..len].chunks_mut(values.len()) {
                    position.copy_from_slice(&values[..position.len()]);
                }
            } else {
                spread_over_units::<S, T>(simd, values, matrix.width, len, columns);
            }
            repeat_beginning(columns, len);
        }
        TileColumns {
            period,
            starts: std::array::from_fn(|i| i % needed * (period + LANES)),
            values: Values::OfColumns(columns),
        }
    }
}

/// Writes each unit's value to the columns it has of the first `len`; what a vector writes beyond them is written over.
#[inline(always)]
fn spread_over_units<S: Simd, T: Element>(
    simd: S,
    values: &[T::Compute],
    width: usize,
    len: usize,
    columns: &mut [T::Compute],
) {
    for (unit, value) in values.iter().enumerate() {
        let vector = T::splat(simd, *value);
        let (mut at, end) = (unit * width, ((unit + 1) * width).min(len));
        while at < end {
            match columns[at..].first_chunk_mut::<LANES>() {
                Some(to) => T::store_compute(simd, vector, to),
                None => unreachable!("columns are padded to whole vectors"),
            }
            at += LANES;
        }
    }
}

/// After how many columns a tile's so many come again: as they are, or if they do not fill a vector, as often as that takes.
fn period_of(columns: usize) -> usize {
    columns * LANES.div_ceil(columns)
}

/// Has values come again after `period` of them, to the end.
fn repeat_beginning<C: Copy>(values: &mut [C], period: usize) {
    for i in period..values.len() {
        values[i] = values[i - period];
    }
}

/// Adds up the columns of each channel, in order, where neighbouring columns are of neighbouring channels.
pub(crate) fn gather_columns(
    matrix: &Matrix,
    tile: &Tile,
    columns: &[f64],
    per_channel: &mut [f64],
) {
    per_channel.fill(0.0);
    for position in columns[..tile.columns(matrix).len()].chunks(per_channel.len()) {
        for (sum, value) in per_channel.iter_mut().zip(position) {
            *sum += value;
        }
    }
}
