//! The way through a tile where something is done to each value alone: four streams side by side, each a head up to the first
//! whole line of memory, a body of whole lines, and a tail.

use crate::cpu::elementwise::broadcast::{Broadcast, CoefficientSlices};
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::vector::LANES;
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::streams::{Bundles, Streams};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;

/// What is done to every value of a tile, with `N` coefficients per channel.
pub(crate) trait Elementwise<S: Simd, T: SimdElement, const N: usize> {
    /// Whether they are gone through four at a time, where a level does so: faster, and code for it.
    const FOUR_STREAMS: bool = S::FOUR_STREAMS;
    /// What `A` spans need while they are gone through.
    type Streams<'s, const A: usize>
    where
        Self: 's;

    /// Begins spans of equal length.
    fn begin<const A: usize>(&mut self, simd: S, spans: [Span; A]) -> Self::Streams<'_, A>;

    /// How many values come before the first whole line of memory that is written.
    fn head<const A: usize>(streams: &Self::Streams<'_, A>) -> usize;

    /// Does it to the `count` values, at most sixteen, from `at` on in each span, or to `L` times sixteen.
    fn vectors<const A: usize, const L: usize>(
        streams: &mut Self::Streams<'_, A>,
        simd: S,
        with: [[T::Vector<S>; N]; L],
        at: usize,
        count: usize,
    );

    /// What else is done meanwhile, once for every `L` times sixteen values of the body.
    fn overlapped<const A: usize, const L: usize>(streams: &mut Self::Streams<'_, A>, simd: S);

    /// Ends the spans.
    fn end<const A: usize>(streams: Self::Streams<'_, A>, simd: S);
}

/// Drives a pass through a tile, with the first `N` of all coefficients.
#[inline(always)]
pub(crate) fn drive<
    S: Simd,
    T: SimdElement,
    P: Elementwise<S, T, N>,
    const N: usize,
    const ALL: usize,
>(
    simd: S,
    view: &MatrixView,
    tile: &Tile,
    coefficients: &Coefficients<T::Scalar, ALL>,
    pass: &mut P,
    order: Traversal,
) {
    let bundles = Bundles::of(view, tile, P::FOUR_STREAMS, order);
    drive_bundles(simd, view, tile, coefficients, pass, bundles);
}

/// Drives a pass through these bundles of a tile.
#[inline(always)]
pub(crate) fn drive_bundles<
    S: Simd,
    T: SimdElement,
    P: Elementwise<S, T, N>,
    const N: usize,
    const ALL: usize,
>(
    simd: S,
    view: &MatrixView,
    tile: &Tile,
    coefficients: &Coefficients<T::Scalar, ALL>,
    pass: &mut P,
    bundles: Bundles<'_>,
) {
    let columns = (!view.neighbours_share_a_channel()).then(|| coefficients.of_columns(view, tile));
    let of_tile = match &columns {
        Some(columns) => columns.as_slices(),
        None => coefficients.of_planes(tile),
    };
    for bundle in bundles {
        let coefficients = if view.along_rows() {
            of_tile
        } else {
            of_tile.of_plane(bundle.plane - tile.planes.start)
        };
        match bundle.spans {
            Streams::Four(spans) if P::FOUR_STREAMS => {
                head_body_tail::<S, T, P, N, _>(simd, pass, spans, coefficients);
            }
            Streams::Four(_) => unreachable!("no bundles of four were asked for"),
            Streams::One(span) => {
                head_body_tail::<S, T, P, N, _>(simd, pass, [span], coefficients);
            }
        }
    }
}

/// Drives a pass along spans of equal length, a line of memory at a time.
#[inline(always)]
fn head_body_tail<
    S: Simd,
    T: SimdElement,
    P: Elementwise<S, T, N>,
    const N: usize,
    const A: usize,
>(
    simd: S,
    pass: &mut P,
    spans: [Span; A],
    coefficients: CoefficientSlices<'_, T::Scalar, N>,
) {
    const {
        assert!(
            T::VECTORS_IN_LINE == 1 || T::VECTORS_IN_LINE == 2,
            "the body of a pass is written for lines of one or two vectors"
        );
    }
    let mut broadcast = Broadcast::<S, T, N>::at_start(simd, coefficients);
    let mut streams = pass.begin(simd, spans);
    let (head, len) = (P::head(&streams), spans[0].len());
    if T::VECTORS_IN_LINE == 2 {
        along_lines::<S, T, P, N, A, 2>(simd, &mut streams, &mut broadcast, head, len);
    } else {
        along_lines::<S, T, P, N, A, 1>(simd, &mut streams, &mut broadcast, head, len);
    }
    P::end(streams, simd);
}

/// The same, for lines of `L` vectors.
#[cfg_attr(not(unoptimized), inline(always))]
fn along_lines<
    S: Simd,
    T: SimdElement,
    P: Elementwise<S, T, N>,
    const N: usize,
    const A: usize,
    const L: usize,
>(
    simd: S,
    streams: &mut P::Streams<'_, A>,
    broadcast: &mut Broadcast<'_, S, T, N>,
    head: usize,
    len: usize,
) {
    let (mut at, mut stop) = (0, head);
    // The code of a pass is large: once for the body, and once for the head and the tail.
    loop {
        while at < stop {
            let count = LANES.min(stop - at);
            let count = if L == 1 { count % LANES } else { count };
            let with = [broadcast.advance(simd, count)];
            P::vectors(streams, simd, with, at, count);
            at += count;
        }
        while len - at >= L * LANES {
            P::overlapped::<A, L>(streams, simd);
            let mut with = [broadcast.advance(simd, LANES); L];
            for i in 1..L {
                with[i] = broadcast.advance(simd, LANES);
            }
            P::vectors(streams, simd, with, at, LANES);
            at += L * LANES;
        }
        if at == len {
            return;
        }
        stop = len;
    }
}
