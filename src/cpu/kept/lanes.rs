//! Which lanes of a vector are kept, and what they weigh.

use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::numeric::Real;

/// Of the vectors along `A` spans.
#[derive(Clone, Copy)]
pub(crate) struct KeptLanes<'a, C, const A: usize> {
    bits: &'a [u8],
    weights: &'a [C],
    /// Whether neighbouring values are of neighbouring places.
    are_of_planes: bool,
    /// Of each span: with planes the bit of position 0, as seen from where the first span is; with columns the place, as seen from it.
    first: [usize; A],
    /// With planes, as seen so, the weight of position 0.
    first_weight: [usize; A],
    /// Where the first span begins: with planes in its row, with columns in the array.
    start: usize,
    /// Positions of a plane, or channels of a place.
    period: usize,
}

impl<'a, C: Real, const A: usize> KeptLanes<'a, C, A> {
    /// Where neighbouring values are of neighbouring places.
    #[inline(always)]
    pub(crate) fn of_planes(
        bits: &'a [u8],
        weights: &'a [C],
        [first, first_weight]: [[usize; A]; 2],
        start: usize,
        positions: usize,
    ) -> Self {
        Self {
            bits,
            weights,
            are_of_planes: true,
            first,
            first_weight,
            start,
            period: positions,
        }
    }

    /// Where neighbouring values are of the channels of a place.
    #[inline(always)]
    pub(crate) fn of_columns(
        bits: &'a [u8],
        weights: &'a [C],
        first: [usize; A],
        start: usize,
        channels: usize,
    ) -> Self {
        Self {
            bits,
            weights,
            are_of_planes: false,
            first,
            first_weight: first,
            start,
            period: channels,
        }
    }

    /// Of spans of no values.
    pub(crate) fn none() -> Self {
        Self::of_columns(&[], &[], [0; A], 0, 1)
    }

    /// Whether what is kept does not all weigh the same.
    #[inline(always)]
    pub(crate) fn are_weighted(&self) -> bool {
        !self.weights.is_empty()
    }

    /// One bit for each of the `count` values, at most sixteen, from `at` on in each span.
    #[inline(always)]
    pub(crate) fn at(&self, at: usize, count: usize) -> [u16; A] {
        let counted = lane_mask(0, count);
        let (place, within) = divided(self.start + at, self.period);
        let mut lanes = [0; A];
        for i in 0..A {
            lanes[i] = counted
                & if self.are_of_planes {
                    sixteen_bits(self.bits, self.first[i] + within)
                } else {
                    self.of_places(self.first[i] + place, within)
                };
        }
        lanes
    }

    /// Whether any of the sixteen values from `at` on in any span is kept: where none is, what follows is hardly worth fetching ahead.
    #[inline(always)]
    pub(crate) fn any_at(&self, at: usize) -> bool {
        let mut any = 0;
        for lanes in self.at(at, LANES) {
            any |= lanes;
        }
        any != 0
    }

    /// Of lanes that begin so far within the channels of a place.
    #[inline(always)]
    fn of_places(&self, mut place: usize, within: usize) -> u16 {
        let (mut lanes, mut from) = (0, 0);
        let mut to = LANES.min(self.period - within);
        loop {
            let is_kept = self.bits[place / 8] >> (place % 8) & 1 == 1;
            if is_kept {
                lanes |= lane_mask(from, to);
            }
            if to == LANES {
                return lanes;
            }
            place += 1;
            (from, to) = (to, LANES.min(to + self.period));
        }
    }

    /// The weights of the sixteen values from `at` on in each span, of which some may not be kept, or not be there.
    #[inline(always)]
    pub(crate) fn weights<S: Simd, T: SimdElement<Scalar = C>>(
        &self,
        simd: S,
        at: usize,
    ) -> [T::Vector<S>; A] {
        let (place, within) = divided(self.start + at, self.period);
        let mut weights = [T::splat(simd, C::default()); A];
        for i in 0..A {
            weights[i] = if self.are_of_planes {
                match self.weights[self.first_weight[i] + within..].first_chunk::<LANES>() {
                    Some(weights) => T::load_compute(simd, weights),
                    None => unreachable!("weights are padded to whole vectors"),
                }
            } else {
                self.weights_of_places::<S, T>(simd, self.first[i] + place, within)
            };
        }
        weights
    }

    #[inline(always)]
    fn weights_of_places<S: Simd, T: SimdElement<Scalar = C>>(
        &self,
        simd: S,
        mut place: usize,
        within: usize,
    ) -> T::Vector<S> {
        let mut weights = T::splat(simd, self.weights[place]);
        let mut filled = self.period - within;
        while filled < LANES {
            place += 1;
            let next = T::splat(simd, self.weights[place]);
            weights = weights.blend(lane_mask(0, filled), next);
            filled += self.period;
        }
        weights
    }
}

/// How many times a period is in what is before a place, and how far within one the place is. (Of few numbers are so large that it takes
/// the long division.)
#[inline(always)]
fn divided(place: usize, period: usize) -> (usize, usize) {
    if place < period {
        return (0, place);
    }
    match (u32::try_from(place), u32::try_from(period)) {
        (Ok(place), Ok(period)) => ((place / period) as usize, (place % period) as usize),
        _ => (place / period, place % period),
    }
}

/// Sixteen bits from `bit` on.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "sixteen bits are what is wanted"
)]
fn sixteen_bits(bits: &[u8], bit: usize) -> u16 {
    match bits[bit / 8..].first_chunk::<4>() {
        Some(bytes) => (u32::from_le_bytes(*bytes) >> (bit % 8)) as u16,
        None => unreachable!("four bytes can be read wherever a bit is"),
    }
}
