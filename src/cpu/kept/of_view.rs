//! What of a view's values is kept. All channels of a place are, or none.

use std::ops::Range;

use crate::backend::kept::{Kept, bytes_of_sample};
use crate::cpu::kept::lanes::{KeptLanes, PeriodicBits};
use crate::cpu::kept::period::Period;
use crate::cpu::kept::value_bits::value_bits;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::simd::vector::LANES;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::error::Result;
use crate::numeric::Real;

/// What of a view is kept, with the weights as the kernels compute with them: on the scale of [`Kept::weights_and_scale`], which all
/// sums of weights here are on.
#[derive(Debug)]
pub struct KeptOfView<'a, C: Real> {
    view: MatrixView,
    kept: &'a Kept,
    /// One for each value, where neighbours are of different channels and not all are kept.
    value_bits: Option<Scratch<u8>>,
    /// Where a vector finds those of its lanes; none where all that are kept weigh one.
    weights: Option<Scratch<C>>,
    /// Positions of a plane, or channels of a place.
    period: Period,
}

impl<'a, C: Real> KeptOfView<'a, C> {
    /// For passes that weigh what is kept.
    pub(crate) fn of(view: &MatrixView, kept: &'a Kept) -> Self {
        let weights = kept.weights_and_scale().map(|(values, scale)| {
            let scaled = |value: &f64| C::nearest(value * scale);
            if view.neighbours_share_a_channel() {
                of_samples(values, view.width, scaled)
            } else {
                let mut weights = Scratch::zeros(values.len() + LANES);
                for (weight, value) in weights.iter_mut().zip(values) {
                    *weight = scaled(value);
                }
                weights
            }
        });
        Self {
            weights,
            ..Self::unweighted(view, kept)
        }
    }

    /// For passes that ask only what is kept.
    pub(crate) fn unweighted(view: &MatrixView, kept: &'a Kept) -> Self {
        let (of_planes, is_all) = (view.neighbours_share_a_channel(), kept.is_all());
        Self {
            view: *view,
            kept,
            value_bits: (!of_planes && !is_all).then(|| value_bits(kept, view.channels)),
            weights: None,
            period: Period::of(if of_planes { view.width } else { view.channels }),
        }
    }

    /// What to keep of a view so that it is all.
    pub(crate) fn all_of(view: &MatrixView) -> Result<Kept> {
        if view.neighbours_share_a_channel() {
            Kept::all(view.rows, view.width)
        } else {
            Kept::all(view.len / view.channels, 1)
        }
    }

    /// What is seen.
    pub(crate) fn view(&self) -> &MatrixView {
        &self.view
    }

    /// W.
    pub(crate) fn weight(&self) -> f64 {
        let places = self.kept.samples() * self.kept.positions();
        self.kept.scaled_weight_of(0..places)
    }

    /// How many places of a tile are kept.
    pub(crate) fn count_of(&self, tile: &Tile) -> usize {
        if tile.rows.len() == self.view.rows && tile.within.len() == self.view.width {
            return self.kept.count();
        }
        let mut count = 0;
        self.each_run(tile, |places, _| count += self.kept.count_of(places));
        count
    }

    /// What the places of a tile weigh.
    pub(crate) fn weight_of(&self, tile: &Tile) -> f64 {
        if self.kept.weights_and_scale().is_none() {
            return self.count_of(tile) as f64;
        }
        let mut weight = 0.0;
        self.each_run(tile, |places, _| {
            weight += self.kept.scaled_weight_of(places);
        });
        weight
    }

    /// Every place of a tile that is kept: where its value of channel 0 is, and what it weighs.
    pub(crate) fn each_of(&self, tile: &Tile, mut of_place: impl FnMut(usize, f64)) {
        let (weights, step) = (self.kept.weights_and_scale(), self.step());
        self.each_run(tile, |places, first| {
            let mut at = places.start;
            while let Some(place) = self.kept.first_of(at..places.end) {
                let weight = weights.map_or(1.0, |(values, scale)| values[place] * scale);
                of_place(first + (place - places.start) * step, weight);
                at = place + 1;
            }
        });
    }

