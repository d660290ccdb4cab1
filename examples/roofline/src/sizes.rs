//! How time grows with the size of a problem, over four decades.

use workload::passes::Pass;

use crate::row::Row;

/// What is measured unless the command line says otherwise.
pub(crate) const PASSES: [Pass; 3] = [Pass::ForwardTraining, Pass::Backward, Pass::Inference];

const CHANNELS: usize = 64;
/// Batches of small images, from 32 KB of `f32` on.
const BATCHES: [usize; 5] = [2, 4, 8, 16, 32];
const SMALL: usize = 8;
/// Sides of larger images in the largest batch, up to 411 MB.
const SIDES: [usize; 10] = [12, 16, 24, 32, 48, 64, 96, 128, 192, 224];

/// (N, C, H, W), from small to large.
pub(crate) fn dims() -> Vec<Vec<usize>> {
    let small = BATCHES.map(|batch| vec![batch, CHANNELS, SMALL, SMALL]);
    let large = SIDES.map(|side| vec![BATCHES[BATCHES.len() - 1], CHANNELS, side, side]);
    small.into_iter().chain(large).collect()
}

/// time = constant · bytes^exponent, by least squares in the logarithms, between these sizes.
pub(crate) struct Growth {
    pub(crate) exponent: f64,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Of the rows that no cache holds; `None` for less than three sizes.
pub(crate) fn growth(rows: &[&Row]) -> Option<Growth> {
    let beyond: Vec<_> = rows.iter().filter(|row| !row.cached).collect();
    let points = beyond
        .iter()
        .map(|row| ((row.bytes as f64).ln(), row.seconds.median.ln()));
    let count = beyond.len() as f64;
    let (x_sum, y_sum) = points
        .clone()
        .fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (x_mean, y_mean) = (x_sum / count, y_sum / count);
    let (covariance, variance) = points.fold((0.0, 0.0), |sum, (x, y)| {
        let x = x - x_mean;
        (sum.0 + x * (y - y_mean), sum.1 + x * x)
    });
    let bytes = || beyond.iter().map(|row| row.bytes);
    let (from, to) = (bytes().min()?, bytes().max()?);
    (beyond.len() > 2 && from < to).then_some(Growth {
        exponent: covariance / variance,
        from,
        to,
    })
}
