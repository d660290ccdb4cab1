//! The reduction behind both statistics and gradients: Σa and Σa·b of each channel, read once.
//!
//! Chains of `f32` additions are short ([`CHAIN`] values) and end in `f64`, so that the error of a sum does not grow
//! with the number of values.

use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::{LANES, Simd, Vector};
use crate::cpu::tiling::span::{ABREAST, Span};
use crate::element::Element;

/// Values that one lane of a sum adds up before it is emptied into `f64`.
pub(crate) const CHAIN: usize = 32;

/// The terms a and b of `A` vectors.
pub(crate) type TermsOf<S, T, const A: usize> = (
    [<T as SimdElement>::Vector<S>; A],
    [<T as SimdElement>::Vector<S>; A],
);

/// The two terms of every value of a tile, which take `N` numbers per channel.
pub(crate) trait Terms<S: Simd, T: Element, const N: usize> {
    /// What is needed of `A` runs of memory.
    type Runs<const A: usize>: Copy;
    /// What is needed of neighbouring rows.
    type Rows: Copy;
    /// Lends runs of equal length.
    fn runs<const A: usize>(&self, spans: [Span; A]) -> Self::Runs<A>;
    /// Runs of no values.
    fn no_runs<const A: usize>(&self) -> Self::Runs<A>;
    /// Lends a run and the same columns of the rows that follow, `count` rows in all.
    fn rows(&self, first: Span, count: usize, row_len: usize) -> Self::Rows;
    /// The runs of the `A` rows from `row` on that are `step` rows apart.
    fn rows_abreast<const A: usize>(
        &self,
        rows: Self::Rows,
        row: usize,
        step: usize,
    ) -> Self::Runs<A>;
    /// Has what comes `distance` values after `at` fetched.
    fn fetch<const A: usize>(&self, simd: S, runs: Self::Runs<A>, at: usize, distance: usize);
    /// a and b of the `count` values, at most sixteen, from `at` on in each run. The other lanes of both are zero.
    fn terms<const A: usize>(
        &self,
        simd: S,
        runs: Self::Runs<A>,
        with: [T::Vector<S>; N],
        at: usize,
        count: usize,
    ) -> TermsOf<S, T, A>;
}

/// Adds the terms of `A` vectors to two sums.
#[inline(always)]
pub(crate) fn add_terms<S: Simd, T: Element, const A: usize>(
    (a, b): TermsOf<S, T, A>,
    [mut first, mut second]: [T::Vector<S>; 2],
) -> [T::Vector<S>; 2] {
    if A == ABREAST {
        // As a tree: an addition takes long to follow another.
        let sum = a[0].add(a[1]).add(a[2].add(a[3]));
        let halves = [
            a[1].mul_add(b[1], a[0].mul(b[0])),
            a[3].mul_add(b[3], a[2].mul(b[2])),
        ];
        return [first.add(sum), second.add(halves[0].add(halves[1]))];
    }
    for i in 0..A {
        first = first.add(a[i]);
        second = a[i].mul_add(b[i], second);
    }
    [first, second]
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

/// A mask of the lanes from one to the one before another.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "one bit for each of sixteen lanes"
)]
pub(crate) fn lanes(from: usize, to: usize) -> u16 {
    debug_assert!(from <= to && to <= LANES);
    ((1u32 << to) - (1 << from)) as u16
}