    /// Where a place that is kept has its value of channel 0: the first from the `i`-th of `count` places on a diagonal of a tile on, which
    /// must keep something.
    pub(crate) fn near(&self, tile: &Tile, i: usize, count: usize) -> usize {
        let part = |of: &Range<usize>| of.start + i * of.len() / count;
        if !self.view.neighbours_share_a_channel() {
            let places = self.places(tile);
            let after = self.kept.first_of(part(&places)..places.end);
            let place = after.or_else(|| self.kept.first_of(places));
            return place.unwrap_or_default() * self.view.channels;
        }
        let row = part(&tile.rows);
        let after = self.first_of_row(row, part(&tile.within)..tile.within.end);
        let mut rows = (row + 1..tile.rows.end).chain(tile.rows.start..=row);
        let found =
            after.or_else(|| rows.find_map(|row| self.first_of_row(row, tile.within.clone())));
        found.unwrap_or_default()
    }

    /// Where the first of these positions of a sample that is kept has its value of channel 0.
    fn first_of_row(&self, row: usize, positions: Range<usize>) -> Option<usize> {
        let first = row * self.view.width;
        let places = first + positions.start..first + positions.end;
        let place = self.kept.first_of(places)?;
        Some(row * self.view.row_len() + place - first)
    }

    /// The places of a tile of columns.
    fn places(&self, tile: &Tile) -> Range<usize> {
        let in_row = self.view.planes / self.view.channels;
        let all = self.view.len / self.view.channels;
        tile.rows.start * in_row..(tile.rows.end * in_row).min(all)
    }

    /// From a place's value of a channel to the next place's.
    fn step(&self) -> usize {
        if self.view.neighbours_share_a_channel() {
            1
        } else {
            self.view.channels
        }
    }

    /// The places of a tile in runs that follow one another, and where in memory the first of each has its value of channel 0.
    fn each_run(&self, tile: &Tile, mut of_run: impl FnMut(Range<usize>, usize)) {
        let view = &self.view;
        if view.neighbours_share_a_channel() {
            for row in tile.rows.clone() {
                let first = row * view.width + tile.within.start;
                let places = first..row * view.width + tile.within.end;
                of_run(places, row * view.row_len() + tile.within.start);
            }
            return;
        }
        let places = self.places(tile);
        let first = places.start * view.channels;
        of_run(places, first);
    }

    /// Which lanes of the vectors along some spans are kept.
    #[inline(always)]
    pub(crate) fn lanes<const A: usize>(&self, spans: [Span; A]) -> KeptLanes<'_, C, A> {
        let (view, start) = (&self.view, spans[0].start);
        let weights = self.weights.as_deref().unwrap_or_default();
        let mut first = [0; A];
        if view.neighbours_share_a_channel() {
            let bits = 8 * bytes_of_sample(view.width);
            let mut first_weight = [0; A];
            let in_row = start - spans[0].row * view.row_len();
            for i in 0..A {
                let row = spans[i].row;
                // Four parts of one plane, or the same planes of four rows.
                let moved = spans[i].start - row * view.row_len() - in_row;
                first[i] = row * bits + moved;
                first_weight[i] = row * (view.width + LANES) + moved;
            }
            if self.kept.is_all() && weights.is_empty() {
                return KeptLanes::of_planes(PeriodicBits::set(), [0; A], weights, first_weight);
            }
            let bits = PeriodicBits::new(self.kept.sample_bits(), self.period, in_row);
            return KeptLanes::of_planes(bits, first, weights, first_weight);
        }
        let mut starts = [0; A];
        for i in 0..A {
            starts[i] = spans[i].start;
        }
        let (bits, first) = match &self.value_bits {
            Some(bits) => (PeriodicBits::new(bits, Period::of(usize::MAX), 0), starts),
            None => (PeriodicBits::set(), [0; A]),
        };
        KeptLanes::of_columns(bits, first, weights, starts, self.period)
    }
}

/// The weights of each sample, which are repeated for a vector after the last.
fn of_samples<C: Real>(values: &[f64], positions: usize, scaled: impl Fn(&f64) -> C) -> Scratch<C> {
    let (samples, padded) = (values.len() / positions, positions + LANES);
    let mut weights = Scratch::of_len(samples * padded);
    for (weights, values) in weights.chunks_mut(padded).zip(values.chunks(positions)) {
        for (weight, value) in weights.iter_mut().zip(values) {
            *weight = scaled(value);
        }
        for i in positions..padded {
            weights[i] = weights[i - positions];
        }
    }
    weights
}
