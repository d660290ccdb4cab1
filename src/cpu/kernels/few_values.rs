//! Mean and variance of each channel of a tile that has few values of each, in `f64`.
//!
//! What rounding x − pivot to the vectors' type costs the mean averages out over many values, not over a few. dγ shows it: where
//! dv is zero but for a value near the mean, dγ = dv·(x − mean)·inv_std has no digits but those of x − mean.

use crate::cpu::kernels::statistics::TileMoments;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::moments::Moments;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::double_double::sum_and_error;

/// The most values of a channel that are few: with so many, what is done once for each channel takes longer than reading them.
pub(crate) const FEW: usize = 32;

/// Of each channel, about its first value.
struct SumsOfFew {
    pivot: Scratch<f64>,
    sum: Scratch<f64>,
    /// What rounding took from the sum. (Zero, where values are narrower than `f64`: nothing that they would show.)
    error: Scratch<f64>,
    sum_of_squares: Scratch<f64>,
}

impl<T: SimdElement> TileMoments<'_, T> {
    /// Whether the tile has few values of each channel.
    pub(crate) fn are_of_few(&self) -> bool {
        self.tile.values_per_channel(self.view) <= FEW
    }

    /// The moments of every channel, in `f64`.
    #[inline(always)]
    pub(crate) fn of_few<S: Simd>(&self, simd: S) -> Moments {
        let channels = self.tile.channels(self.view).len();
        let of_channels = || Scratch::zeros(channels);
        let mut sums = SumsOfFew {
            pivot: of_channels(),
            sum: of_channels(),
            error: of_channels(),
            sum_of_squares: of_channels(),
        };
        if self.view.neighbours_share_a_channel() {
            self.add_planes(simd, &mut sums);
        } else {
            self.add_columns(simd, &mut sums);
        }
        let count = self.tile.values_per_channel(self.view) as f64;
        let mut moments = Moments::none(channels);
        moments.add_about_pivot::<f64>(count, &sums.pivot, &sums.sum, &sums.sum_of_squares);
        for c in 0..channels {
            let drift = sums.sum[c] / count;
            let of_division = (-drift).mul_add(count, sums.sum[c]);
            let low = (of_division + sums.error[c]) / count;
            if low.is_finite() {
                moments.mean_low[c] += low;
            }
        }
        if size_of::<T::Scalar>() < size_of::<f64>() {
            moments.trust_finite();
        }
        moments
    }

    /// Sixteen values at most of a plane at a time, one after the other.
    #[inline(always)]
    fn add_planes<S: Simd>(&self, simd: S, sums: &mut SumsOfFew) {
        let (view, tile) = (self.view, self.tile);
        for (c, plane) in tile.planes.clone().enumerate() {
            let first = tile.plane_span(view, tile.rows.start, plane).start;
            let pivot = finite_or_zero(self.read(simd, first, 1)[0]);
            let (mut sum, mut error, mut sum_of_squares) = (0.0, 0.0, 0.0);
            for row in tile.rows.clone() {
                let span = tile.plane_span(view, row, plane);
                let mut at = span.start;
                while at < span.end {
                    let count = LANES.min(span.end - at);
                    let values = self.read(simd, at, count);
                    for value in &values[..count] {
                        let difference = value - pivot;
                        if size_of::<T::Scalar>() < size_of::<f64>() {
                            sum_of_squares += difference * difference;
                            sum += difference;
                        } else {
                            let with_square = unless_square_is_subnormal(difference);
                            sum_of_squares += with_square * with_square;
                            let of_difference = sum_and_error(*value, -pivot).1;
                            let of_sum;
                            (sum, of_sum) = sum_and_error(sum, difference);
                            error += of_difference + of_sum;
                        }
                    }
                    at += count;
                }
            }
            sums.pivot[c] = pivot;
            sums.sum[c] = sum;
            sums.error[c] = error;
            sums.sum_of_squares[c] = sum_of_squares;
        }
    }

    /// Sixteen channels at a time.
    #[inline(always)]
    fn add_columns<S: Simd>(&self, simd: S, sums: &mut SumsOfFew) {
        let (view, tile) = (self.view, self.tile);
        let channels = tile.channels(view).len();
        let start = tile.span(view, tile.rows.start).start;
        let positions = tile.values_per_channel(view);
        for c in (0..channels).step_by(LANES) {
            let count = LANES.min(channels - c);
            let mut pivots = self.read(simd, start + c, count);
            for lane in 0..LANES {
                pivots[lane] = finite_or_zero(pivots[lane]);
            }
            let pivot = simd.load_f64(&pivots);
            let zero = simd.splat_f64(0.0);
            // No sum that is begun with the smallest normal number is a subnormal one; what it begins with is taken out again.
            let floor = simd.splat_f64(f64::MIN_POSITIVE);
            let (mut sum, mut error, mut sum_of_squares) = (zero, zero, floor);
            for position in 0..positions {
                let at = start + position * view.channels + c;
                let value = self.x.subslice(at..at + count).read(simd, 0, count).widen();
                let difference = value.sub(pivot);
                sum_of_squares = difference.mul_add(difference, sum_of_squares);
                if size_of::<T::Scalar>() < size_of::<f64>() {
                    sum = sum.add(difference);
                } else {
                    let of_difference = error_of_sum(difference, value, zero.sub(pivot));
                    let new = sum.add(difference);
                    let of_sum = error_of_sum(new, sum, difference);
                    (sum, error) = (new, error.add(of_difference.add(of_sum)));
                }
            }
            sums.pivot[c..c + count].copy_from_slice(&pivots[..count]);
            sums.sum[c..c + count].copy_from_slice(&sum.to_array()[..count]);
            sums.error[c..c + count].copy_from_slice(&error.to_array()[..count]);
            let sum_of_squares = sum_of_squares.sub(floor).to_array();
            sums.sum_of_squares[c..c + count].copy_from_slice(&sum_of_squares[..count]);
        }
    }

    /// `count` values, at most sixteen, then zeros.
    #[inline(always)]
    fn read<S: Simd>(&self, simd: S, at: usize, count: usize) -> [f64; LANES] {
        let values = self.x.subslice(at..at + count);
        values.read(simd, 0, count).widen().to_array()
    }
}

/// A number, or where its square would be a subnormal number, which processors may be slow with, one of which it is not: a sum of such
/// squares is doubtful either way.
#[inline(always)]
pub(crate) fn unless_square_is_subnormal(value: f64) -> f64 {
    const SMALLEST: f64 = f64::from_bits((1023 - 511) << 52);
    if value != 0.0 && value.abs() < SMALLEST {
        SMALLEST
    } else {
        value
    }
}

/// A value to subtract, which must not make infinities of everything.
#[inline(always)]
pub(crate) fn finite_or_zero(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// What rounding took from the sum of two vectors (Knuth).
#[inline(always)]
fn error_of_sum<V: Vector>(sum: V, a: V, b: V) -> V {
    let of_b = sum.sub(a);
    a.sub(sum.sub(of_b)).add(b.sub(of_b))
}
