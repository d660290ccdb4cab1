//! Per-channel numbers as a step wants them: one for a whole run, or one for every column of a tile.

use std::borrow::Cow;
use std::ops::Range;

use super::simd::{LANES, Simd};
use super::tiles::{Matrix, Tile};
use crate::{Compute, Element};

/// A per-channel number, at the columns from `at` on.
pub(crate) trait Coefficient<S: Simd, T: Element>: Copy {
    fn load(self, simd: S, at: usize) -> T::Vector<S>;

    /// At `N` times sixteen columns from `at` on.
    #[inline(always)]
    fn load_each<const N: usize>(self, simd: S, at: usize) -> [T::Vector<S>; N] {
        let mut values = [self.load(simd, at); N];
        for i in 1..N {
            values[i] = self.load(simd, at + i * LANES);
        }
        values
    }
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

/// One for each column of a tile, and one vector more: the first columns again.
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

/// The numbers of some columns, which come again after `period` of them.
pub(crate) struct Columns<'a, C, const N: usize> {
    pub period: usize,
    pub values: [PerColumn<'a, C>; N],
}

/// The columns of a tile: often the channels' numbers as they are.
pub(crate) struct TileColumns<'a, C: Clone, const N: usize> {
    period: usize,
    values: [Cow<'a, [C]>; N],
}

impl<C: Clone, const N: usize> TileColumns<'_, C, N> {
    #[inline(always)]
    pub(crate) fn lend(&self) -> Columns<'_, C, N> {
        Columns {
            period: self.period,
            values: self.values.each_ref().map(|values| PerColumn(values)),
        }
    }
}

/// The numbers of one unit, as columns.
pub(crate) struct UnitColumns<C, const N: usize>([[C; 2 * LANES]; N]);

impl<C, const N: usize> UnitColumns<C, N> {
    #[inline(always)]
    pub(crate) fn lend(&self) -> Columns<'_, C, N> {
        Columns {
            period: LANES,
            values: self.0.each_ref().map(|values| PerColumn(values)),
        }
    }
}

/// `N` numbers for each of some channels.
#[derive(Debug)]
pub(crate) struct Coefficients<C, const N: usize> {
    channels: Range<usize>,
    /// Each followed by its own beginning, a vector of it.
    values: [Vec<C>; N],
}

impl<C: Compute, const N: usize> Coefficients<C, N> {
    /// Those of the channels of a range.
    pub(crate) fn new(channels: Range<usize>, of_channel: impl Fn(usize) -> [C; N]) -> Self {
        let mut values = [const { Vec::new() }; N];
        for values in &mut values {
            values.reserve_exact(channels.len() + LANES);
        }
        for channel in channels.clone() {
            for (values, value) in values.iter_mut().zip(of_channel(channel)) {
                values.push(value);
            }
        }
        for values in &mut values {
            repeat_beginning(values, channels.len());
        }
        Self { channels, values }
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
            numbers[i] = Same(T::splat(
                simd,
                self.values[i][channel - self.channels.start],
            ));
        }
        numbers
    }

    /// The numbers of one unit (whose number is its channel's).
    #[inline(always)]
    pub(crate) fn of_unit(&self, unit: usize) -> UnitColumns<C, N> {
        let mut columns = [[C::default(); 2 * LANES]; N];
        for i in 0..N {
            columns[i] = [self.values[i][unit - self.channels.start]; 2 * LANES];
        }
        UnitColumns(columns)
    }

    /// The numbers of every column of a tile.
    pub(crate) fn of_columns(&self, matrix: &Matrix, tile: &Tile) -> TileColumns<'_, C, N> {
        let channels = tile.channels(matrix);
        let place = channels.start - self.channels.start..channels.end - self.channels.start;
        let (len, mut period) = (tile.columns(matrix).len(), 0);
        let values = self.values.each_ref().map(|values| {
            if matrix.width == 1 && len == channels.len() && len >= LANES {
                period = len;
                return Cow::Borrowed(&values[place.start..place.end + LANES]);
            }
            let mut columns = Vec::new();
            let values = &values[place.clone()];
            period = spread_over_columns(matrix, tile, values, |value| value, &mut columns);
            Cow::Owned(columns)
        });
        TileColumns { period, values }
    }
}

/// Gives every column of a tile its channel's value, again and again until there is a vector of them; then once more the
/// first vector. Returns after how many columns they come again.
pub(crate) fn spread_over_columns<A: Copy, C: Copy + Default>(
    matrix: &Matrix,
    tile: &Tile,
    per_channel: &[A],
    convert: impl Fn(A) -> C,
    columns: &mut Vec<C>,
) -> usize {
    let len = tile.columns(matrix).len();
    let width = matrix.width;
    columns.clear();
    columns.resize(len, C::default());
    columns.reserve_exact(2 * LANES);
    for (unit, value) in columns.chunks_mut(width).zip(per_channel.iter().cycle()) {
        unit.fill(convert(*value));
    }
    let period = len * LANES.div_ceil(len);
    repeat_beginning(columns, len);
    while columns.len() < period + LANES {
        repeat_beginning(columns, len);
    }
    period
}

/// Adds a vector to numbers that come again after `period`.
fn repeat_beginning<C: Copy>(values: &mut Vec<C>, period: usize) {
    for _ in 0..LANES {
        values.push(values[values.len() - period]);
    }
}

/// Adds up the columns of each channel, in order.
pub(crate) fn gather_columns(
    matrix: &Matrix,
    tile: &Tile,
    columns: &[f64],
    per_channel: &mut [f64],
) {
    let columns = &columns[..tile.columns(matrix).len()];
    per_channel.fill(0.0);
    if matrix.width == 1 {
        for position in columns.chunks(per_channel.len()) {
            for (sum, value) in per_channel.iter_mut().zip(position) {
                *sum += value;
            }
        }
        return;
    }
    for (unit, sum) in columns.chunks(matrix.width).zip(per_channel) {
        *sum = unit.iter().sum();
    }
}
