//! Sums of every plane of a tile, where neighbouring values are of one channel: read as four streams, alone or overlapped
//! with the pass that writes the tile before.
//!
//! Overlapped, memory is read and written at the same time, and what was read is in cache when its own turn to be written
//! comes. The order of the additions is the same either way: bits do not depend on who took which tile.

use crate::cpu::elementwise::broadcast::{Broadcast, CoefficientSlices};
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::terms::{
    Terms, add_terms, end_of_chain, lanes_of_sums, no_sums, sum_lanes,
};
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::tail_mask::lane_mask;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::tiling::span::{STREAMS, Span};
use crate::cpu::tiling::streams::{Bundles, Streams};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;

/// How far ahead memory is prefetched, in vectors: the processor's own prefetch begins anew in every page.
const AHEAD: usize = 8;

/// Additions to a lane of a plane's sums before they are flushed into `f64`.
const LONGEST_CHAIN: usize = 16;
/// What a plane's totals take.
const PLANE_LANES: usize = 2 * LANES;

/// Whether the sums of a tile can be taken while the pass writes another: where both go through their tiles the same way.
pub(crate) fn can_overlap(view: &MatrixView, tile: &Tile, written: &Tile) -> bool {
    let contiguous = view.rows_are_contiguous() && written.has_whole_rows(view);
    view.neighbours_share_a_channel() && tile.has_extents_of(written) && !contiguous
}

/// In which order the rows of a tile are added up: neighbouring tiles the other way round, so that what was read last, and
/// is in cache still where all is too large for it, is written first. By the tile alone, for bits depend on it.
fn order_of_sums(tile: &Tile) -> Traversal {
    if tile.planes.start.is_multiple_of(2) {
        Traversal::Descending
    } else {
        Traversal::Ascending
    }
}

/// In which order a tile's rows are written: as those of the next one are added up, if that is overlapped.
pub(crate) fn order_of_writing(next: Option<&Tile>) -> Traversal {
    next.map_or(Traversal::Descending, order_of_sums)
}

/// Σa and Σa·b of the planes of a tile.
pub(crate) struct PlaneSums<'a, T: SimdElement, R, const N: usize> {
    terms: R,
    /// What the terms of each plane take.
    coefficients: CoefficientSlices<'a, T::Scalar, N>,
    /// Whether a span is of one plane.
    by_planes: bool,
    first_plane: usize,
    /// What is left to add.
    bundles: Option<Bundles<'a>>,
    /// Of each plane both sums, spread over sixteen lanes.
    totals: Scratch<f64>,
}

impl<'a, T: SimdElement, R, const N: usize> PlaneSums<'a, T, R, N> {
    /// Terms take the first `N` of the coefficients.
    #[inline(always)]
    pub(crate) fn of<S: Simd, const M: usize>(
        view: &'a MatrixView,
        tile: &'a Tile,
        coefficients: &'a Coefficients<T::Scalar, M>,
        terms: R,
    ) -> Self
    where
        R: Terms<S, T, N>,
    {
        let order = order_of_sums(tile);
        Self {
            terms,
            coefficients: coefficients.of_planes(tile),
            by_planes: !view.along_rows(),
            first_plane: tile.planes.start,
            bundles: Some(Bundles::row_by_row(view, tile, R::FOUR_STREAMS, order)),
            totals: Scratch::zeros(tile.planes.len() * PLANE_LANES),
        }
    }

    /// Nothing to add up.
    pub(crate) fn nothing(terms: R) -> Self {
        Self {
            terms,
            coefficients: CoefficientSlices::none(),
            by_planes: false,
            first_plane: 0,
            bundles: None,
            totals: Scratch::of_len(0),
        }
    }

    /// The next bundle, to be added up vector by vector: of no values, where there is nothing to add up.
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn next_bundle<S: Simd, const A: usize>(
        &mut self,
        simd: S,
    ) -> BundleSums<'_, S, T, R, N, A>
    where
        R: Terms<S, T, N>,
    {
        if let Some(bundle) = self.bundles.as_mut().and_then(Bundles::next) {
            match bundle.spans.as_slice().try_into() {
                Ok(spans) => return self.begin(simd, bundle.plane, spans),
                Err(_) => unreachable!("tiles of one form have the same bundles"),
            }
        }
        BundleSums {
            streams: self.terms.no_streams(),
            terms: &self.terms,
            broadcast: Broadcast::at_start(simd, CoefficientSlices::none()),
            at: 0,
            len: 0,
            sums: no_sums::<S, T, R, N>(simd),
            chain_length: 0,
            plane: 0,
            totals: &mut [],
        }
    }

    #[cfg_attr(not(unoptimized), inline(always))]
    fn begin<S: Simd, const A: usize>(
        &mut self,
        simd: S,
        plane: usize,
        spans: [Span; A],
    ) -> BundleSums<'_, S, T, R, N, A>
    where
        R: Terms<S, T, N>,
    {
        let (plane, coefficients) = if self.by_planes {
            let plane = plane - self.first_plane;
            (plane, self.coefficients.of_plane(plane))
        } else {
            (0, self.coefficients)
        };
        BundleSums {
            streams: self.terms.streams(spans),
            terms: &self.terms,
            broadcast: Broadcast::at_start(simd, coefficients),
            at: 0,
            len: spans[0].len(),
            sums: no_sums::<S, T, R, N>(simd),
            chain_length: 0,
            plane,
            totals: &mut self.totals,
        }
    }

