//! The fused operations as compositions of the steps: their meaning.

use crate::backend::Backend;
use crate::backend::operands::{
    Affine, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization, RunningMut,
    StatisticsMut, StatisticsSource,
};
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

/// See [`Backend::forward_training`].
///
/// # Errors
/// As the steps.
pub fn forward_training<B: Backend, T: Element>(
    backend: &B,
    shape: &Shape,
    x: B::Slice<'_, T>,
    affine: Affine<'_, B, T::Compute>,
    epilogue: Epilogue<'_, B, T>,
    y: B::SliceMut<'_, T>,
    mut out: StatisticsMut<'_, B, T::Compute>,
) -> Result<()> {
    let written = StatisticsMut {
        mean: B::relend_mut(&mut out.mean),
        mean_low: B::relend_mut(&mut out.mean_low),
        variance: B::relend_mut(&mut out.variance),
        inv_std: B::relend_mut(&mut out.inv_std),
        running: out.running.as_mut().map(RunningMut::relend),
    };
    backend.statistics::<T>(shape, x, affine.epsilon, written)?;
    let with = Normalization {
        mean: B::relend(&out.mean),
        mean_low: B::relend(&out.mean_low),
        inv_std: B::relend(&out.inv_std),
        gamma: B::narrow(affine.gamma),
        beta: B::narrow(affine.beta),
    };
    backend.normalize(shape, InOut::Separate(x, y), with, epilogue)
}

/// See [`Backend::backward`].
///
/// # Errors
/// As the steps.
#[expect(
    clippy::too_many_arguments,
    reason = "inputs, outputs and what lies between"
)]
pub fn backward<B: Backend, T: Element>(
    backend: &B,
    shape: &Shape,
    dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
    x: B::Slice<'_, T>,
    with: Normalization<'_, B, T::Compute>,
    source: StatisticsSource,
    gate: Gate<'_, B>,
    dresidual: Option<B::SliceMut<'_, T>>,
    mut out: GradientSumsMut<'_, B, T::Compute>,
) -> Result<()> {
    let dy = match &dy_to_dx {
        InOut::Separate(dy, _) => B::narrow(*dy),
        InOut::InPlace(both) => B::relend(both),
    };
    let written = GradientSumsMut {
        gamma: B::relend_mut(&mut out.gamma),
        beta: B::relend_mut(&mut out.beta),
    };
    backend.backward_reduce(shape, dy, x, with, gate, written)?;
    let sums = (source == StatisticsSource::Batch).then(|| GradientSums {
        gamma: B::relend(&out.gamma),
        beta: B::relend(&out.beta),
        count: shape.values_per_channel(),
    });
    backend.backward_input(shape, dy_to_dx, x, with, gate, sums, dresidual)
}
