//! A table of coefficients per channel, and its part for the planes or columns of a tile.

use std::ops::Range;

use crate::cpu::elementwise::broadcast::CoefficientSlices;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::simd::vector::LANES;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Real;

/// The coefficients of every column of a tile whose planes are one value wide: often the channels' as they are.
pub(crate) struct ColumnCoefficients<'a, C: Real, const N: usize> {
    period: usize,
    /// Where each of the `N` coefficients begins.
    starts: [usize; N],
    values: Values<'a, C>,
}

enum Values<'a, C: Real> {
    OfChannels(&'a [C]),
    OfColumns(Scratch<C>),
}

impl<C: Real, const N: usize> ColumnCoefficients<'_, C, N> {
    /// The first `F` of the coefficients.
    #[inline(always)]
    pub(crate) fn as_slices<const F: usize>(&self) -> CoefficientSlices<'_, C, F> {
        const { assert!(F <= N) }
        let padded = self.period + LANES;
        let values = match &self.values {
            Values::OfChannels(values) => values,
            Values::OfColumns(values) => &values[..],
        };
        CoefficientSlices {
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

/// `N` coefficients for each of some channels.
pub(crate) struct Coefficients<C: Real, const N: usize> {
    channels: Range<usize>,
    /// All first coefficients, all second ones and so on; a vector of their own beginning follows each, so that a vector can be
    /// read wherever a column is.
    values: Scratch<C>,
}

impl<C: Real, const N: usize> Coefficients<C, N> {
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

    /// Whether the `i`-th coefficient of every channel is 1.
    pub(crate) fn are_one(&self, i: usize) -> bool {
        let values = &self.values[self.place(i, self.channels.start)..][..self.channels.len()];
        values.iter().all(|value| value.value() == 1.0)
    }

    /// Where the `i`-th coefficient of a channel is.
    #[inline(always)]
    fn place(&self, i: usize, channel: usize) -> usize {
        i * (self.channels.len() + LANES) + channel - self.channels.start
    }

    /// The first `F` coefficients of the planes of a tile that has planes.
    pub(crate) fn of_planes<const F: usize>(&self, tile: &Tile) -> CoefficientSlices<'_, C, F> {
        const { assert!(F <= N) }
        CoefficientSlices {
            width: tile.within.len(),
            period: tile.planes.len(),
            values: std::array::from_fn(|i| {
                &self.values[self.place(i, tile.planes.start)..][..tile.planes.len()]
            }),
        }
    }

    /// The coefficients of the columns of a tile that has no planes.
    pub(crate) fn of_columns(
        &self,
        view: &MatrixView,
        tile: &Tile,
    ) -> ColumnCoefficients<'_, C, N> {
        let channels = tile.channels(view);
        let len = tile.planes.len();
        let places = std::array::from_fn(|i| self.place(i, channels.start));
        if len == channels.len() && len >= LANES {
            return ColumnCoefficients {
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
        ColumnCoefficients {
            period,
            starts: std::array::from_fn(|i| i * (period + LANES)),
            values: Values::OfColumns(columns),
        }
    }
}

/// The period with which the coefficients of so many columns are laid out: their number, or, where that does not fill a vector,
/// the multiple of it that does.
fn period_of(columns: usize) -> usize {
    columns * LANES.div_ceil(columns)
}

/// Fills what comes after the first `period` values with copies of them.
fn repeat_beginning<C: Copy>(values: &mut [C], period: usize) {
    let mut there = period;
    while there < values.len() {
        let more = there.min(values.len() - there);
        values.copy_within(..more, there);
        there += more;
    }
}