    /// Adds everything, and gives Σa and Σa·b of each plane.
    #[inline(always)]
    pub(crate) fn all<S: Simd>(mut self, simd: S) -> [Scratch<f64>; 2]
    where
        R: Terms<S, T, N>,
    {
        while let Some(bundle) = self.bundles.as_mut().and_then(Bundles::next) {
            match bundle.spans {
                Streams::Four(spans) if R::FOUR_STREAMS => {
                    self.begin(simd, bundle.plane, spans).end(simd);
                }
                Streams::Four(_) => unreachable!("no bundles of four were asked for"),
                Streams::One(span) => self.begin(simd, bundle.plane, [span]).end(simd),
            }
        }
        self.end()
    }

    /// Σa and Σa·b of each plane, once all bundles have been added.
    #[inline(always)]
    pub(crate) fn end(self) -> [Scratch<f64>; 2] {
        let planes = self.totals.len() / PLANE_LANES;
        let mut sums = [Scratch::of_len(planes), Scratch::of_len(planes)];
        for (plane, lanes) in self.totals.chunks_exact(PLANE_LANES).enumerate() {
            for (sum, lanes) in sums.iter_mut().zip(lanes.as_chunks().0) {
                sum[plane] = sum_lanes(*lanes);
            }
        }
        sums
    }
}

/// How many of so many additions to a bundle's sums were of the terms of four vectors.
fn fours<const A: usize>(additions: usize) -> usize {
    if A == STREAMS { additions } else { 0 }
}

/// What the values of a bundle are added to, vector by vector.
pub(crate) struct BundleSums<
    's,
    S: Simd,
    T: SimdElement,
    R: Terms<S, T, N>,
    const N: usize,
    const A: usize,
> {
    terms: &'s R,
    streams: R::Streams<A>,
    broadcast: Broadcast<'s, S, T, N>,
    at: usize,
    len: usize,
    /// Of the plane that has been begun.
    sums: [T::Vector<S>; 2],
    /// How many times they were added to.
    chain_length: usize,
    plane: usize,
    totals: &'s mut [f64],
}

impl<S: Simd, T: SimdElement, R: Terms<S, T, N>, const N: usize, const A: usize>
    BundleSums<'_, S, T, R, N, A>
{
    /// Adds the next `L` whole vectors of each span, if there are so many, while what comes after them is prefetched.
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn advance<const L: usize>(&mut self, simd: S) {
        if self.len - self.at >= L * LANES {
            self.terms
                .prefetch(simd, self.streams, self.at, AHEAD * LANES);
            for _ in 0..L {
                self.add(simd, LANES);
            }
        }
    }

    #[cfg_attr(not(unoptimized), inline(always))]
    fn add(&mut self, simd: S, count: usize) {
        let mut left = self.broadcast.left();
        // That a plane has ended is noticed here, not when it did: this goes into the loop of every pass, where one more
        // place that flushes is felt.
        if left == 0 || self.chain_length == LONGEST_CHAIN {
            self.flush(simd);
            if left == 0 {
                self.plane += 1;
                left = self.broadcast.width();
            }
        }
        let with = self.broadcast.advance(simd, count);
        let new = self.terms.terms(simd, self.streams, with, self.at, count);
        self.at += count;
        if left >= count {
            self.sums = add_terms::<S, T, R, N, A>(simd, new, self.sums);
            self.chain_length += 1;
            return;
        }
        // One plane ends in this vector, or several.
        let zero = [T::splat(simd, T::Scalar::default()); 2];
        let new = add_terms::<S, T, R, N, A>(simd, new, zero);
        let (mut from, mut to) = (0, left);
        loop {
            let bits = lane_mask(from, to);
            let of_plane = lanes_of_sums::<S, T, R, N>(simd, bits, fours::<A>(1), new);
            for i in 0..2 {
                self.sums[i] = self.sums[i].add(of_plane[i]);
            }
            self.chain_length += 1;
            if to == count {
                return;
            }
            self.flush(simd);
            self.plane += 1;
            (from, to) = (to, count.min(to + self.broadcast.width()));
        }
    }

    /// Adds the sums to the totals of their plane, and begins new ones.
    #[cfg_attr(not(unoptimized), inline(always))]
    fn flush(&mut self, simd: S) {
        let sums = end_of_chain::<S, T, R, N>(simd, fours::<A>(self.chain_length), self.sums);
        let totals = &mut self.totals[self.plane * PLANE_LANES..][..PLANE_LANES];
        for i in 0..2 {
            if let Some(total) = totals[i * LANES..].first_chunk_mut::<LANES>() {
                simd.store_f64(simd.load_f64(total).add(sums[i]), total);
            }
        }
        self.sums = no_sums::<S, T, R, N>(simd);
        self.chain_length = 0;
    }

    /// Adds what is left.
    #[inline(always)]
    pub(crate) fn end(mut self, simd: S) {
        while self.len - self.at >= LANES {
            self.add(simd, LANES);
        }
        if self.at < self.len {
            self.add(simd, (self.len - self.at) % LANES);
        }
        if self.len > 0 {
            self.flush(simd);
        }
    }
}
