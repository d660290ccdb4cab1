//! Mean and variance of each channel of a tile once more, where the first sums were not good for it.
//!
//! The first pass takes its pivot from a few values. Where these are unlike the others, it lies far from the mean, and what the
//! vectors hold of x − pivot lacks digits; and there are squares that no vector can hold. Then the tile, which is in cache, is
//! read again: about the mean that was found, and scaled by a power of two, which rounds nothing.

use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::kernels::statistics::{Deviations, TileMoments};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::centres::Centres;
use crate::cpu::reduce::columns::{ColumnSums, add_columns, gather_columns};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::PlaneSums;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::{Kernel, Simd};
use crate::numeric::Numeric;

/// Takes the moments of a tile's channels about given numbers.
pub struct CentredMoments<'a, T> {
    pub(crate) of: TileMoments<'a, T>,
    pub(crate) centres: &'a Centres,
}

impl<T: SimdElement> Kernel for CentredMoments<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Moments {
        let TileMoments { view, tile, x } = self.of;
        let Centres { pivots, scales } = self.centres;
        let channels = tile.channels(view);
        let first = channels.start;
        let coefficients = Coefficients::new(channels.clone(), |channel| {
            let (pivot, scale) = (pivots[channel - first], scales[channel - first]);
            [scale, -pivot * scale].map(T::Scalar::nearest)
        });
        let deviations = Deviations(x);
        let [mut sum, mut sum_of_squares] = if view.neighbours_share_a_channel() {
            PlaneSums::<T, _, 2>::of::<S, 2>(view, tile, &coefficients, deviations).all(simd)
        } else {
            let columns = coefficients.of_columns(view, tile);
            let mut sums = ColumnSums::zero(tile.columns(view).len());
            add_columns(
                simd,
                view,
                tile,
                &deviations,
                columns.as_slices::<2>(),
                &mut sums,
            );
            [&mut sums.sum, &mut sums.sum_of_products].map(|sums| {
                let mut of_channels = Scratch::of_len(channels.len());
                gather_columns(view, tile, sums, &mut of_channels);
                of_channels
            })
        };
        for c in 0..channels.len() {
            sum[c] /= scales[c];
            sum_of_squares[c] = sum_of_squares[c] / scales[c] / scales[c];
        }
        let count = tile.values_per_channel(view) as f64;
        let mut moments = Moments::none(channels.len());
        moments.add_scaled::<T::Scalar>(count, pivots, scales, &sum, &sum_of_squares);
        moments
    }
}
