//! The shift of a channel: the mean of a few values spread over a block, as the vectors can hold it; exact for equal ones.
//!
//! It is off by a fraction of a deviation, so that what is summed is hardly larger than it has to be.

use std::ops::Range;

use crate::cpu::memory::slice::Run;
use crate::cpu::reduce::terms::sum_lanes;
use crate::cpu::simd::{LANES, Simd, Vector};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::Matrix;
use crate::element::Element;

/// Values that are looked at, the mean of which is taken.
const MANY: usize = LANES;
const FEW: usize = 4;
/// Where a channel has fewer neighbouring values than this, nearly every one that is looked at is another line of memory to wait
/// for: there it is four, and the mean is that of the middle two, lest one of them is far from all others.
const WIDE: usize = 256;

/// Of the channels of a block that has units.
#[inline(always)]
pub(crate) fn shifts_of_units<S: Simd, T: Element>(
    simd: S,
    matrix: &Matrix,
    block: &Tile,
    x: Run<'_, T>,
    shifts: &mut [f64],
) {
    let units = block.units.clone();
    if block.within.len() < WIDE {
        let places: [usize; FEW] = std::array::from_fn(|i| place(matrix, block, i, FEW));
        for (shifts, first) in shifts.chunks_mut(LANES).zip(units.step_by(LANES)) {
            shifts_of_narrow(simd, x, places, first, matrix.width, shifts);
        }
        return;
    }
    for (shift, unit) in shifts.iter_mut().zip(units) {
        let mut samples = [T::default(); MANY];
        for i in 0..MANY {
            samples[i] = x.get(place(matrix, block, i, MANY) + unit * matrix.width);
        }
        let samples = T::load(simd, &samples).widen().to_array();
        *shift = rounded::<T>(sum_lanes(samples) / MANY as f64);
    }
}

/// Of at most sixteen units from the first one on: of each the mean of the middle two of its values at these places.
#[inline(always)]
fn shifts_of_narrow<S: Simd, T: Element>(
    simd: S,
    x: Run<'_, T>,
    places: [usize; FEW],
    first: usize,
    width: usize,
    shifts: &mut [f64],
) {
    let units = shifts.len().min(LANES);
    let mut samples = [[T::default(); LANES]; FEW];
    for i in 0..FEW {
        for u in 0..units {
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
    shifts.copy_from_slice(&middle[..units]);
}

/// As the vectors can hold it.
#[inline(always)]
fn rounded<T: Element>(mean: f64) -> f64 {
    T::Compute::from_f64(mean).to_f64()
}

/// Of all channels, in a block whose neighbouring values are of neighbouring channels.
#[inline(always)]
pub(crate) fn shifts_of_columns<S: Simd, T: Element>(
    simd: S,
    matrix: &Matrix,
    block: &Tile,
    x: Run<'_, T>,
    shifts: &mut [f64],
) {
    let first = block.channels(matrix).start;
    for (shifts, at) in shifts.chunks_mut(LANES).zip((first..).step_by(LANES)) {
        let mut samples = [T::splat(simd, T::Compute::default()); MANY];
        for i in 0..MANY {
            let start = place(matrix, block, i, MANY) + at;
            samples[i] = x
                .part(start..start + shifts.len())
                .read(simd, 0, shifts.len());
        }
        let mut half = MANY / 2;
        while half > 0 {
            for i in 0..half {
                samples[i] = samples[i].add(samples[i + half]);
            }
            half /= 2;
        }
        let share = T::splat(simd, T::Compute::from_f64(1.0 / MANY as f64));
        let mean = samples[0].mul(share).widen().to_array();
        shifts.copy_from_slice(&mean[..shifts.len()]);
    }
}

/// Where the `i`-th of `count` values is, on a diagonal of the block, if it is of unit 0.
#[inline(always)]
fn place(matrix: &Matrix, block: &Tile, i: usize, count: usize) -> usize {
    let part = |of: &Range<usize>| of.start + i * of.len() / count;
    part(&block.rows) * matrix.row_len() + part(&block.within)
}
