//! The shift of a channel: the mean of a few values spread over a block, as the vectors can hold it; exact for equal ones.
//!
//! It is off by a fraction of a deviation, so that what is summed is hardly larger than it has to be.

use std::ops::Range;

use super::matrix::Matrix;
use super::run::Run;
use super::simd::{LANES, Simd, Vector};
use super::sums::sum_lanes;
use super::tiles::Tile;
use crate::Element;

/// Values that are looked at, the mean of which is taken.
const MANY: usize = LANES;
const FEW: usize = 4;
/// Where a channel has fewer neighbouring values than this, nearly every one that is looked at is another line of memory to wait
/// for: there it is four, and the mean is that of the middle two, lest one of them is far from all others.
const WIDE: usize = 256;

/// Of the channels of a block that has units.
#[inline(always)]
pub(super) fn shifts_of_units<S: Simd, T: Element>(
    simd: S,
    matrix: &Matrix,
    block: &Tile,
    x: Run<'_, T>,
    shifts: &mut [f64],
) {
    let many = if block.within.len() < WIDE { FEW } else { MANY };
    for (shift, unit) in shifts.iter_mut().zip(block.units.clone()) {
        let mut samples = [T::default(); MANY];
        for i in 0..many {
            samples[i] = x.get(place(matrix, block, i, many) + unit * matrix.width);
        }
        let samples = T::load(simd, &samples).widen().to_array();
        let mean = if many == FEW {
            let [a, b, c, d, ..] = samples;
            let (low, high) = (a.min(b).max(c.min(d)), a.max(b).min(c.max(d)));
            low.midpoint(high)
        } else {
            sum_lanes(samples) / MANY as f64
        };
        *shift = T::Compute::from_f64(mean).to_f64();
    }
}

/// Of all channels, in a block whose neighbouring values are of neighbouring channels.
#[inline(always)]
pub(super) fn shifts_of_columns<S: Simd, T: Element>(
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
