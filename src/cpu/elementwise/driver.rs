//! The way through a tile where something is done to each value alone: as four streams of memory side by side.

use crate::cpu::elementwise::broadcast::CoefficientSlices;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::simd::{LANES, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::streams::{Bundles, Streams};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::traversal::Traversal;
use crate::cpu::tiling::view::MatrixView;
use crate::element::Element;

/// What is done to every value of a tile.
pub(crate) trait Pass<S: Simd, T: Element, const N: usize> {
    /// Does it to some spans of equal length.
    fn streams<const A: usize>(
        &mut self,
        simd: S,
        spans: [Span; A],
        numbers: CoefficientSlices<'_, T::Compute, N>,
    );
}

/// What is done to every value of some spans.
pub(crate) trait Step<S: Simd> {
    /// What sixteen columns need.
    type Coefficients: Copy;
    /// Those of the next `count` columns.
    fn coefficients(&mut self, simd: S, count: usize) -> Self::Coefficients;
    /// Does it to the `count` values, at most sixteen, from `at` on in each span, or to `L` times sixteen.
    fn at<const L: usize>(
        &mut self,
        simd: S,
        with: [Self::Coefficients; L],
        at: usize,
        count: usize,
    );
    /// What else is done on the way, once for every `L` times sixteen values.
    fn overlapped<const L: usize>(&mut self, simd: S);
}

/// Leads a pass through a tile, rows in this order.
#[inline(always)]
pub(crate) fn drive<S: Simd, T: Element, P: Pass<S, T, N>, const N: usize>(
    simd: S,
    view: &MatrixView,
    tile: &Tile,
    coefficients: &Coefficients<T::Compute, N>,
    pass: &mut P,
    order: Traversal,
) {
    let columns = (!view.has_planes()).then(|| coefficients.of_columns(view, tile));
    let of_tile = match &columns {
        Some(columns) => columns.as_slices(),
        None => coefficients.of_planes(tile),
    };
    for bundle in Bundles::of(view, tile, S::FOUR_STREAMS, order) {
        let numbers = if view.along_rows() {
            of_tile
        } else {
            of_tile.of_plane(bundle.plane - tile.planes.start)
        };
        match bundle.spans {
            Streams::Four(spans) if S::FOUR_STREAMS => pass.streams(simd, spans, numbers),
            Streams::Four(_) => unreachable!("no bundles of four were asked for"),
            Streams::One(span) => pass.streams(simd, [span], numbers),
        }
    }
}

/// Leads a step along spans of `len` values, whose first `head` lie before the first whole line of memory.
#[inline(always)]
pub(crate) fn head_body_tail<S: Simd, T: Element>(
    simd: S,
    step: &mut impl Step<S>,
    head: usize,
    len: usize,
) {
    if T::VECTORS_IN_LINE == 2 {
        along_lines::<S, 2>(simd, step, head, len);
    } else {
        along_lines::<S, 1>(simd, step, head, len);
    }
}

/// The same, `L` vectors at a time.
#[inline(always)]
fn along_lines<S: Simd, const L: usize>(simd: S, step: &mut impl Step<S>, head: usize, len: usize) {
    let (mut at, mut stop) = (0, head);
    // The code of a step is large: once for whole lines, and once for the head and the tail.
    loop {
        while at < stop {
            let count = LANES.min(stop - at);
            let count = if L == 1 { count % LANES } else { count };
            let with = [step.coefficients(simd, count)];
            step.at(simd, with, at, count);
            at += count;
        }
        while len - at >= L * LANES {
            step.overlapped::<L>(simd);
            let mut with = [step.coefficients(simd, LANES); L];
            for i in 1..L {
                with[i] = step.coefficients(simd, LANES);
            }
            step.at(simd, with, at, LANES);
            at += L * LANES;
        }
        if at == len {
            return;
        }
        stop = len;
    }
}
