//! The pivot that a channel's deviations are taken from: the mean of a few values spread over a block, as the vectors can hold
//! it; exact for equal ones.
//!
//! It is off by a fraction of a deviation, so that what is summed is hardly larger than it has to be.

use std::ops::Range;

use crate::cpu::memory::slice::RawSlice;
use crate::cpu::reduce::terms::sum_lanes;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Numeric;

/// Values that are looked at, the mean of which is taken.
const MANY: usize = LANES;
const FEW: usize = 4;
/// Where a channel has fewer neighbouring values than this, nearly every one that is looked at is another line of memory to wait
/// for: there it is four, and the mean is that of the middle two, lest one of them is far from all others.
const WIDE: usize = 256;

/// Of the channels of a block that has planes.
#[inline(always)]
pub(crate) fn pivots_of_planes<S: Simd, T: SimdElement>(
    simd: S,
    view: &MatrixView,
    block: &Tile,
    x: RawSlice<'_, T>,
    pivots: &mut [f64],
) {
    let planes = block.planes.clone();
    if block.within.len() < WIDE {
        let places: [usize; FEW] = std::array::from_fn(|i| place(view, block, i, FEW));
        for (pivots, first) in pivots.chunks_mut(LANES).zip(planes.step_by(LANES)) {
            pivots_of_narrow(simd, x, places, first, view.width, pivots);
        }
        return;
    }
    for (pivot, plane) in pivots.iter_mut().zip(planes) {
        let mut samples = [T::default(); MANY];
        for i in 0..MANY {
            samples[i] = x.get(place(view, block, i, MANY) + plane * view.width);
        }
        let samples = T::load(simd, &samples).widen().to_array();
        *pivot = rounded::<T>(sum_lanes(samples) / MANY as f64);
    }
}

/// Of at most sixteen planes from the first one on: of each the mean of the middle two of its values at these places.
#[inline(always)]
fn pivots_of_narrow<S: Simd, T: SimdElement>(
    simd: S,
    x: RawSlice<'_, T>,
    places: [usize; FEW],
    first: usize,
    width: usize,
    pivots: &mut [f64],
) {
    let planes = pivots.len().min(LANES);
    let mut samples = [[T::default(); LANES]; FEW];
    for i in 0..FEW {
        for u in 0..planes {
            samples[i][u] = x.get(places[i] + (first + u) * width);
        }
    }
    let mut widened = [[0.0; LANES]; FEW];
    for i in 0..FEW {
        widened[i] = T::load(simd, &samples[i]).widen().to_array();
    }
    let [a, b, c, d] = widened;
    let mut middle = [0.0; LANES];
    for u in 0..LANES {
        let low = a[u].min(b[u]).max(c[u].min(d[u]));
        let high = a[u].max(b[u]).min(c[u].max(d[u]));
        middle[u] = rounded::<T>(low.midpoint(high));
    }
    pivots.copy_from_slice(&middle[..planes]);
}

/// As the vectors can hold it.
#[inline(always)]
fn rounded<T: SimdElement>(mean: f64) -> f64 {
    T::Scalar::nearest(mean).value()
}

/// Of all channels, in a block whose neighbouring values are of neighbouring channels.
#[inline(always)]
pub(crate) fn pivots_of_columns<S: Simd, T: SimdElement>(
    simd: S,
    view: &MatrixView,
    block: &Tile,
    x: RawSlice<'_, T>,
    pivots: &mut [f64],
) {
    let first = block.channels(view).start;
    for (pivots, at) in pivots.chunks_mut(LANES).zip((first..).step_by(LANES)) {
        let mut samples = [T::splat(simd, T::Scalar::default()); MANY];
        for i in 0..MANY {
            let start = place(view, block, i, MANY) + at;
            samples[i] = x
                .subslice(start..start + pivots.len())
                .read(simd, 0, pivots.len());
        }
        let mut half = MANY / 2;
        while half > 0 {
            for i in 0..half {
                samples[i] = samples[i].add(samples[i + half]);
            }
            half /= 2;
        }
        let share = T::splat(simd, T::Scalar::nearest(1.0 / MANY as f64));
        let mean = samples[0].mul(share).widen().to_array();
        pivots.copy_from_slice(&mean[..pivots.len()]);
    }
}

/// Where the `i`-th of `count` values is, on a diagonal of the block, if it is of plane 0.
#[inline(always)]
fn place(view: &MatrixView, block: &Tile, i: usize, count: usize) -> usize {
    let part = |of: &Range<usize>| of.start + i * of.len() / count;
    part(&block.rows) * view.row_len() + part(&block.within)
}
