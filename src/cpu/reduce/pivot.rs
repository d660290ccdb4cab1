//! The pivot that a channel's deviations are taken from: the mean of a few values spread over a block, as the vectors can hold
//! it; exact for equal ones.
//!
//! It is off by a fraction of a deviation, so that what is summed is hardly larger than it has to be. The same few values say how
//! large deviations are about: squares that no vector can hold, and that are slow, need not be tried first.

use std::ops::Range;

use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::reduce::terms::sum_lanes;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::{Numeric, Real};

/// Values that are looked at, the mean of which is taken.
pub(crate) const MANY: usize = LANES;
pub(crate) const FEW: usize = 4;
/// Where a channel has fewer neighbouring values than this, nearly every one that is looked at is another line of memory to wait
/// for: there it is four, and the mean is that of the middle two, lest one of them is far from all others.
pub(crate) const WIDE: usize = 256;

/// What a few values of each channel tell of all.
pub(crate) struct Sampled {
    pub(crate) pivots: Scratch<f64>,
    /// The deviation from its pivot that is largest among the values looked at; infinite where there is no need to know it.
    pub(crate) spreads: Scratch<f64>,
}

impl Sampled {
    /// Of so many channels, to be written.
    pub(crate) fn of_len(channels: usize) -> Self {
        Self {
            pivots: Scratch::of_len(channels),
            spreads: Scratch::of_len(channels),
        }
    }

    /// Whether squares of some channel's deviations are so small that they need another scale.
    pub(crate) fn have_small_squares<C: Real>(&self) -> bool {
        self.spreads.iter().any(|&spread| is_small::<C>(spread))
    }
}

/// Whether deviations of about this size have squares that need another scale. (None at all are those of a constant.)
pub(crate) fn is_small<C: Real>(spread: f64) -> bool {
    // Deviations of a hundredth of it are no rarity.
    spread != 0.0 && spread * spread < 1e4 * C::SMALLEST_SURE_SQUARE
}

/// Of the channels of a block that has planes.
#[inline(always)]
pub(crate) fn sample_planes<S: Simd, T: SimdElement>(
    simd: S,
    view: &MatrixView,
    block: &Tile,
    x: RawSlice<'_, T>,
) -> Sampled {
    let planes = block.planes.clone();
    let mut sampled = Sampled::of_len(planes.len());
    let Sampled { pivots, spreads } = &mut sampled;
    if block.within.len() < WIDE {
        let places: [usize; FEW] = std::array::from_fn(|i| place(view, block, i, FEW));
        let channels = pivots.chunks_mut(LANES).zip(spreads.chunks_mut(LANES));
        for ((pivots, spreads), first) in channels.zip(planes.step_by(LANES)) {
            sample_narrow(simd, x, places, first, view.width, pivots, spreads);
        }
        return sampled;
    }
    for ((pivot, spread), plane) in pivots.iter_mut().zip(spreads.iter_mut()).zip(planes) {
        let mut samples = [T::default(); MANY];
        for i in 0..MANY {
            samples[i] = x.get(place(view, block, i, MANY) + plane * view.width);
        }
        let samples = T::load(simd, &samples).widen().to_array();
        *pivot = rounded::<T>(sum_lanes(samples) / MANY as f64);
        *spread = 0.0;
        for sample in samples {
            *spread = spread.max((sample - *pivot).abs());
        }
    }
    sampled
}

/// Of at most sixteen planes from the first one on: of each the mean of the middle two of its values at these places.
#[inline(always)]
fn sample_narrow<S: Simd, T: SimdElement>(
    simd: S,
    x: RawSlice<'_, T>,
    places: [usize; FEW],
    first: usize,
    width: usize,
    pivots: &mut [f64],
    spreads: &mut [f64],
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
    let (mut middle, mut range) = ([0.0; LANES], [0.0; LANES]);
    for u in 0..LANES {
        let low = a[u].min(b[u]).max(c[u].min(d[u]));
        let high = a[u].max(b[u]).min(c[u].max(d[u]));
        middle[u] = rounded::<T>(low.midpoint(high));
        let lowest = a[u].min(b[u]).min(c[u].min(d[u]));
        let highest = a[u].max(b[u]).max(c[u].max(d[u]));
        range[u] = (highest - middle[u]).max(middle[u] - lowest);
    }
    pivots.copy_from_slice(&middle[..planes]);
    spreads.copy_from_slice(&range[..planes]);
}

/// As the vectors can hold it.
#[inline(always)]
pub(crate) fn rounded<T: SimdElement>(mean: f64) -> f64 {
    T::Scalar::nearest(mean).value()
}

/// Of all channels, in a block whose neighbouring values are of neighbouring channels.
#[inline(always)]
pub(crate) fn sample_columns<S: Simd, T: SimdElement>(
    simd: S,
    view: &MatrixView,
    block: &Tile,
    x: RawSlice<'_, T>,
    sampled: &mut Sampled,
) {
    let first = block.channels(view).start;
    let Sampled { pivots, spreads } = sampled;
    let channels = pivots.chunks_mut(LANES).zip(spreads.chunks_mut(LANES));
    for ((pivots, spreads), at) in channels.zip((first..).step_by(LANES)) {
        let mut samples = [T::splat(simd, T::Scalar::default()); MANY];
        for i in 0..MANY {
            let start = place(view, block, i, MANY) + at;
            samples[i] = x
                .subslice(start..start + pivots.len())
                .read(simd, 0, pivots.len());
        }
        let all = samples;
        let mut half = MANY / 2;
        while half > 0 {
            for i in 0..half {
                samples[i] = samples[i].add(samples[i + half]);
            }
            half /= 2;
        }
        let share = T::splat(simd, T::Scalar::nearest(1.0 / MANY as f64));
        let mean = samples[0].mul(share);
        pivots.copy_from_slice(&mean.widen().to_array()[..pivots.len()]);
        // On a scale on which those that are not small become infinite: infinities are as quick as other numbers, subnormal ones are not.
        let enlarges = T::splat(simd, T::Scalar::nearest(T::Scalar::ENLARGES));
        let mut squares = T::splat(simd, T::Scalar::default());
        for i in 0..MANY {
            let enlarged = all[i].sub(mean).mul(enlarges);
            squares = enlarged.mul_add(enlarged, squares);
        }
        let squares = squares.widen().to_array();
        for (spread, square) in spreads.iter_mut().zip(squares) {
            *spread = square.sqrt() / T::Scalar::ENLARGES;
        }
    }
}

/// Where the `i`-th of `count` values is, on a diagonal of the block, if it is of plane 0.
#[inline(always)]
fn place(view: &MatrixView, block: &Tile, i: usize, count: usize) -> usize {
    let part = |of: &Range<usize>| of.start + i * of.len() / count;
    part(&block.rows) * view.row_len() + part(&block.within)
}
