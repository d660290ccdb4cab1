//! The pivot of each channel from a few of its values that are kept: as `src/cpu/reduce/pivot.rs` has it, which says why.

use std::ops::Range;

use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::reduce::pivot::{FEW, MANY, Sampled, WIDE, rounded};
use crate::cpu::reduce::terms::sum_lanes;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;

/// Of the channels of a tile, which keeps something.
#[inline(always)]
pub(crate) fn sample_kept<S: Simd, T: SimdElement>(
    simd: S,
    view: &MatrixView,
    tile: &Tile,
    x: RawSlice<'_, T>,
    kept: &KeptOfView<'_, T::Scalar>,
) -> Sampled {
    let channels = tile.channels(view);
    let mut sampled = Sampled::of_len(channels.len());
    let is_narrow = view.neighbours_share_a_channel() && tile.within.len() < WIDE;
    let count = if is_narrow { FEW } else { MANY };
    let mut places = [0; MANY];
    for (i, place) in places[..count].iter_mut().enumerate() {
        *place = kept.near(tile, i, count);
    }
    for first in (0..channels.len()).step_by(LANES) {
        let group = first..channels.len().min(first + LANES);
        let mut samples = [[0.0; LANES]; MANY];
        for i in 0..count {
            let of_group = channels.start + first..channels.start + group.end;
            samples[i] = values_at(simd, view, x, places[i], of_group);
        }
        for c in group {
            let mut of_channel = [0.0; MANY];
            for i in 0..count {
                of_channel[i] = samples[i][c - first];
            }
            let (pivot, spread) = if is_narrow {
                middle::<T>(&of_channel[..FEW])
            } else {
                mean::<T>(of_channel)
            };
            (sampled.pivots[c], sampled.spreads[c]) = (pivot, spread);
        }
    }
    sampled
}

/// The values of at most sixteen channels at a place.
#[inline(always)]
fn values_at<S: Simd, T: SimdElement>(
    simd: S,
    view: &MatrixView,
    x: RawSlice<'_, T>,
    place: usize,
    channels: Range<usize>,
) -> [f64; LANES] {
    let mut values = [0.0; LANES];
    if view.neighbours_share_a_channel() {
        for (value, channel) in values.iter_mut().zip(channels) {
            *value = x.get(place + channel * view.width).value();
        }
        return values;
    }
    let of_channels = x.subslice(place + channels.start..place + channels.end);
    let read = of_channels.read(simd, 0, channels.len()).widen();
    read.to_array()
}

/// Their mean, and how far the farthest is from it.
#[inline(always)]
fn mean<T: SimdElement>(values: [f64; MANY]) -> (f64, f64) {
    let pivot = rounded::<T>(sum_lanes(values) / MANY as f64);
    let mut spread = 0.0f64;
    for value in values {
        spread = spread.max((value - pivot).abs());
    }
    (pivot, spread)
}

/// The mean of the middle two.
#[inline(always)]
fn middle<T: SimdElement>(values: &[f64]) -> (f64, f64) {
    let [a, b, c, d] = [values[0], values[1], values[2], values[3]];
    let low = a.min(b).max(c.min(d));
    let high = a.max(b).min(c.max(d));
    let pivot = rounded::<T>(low.midpoint(high));
    let lowest = a.min(b).min(c.min(d));
    let highest = a.max(b).max(c.max(d));
    (pivot, (highest - pivot).max(pivot - lowest))
}
