//! The reduction that is behind both statistics and gradients: Σa and Σa·b of each channel, read once.
//!
//! Chains of `f32` additions are short ([`CHAIN`] values of a column, twice as many of a plane) and end in `f64`, so that the
//! error of a sum does not grow with the number of values.

use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::span::{STREAMS, Span};

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

/// Adds the terms of `A` vectors to two sums.
#[cfg_attr(not(unoptimized), inline(always))]
pub(crate) fn add_terms<S: Simd, T: SimdElement, const A: usize>(
    (a, b): TermsOf<S, T, A>,
    [mut sum, mut sum_of_products]: [T::Vector<S>; 2],
) -> [T::Vector<S>; 2] {
    if A == STREAMS {
        // As a tree: an addition takes long to follow another.
        let terms = a[0].add(a[1]).add(a[2].add(a[3]));
        let halves = [
            a[1].mul_add(b[1], a[0].mul(b[0])),
            a[3].mul_add(b[3], a[2].mul(b[2])),
        ];
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
