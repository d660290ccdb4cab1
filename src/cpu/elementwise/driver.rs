//! The way through a tile where something is done to each value alone: four runs of memory side by side.

use crate::cpu::elementwise::broadcast::Numbers;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::parallel::Order;
use crate::cpu::simd::{LANES, Simd};
use crate::cpu::tiling::span::Span;
use crate::cpu::tiling::streams::{Abreast, Groups};
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::Matrix;
use crate::element::Element;

/// What is done to every value of a tile.
pub(crate) trait Pass<S: Simd, T: Element, const N: usize> {
    /// Does it to some runs of equal length.
    fn runs<const A: usize>(
        &mut self,
        simd: S,
        spans: [Span; A],
        numbers: Numbers<'_, T::Compute, N>,
    );
}

/// What is done to every value of some runs.
pub(crate) trait Step<S: Simd> {
    /// What sixteen columns need.
    type Coefficients: Copy;
    /// Those of the next `count` columns.
    fn coefficients(&mut self, simd: S, count: usize) -> Self::Coefficients;
    /// Does it to the `count` values, at most sixteen, from `at` on in each run, or to `L` times sixteen.
    fn at<const L: usize>(
        &mut self,
        simd: S,
        with: [Self::Coefficients; L],
        at: usize,
        count: usize,
    );
    /// What else is done on the way, once for every `L` times sixteen values.
    fn beside<const L: usize>(&mut self, simd: S);
}

/// Leads a pass through a tile, rows in this order.
#[inline(always)]
pub(crate) fn through_tile<S: Simd, T: Element, P: Pass<S, T, N>, const N: usize>(
    simd: S,
    matrix: &Matrix,
    tile: &Tile,
    coefficients: &Coefficients<T::Compute, N>,
    pass: &mut P,
    order: Order,
) {
    let columns = (!matrix.has_units()).then(|| coefficients.of_columns(matrix, tile));
    let of_tile = match &columns {
        Some(columns) => columns.lend(),
        None => coefficients.of_units(tile),
    };
    for group in Groups::of(matrix, tile, S::FOUR_ABREAST, order) {
        let numbers = if matrix.along_rows() {
            of_tile
        } else {
            of_tile.of_unit(group.unit - tile.units.start)
        };
        match group.runs {
            Abreast::Four(spans) if S::FOUR_ABREAST => pass.runs(simd, spans, numbers),
            Abreast::Four(_) => unreachable!("no groups of four were asked for"),
            Abreast::One(span) => pass.runs(simd, [span], numbers),
        }
    }
}

/// Leads a step along runs of `len` values, whose first `head` lie before the first whole line of memory.
#[inline(always)]
pub(crate) fn along_runs<S: Simd, T: Element>(
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
            step.beside::<L>(simd);
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
