//! Which lanes of a vector are kept, and what they weigh.

use crate::cpu::kept::period::Period;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::numeric::Real;

/// Of the vectors along `A` spans.
#[derive(Clone, Copy)]
pub(crate) struct KeptLanes<'a, C, const A: usize> {
    bits: PeriodicBits<'a>,
    /// The bit of each span's first value, if it were at the beginning of a period.
    first: [usize; A],
    weights: &'a [C],
    /// Of each span: with planes, as the bits have it, the weight; with columns where it begins.
    first_weight: [usize; A],
    /// With columns, the channels of a place.
    channels: Option<Period>,
}

/// One bit for each value, which begin anew.
#[derive(Clone, Copy)]
pub(crate) struct PeriodicBits<'a> {
    bits: &'a [u8],
    period: Period,
    /// How far within a period the first value of a span is.
    start: usize,
}

impl<'a> PeriodicBits<'a> {
    /// That begin anew after so many values, of a span that begins so many after where they do.
    #[inline(always)]
    pub(crate) fn new(bits: &'a [u8], period: Period, start: usize) -> Self {
        let start = period.within(start);
        Self {
            bits,
            period,
            start,
        }
    }

    /// That are all set.
    #[inline(always)]
    pub(crate) fn set() -> Self {
        Self::new(&[u8::MAX; 4], Period::of(1), 0)
    }
}

impl<'a, C: Real, const A: usize> KeptLanes<'a, C, A> {
    /// Where neighbouring values are of neighbouring places.
    #[inline(always)]
    pub(crate) fn of_planes(
        bits: PeriodicBits<'a>,
        first: [usize; A],
        weights: &'a [C],
        first_weight: [usize; A],
    ) -> Self {
        Self {
            bits,
            first,
            weights,
            first_weight,
            channels: None,
        }
    }

    /// Where neighbouring values are of the channels of a place. The spans begin at these values.
    #[inline(always)]
    pub(crate) fn of_columns(
        bits: PeriodicBits<'a>,
        first: [usize; A],
        weights: &'a [C],
        starts: [usize; A],
        channels: Period,
    ) -> Self {
        Self {
            bits,
            first,
            weights,
            first_weight: starts,
            channels: Some(channels),
        }
    }

    /// Of spans of no values.
    pub(crate) fn none() -> Self {
        Self::of_planes(PeriodicBits::set(), [0; A], &[], [0; A])
    }

    /// Whether what is kept does not all weigh the same.
    #[inline(always)]
    pub(crate) fn are_weighted(&self) -> bool {
        !self.weights.is_empty()
    }

    /// One bit for each of the `count` values, at most sixteen, from `at` on in each span.
    #[inline(always)]
    pub(crate) fn at(&self, at: usize, count: usize) -> [u16; A] {
        let within = self.bits.period.within(self.bits.start + at);
        let mut lanes = [lane_mask(0, count); A];
        for i in 0..A {
            lanes[i] &= sixteen_bits(self.bits.bits, self.first[i] + within);
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

    /// The weights of the sixteen values from `at` on in each span, of which some may not be kept, or not be there.
    #[inline(always)]
    pub(crate) fn weights<S: Simd, T: SimdElement<Scalar = C>>(
        &self,
        simd: S,
        at: usize,
    ) -> [T::Vector<S>; A] {
        let mut weights = [T::splat(simd, C::default()); A];
        let within = self.bits.period.within(self.bits.start + at);
        for i in 0..A {
            weights[i] = if let Some(channels) = self.channels {
                self.weights_of_places::<S, T>(simd, channels, self.first_weight[i] + at)
            } else {
                match self.weights[self.first_weight[i] + within..].first_chunk::<LANES>() {
                    Some(weights) => T::load_compute(simd, weights),
                    None => unreachable!("weights are padded to whole vectors"),
                }
            };
        }
        weights
    }

    #[inline(always)]
    fn weights_of_places<S: Simd, T: SimdElement<Scalar = C>>(
        &self,
        simd: S,
        channels: Period,
        first: usize,
    ) -> T::Vector<S> {
        let (mut place, within) = channels.divide(first);
        let mut weights = T::splat(simd, self.weights[place]);
        let mut filled = channels.len() - within;
        while filled < LANES {
            place += 1;
            let next = T::splat(simd, self.weights[place]);
            weights = weights.blend(lane_mask(0, filled), next);
            filled += channels.len();
        }
        weights
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
