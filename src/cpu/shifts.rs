//! The shift of a channel: the mean of a few values spread over a block, as the vectors can hold it; exact for equal ones.
//!
//! The mean of n of them is off by a deviation over √n, so that deviations from it are no larger than they have to be.

use std::ops::Range;

use super::matrix::Matrix;
use super::runs::Run;
use super::simd::{LANES, Simd, Vector};
use super::sums::sum_lanes;
use super::tiles::Tile;
use crate::Element;

/// Values that are looked at where a channel has many neighbouring ones;
const MANY: usize = LANES;
/// and where it has fewer than [`WIDE`]: nearly every one is another line of memory to wait for.
const FEW: usize = 4;
const WIDE: usize = 256;

/// Of the channels of a block that has units.
#[inline(always)]
pub(super) fn shifts_of_units<T: Element>(
    matrix: &Matrix,
    block: &Tile,
    x: Run<'_, T>,
    shifts: &mut [f64],
) {
    let count = if block.within.len() < WIDE { FEW } else { MANY };
    for (shift, unit) in shifts.iter_mut().zip(block.units.clone()) {
        let mut samples = [0.0; LANES];
        for (i, sample) in samples[..count].iter_mut().enumerate() {
            let place = place(matrix, block, i, count) + unit * matrix.width;
            *sample = x.get(place).to_f64();
        }
        let mean = sum_lanes(samples) / count as f64;
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
