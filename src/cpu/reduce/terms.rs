//! The reduction that is behind both statistics and gradients: Σa and Σa·b of each channel, read once.
//!
//! Chains of `f32` additions are short ([`CHAIN`] values of a column, twice as many of a plane) and end in `f64`, so that the
//! error of a sum does not grow with the number of values.
//!
//! A product that is a subnormal number takes some processors ten times as long as another. Squares, of which any may be as small,
//! are added up above a floor: the smallest normal number, which beside those of ordinary size decides a tie at most. A chain begins
//! with it, every product that is rounded by itself has it, and in the end it is taken out as often.

use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::span::{STREAMS, Span};
use crate::numeric::{Numeric, Real};

/// Values that one lane of a sum adds up before it is flushed into `f64`.
pub(crate) const CHAIN: usize = 32;

/// The terms a and b of `A` vectors.
pub(crate) type TermsOf<S, T, const A: usize> = (
    [<T as SimdElement>::Vector<S>; A],
    [<T as SimdElement>::Vector<S>; A],
);

/// The two terms of every value of a tile, which take `N` coefficients per channel.
pub(crate) trait Terms<S: Simd, T: SimdElement, const N: usize> {
    /// Whether spans are gone through four at a time, where a level does so: faster, and code for it.
    const FOUR_STREAMS: bool = S::FOUR_STREAMS;
    /// Whether a·b are squares, or what those weigh: none is negative.
    const ARE_SQUARES: bool;
    /// What is read of `A` spans side by side.
    type Streams<const A: usize>: Copy;
    /// What is needed of neighbouring rows.
    type Rows: Copy;
    /// The memory of spans of equal length.
    fn streams<const A: usize>(&self, spans: [Span; A]) -> Self::Streams<A>;
    /// Spans of no values.
    fn no_streams<const A: usize>(&self) -> Self::Streams<A>;
    /// The memory of a span and of the same columns of the rows that follow, `count` rows in all.
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows;
    /// The spans of the `A` rows from `row` on that are `step` rows apart.
    fn row_streams<const A: usize>(
        &self,
        rows: Self::Rows,
        row: usize,
        step: usize,
    ) -> Self::Streams<A>;
    /// Prefetches what comes `distance` values after `at`.
    fn prefetch<const A: usize>(
        &self,
        simd: S,
        streams: Self::Streams<A>,
        at: usize,
        distance: usize,
    );
    /// a and b of the `count` values, at most sixteen, from `at` on in each span. The other lanes of both are zero.
    fn terms<const A: usize>(
        &self,
        simd: S,
        streams: Self::Streams<A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A>;
}

/// The sums that a chain begins with.
#[inline(always)]
pub(crate) fn no_sums<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize>(
    simd: S,
) -> [T::Vector<S>; 2] {
    [
        T::splat(simd, T::Scalar::default()),
        floors::<S, T, R, N>(simd, 1),
    ]
}

/// Adds the terms of `A` vectors to two sums.
#[cfg_attr(not(unoptimized), inline(always))]
pub(crate) fn add_terms<
    S: Simd,
    T: SimdElement,
    R: Terms<S, T, N>,
    const N: usize,
    const A: usize,
>(
    simd: S,
    (a, b): TermsOf<S, T, A>,
    [mut sum, mut sum_of_products]: [T::Vector<S>; 2],
) -> [T::Vector<S>; 2] {
    if A == STREAMS {
        // As a tree: an addition takes long to follow another.
        let terms = a[0].add(a[1]).add(a[2].add(a[3]));
        let (mut first, mut third) = (a[0], a[2]);
        if R::ARE_SQUARES {
            let floor = floors::<S, T, R, N>(simd, 1);
            first = first.mul_add(b[0], floor);
            third = third.mul_add(b[2], floor);
        } else {
            first = first.mul(b[0]);
            third = third.mul(b[2]);
        }
        let halves = [a[1].mul_add(b[1], first), a[3].mul_add(b[3], third)];
        return [
            sum.add(terms),
            sum_of_products.add(halves[0].add(halves[1])),
        ];
    }
    for i in 0..A {
        sum = sum.add(a[i]);
        sum_of_products = a[i].mul_add(b[i], sum_of_products);
    }
    [sum, sum_of_products]
}

/// The sums of a chain of one addition where they are to have some lanes of it alone: `fours` is one if four vectors were added.
#[inline(always)]
pub(crate) fn lanes_of_sums<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize>(
    simd: S,
    bits: u16,
    fours: usize,
    [sum, sum_of_products]: [T::Vector<S>; 2],
) -> [T::Vector<S>; 2] {
    let below = floors::<S, T, R, N>(simd, 2 * fours);
    [sum.mask_and(bits), sum_of_products.blend(bits, below)]
}

/// The sums of a chain to which the terms of four vectors at a time were added so many times, without the floors below them.
#[inline(always)]
pub(crate) fn end_of_chain<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize>(
    simd: S,
    fours: usize,
    [sum, sum_of_products]: [T::Vector<S>; 2],
) -> [S::F64; 2] {
    let (sum, sum_of_products) = (sum.widen(), sum_of_products.widen());
    if !R::ARE_SQUARES {
        return [sum, sum_of_products];
    }
    let below = (1 + 2 * fours) as f64 * T::Scalar::SMALLEST_NORMAL;
    [sum, sum_of_products.sub(simd.splat_f64(below))]
}

/// So many floors; nothing below what are not squares.
#[inline(always)]
fn floors<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize>(
    simd: S,
    count: usize,
) -> T::Vector<S> {
    let floor = if R::ARE_SQUARES {
        T::Scalar::SMALLEST_NORMAL
    } else {
        0.0
    };
    T::splat(simd, T::Scalar::nearest(count as f64 * floor))
}

/// The sum of sixteen values, as a tree: exact for sixteen equal ones.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}
