//! Per-channel numbers, and those of the units or columns of a tile.

use std::ops::Range;

use crate::cpu::elementwise::broadcast::Numbers;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::simd::LANES;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::Matrix;
use crate::element::Compute;

/// The numbers of every column of a tile whose units are one value wide: often the channels' as they are.
pub(crate) struct ColumnNumbers<'a, C: Compute, const N: usize> {
    period: usize,
    /// Where each of the numbers begins.
    starts: [usize; N],
    values: Values<'a, C>,
}

enum Values<'a, C: Compute> {
    OfChannels(&'a [C]),
    OfColumns(Scratch<C>),
}

impl<C: Compute, const N: usize> ColumnNumbers<'_, C, N> {
    /// The first `F` of the numbers.
    #[inline(always)]
    pub(crate) fn lend<const F: usize>(&self) -> Numbers<'_, C, F> {
        const { assert!(F <= N) }
        let padded = self.period + LANES;
        let values = match &self.values {
            Values::OfChannels(values) => values,
            Values::OfColumns(values) => &values[..],
        };
        Numbers {
            width: 1,
            period: self.period,
            // One length for all, so that one check will do.
            values: std::array::from_fn(|i| {
                let start = self.starts[i];
                &values[start..start + padded]
            }),
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

    /// The first `F` numbers of the units of a tile that has units.
    pub(crate) fn of_units<const F: usize>(&self, tile: &Tile) -> Numbers<'_, C, F> {
        const { assert!(F <= N) }
        Numbers {
            width: tile.within.len(),
            period: tile.units.len(),
            values: std::array::from_fn(|i| {
                &self.values[self.place(i, tile.units.start)..][..tile.units.len()]
            }),
        }
    }

    /// The numbers of the columns of a tile that has no units.
    pub(crate) fn of_columns(&self, matrix: &Matrix, tile: &Tile) -> ColumnNumbers<'_, C, N> {
        let channels = tile.channels(matrix);
        let len = tile.units.len();
        let places = std::array::from_fn(|i| self.place(i, channels.start));
        if len == channels.len() && len >= LANES {
            return ColumnNumbers {
                period: len,
                starts: places,
                values: Values::OfChannels(&self.values),
            };
        }
        let period = period_of(len);
        let mut columns = Scratch::of_len(N * (period + LANES));
        for (place, columns) in places.iter().zip(columns.chunks_mut(period + LANES)) {
            let values = &self.values[*place..place + channels.len()];
            for position in columns[..len].chunks_mut(values.len()) {
                position.copy_from_slice(&values[..position.len()]);
            }
            repeat_beginning(columns, len);
        }
        ColumnNumbers {
            period,
            starts: std::array::from_fn(|i| i * (period + LANES)),
            values: Values::OfColumns(columns),
        }
    }
}

/// After how many columns a tile's so many come again: as they are, or if they do not fill a vector, as often as that takes.
fn period_of(columns: usize) -> usize {
    columns * LANES.div_ceil(columns)
}

/// Has values come again after `period` of them, to the end. (What is there is repeated whole.)
fn repeat_beginning<C: Copy>(values: &mut [C], period: usize) {
    let mut there = period;
    while there < values.len() {
        let more = there.min(values.len() - there);
        values.copy_within(..more, there);
        there += more;
    }
}
