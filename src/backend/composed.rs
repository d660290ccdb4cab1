//! The fused operations as compositions of the steps: their meaning.

use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, InOut, Normalization, RenormalizedMut, RunningMut,
    RunningReference, Statistics, StatisticsMut, StatisticsSource,
};
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

/// See [`Backend::forward_training`].
///
/// # Errors
/// As the steps.
pub fn forward_training<'b, B: Backend, T: Element>(
    backend: &B,
    batch: impl Into<Batch<'b>>,
    x: B::Slice<'_, T>,
    affine: Affine<B::Slice<'_, T::Compute>>,
    epilogue: Epilogue<B::Slice<'_, T>, &mut B::Mask, B::SliceMut<'_, T>>,
    y: B::SliceMut<'_, T>,
    mut out: StatisticsMut<B::SliceMut<'_, T::Compute>>,
) -> Result<()> {
    let batch = batch.into();
    let written = StatisticsMut {
        mean: B::reborrow_mut::<T::Compute>(&mut out.mean),
        mean_low: B::reborrow_mut::<T::Compute>(&mut out.mean_low),
        variance: B::reborrow_mut::<T::Compute>(&mut out.variance),
        inv_std: B::reborrow_mut::<T::Compute>(&mut out.inv_std),
        running: out.running.as_mut().map(|running| RunningMut {
            mean: B::reborrow_mut::<T::Compute>(&mut running.mean),
            variance: B::reborrow_mut::<T::Compute>(&mut running.variance),
            factor: running.factor,
            correction: running.correction,
            only_finite: running.only_finite,
        }),
    };
    backend.statistics::<T>(batch, B::shorten::<T>(x), affine.epsilon, written)?;
    let with = Normalization {
        mean: B::reborrow::<T::Compute>(&out.mean),
        mean_low: B::reborrow::<T::Compute>(&out.mean_low),
        inv_std: B::reborrow::<T::Compute>(&out.inv_std),
        gamma: B::shorten::<T::Compute>(affine.gamma),
        beta: B::shorten::<T::Compute>(affine.beta),
    };
    backend.normalize::<T>(batch, InOut::Separate(x, y), with, epilogue)
}

/// See [`Backend::forward_renormalized`].
///
/// # Errors
/// As the steps.
#[expect(
    clippy::too_many_arguments,
    reason = "inputs, outputs and what lies between"
)]
pub fn forward_renormalized<'b, B: Backend, T: Element>(
    backend: &B,
    batch: impl Into<Batch<'b>>,
    x: B::Slice<'_, T>,
    affine: Affine<B::Slice<'_, T::Compute>>,
    reference: RunningReference<B::Slice<'_, T::Compute>>,
    epilogue: Epilogue<B::Slice<'_, T>, &mut B::Mask, B::SliceMut<'_, T>>,
    y: B::SliceMut<'_, T>,
    mut out: StatisticsMut<B::SliceMut<'_, T::Compute>>,
    mut renormalized: RenormalizedMut<B::SliceMut<'_, T::Compute>>,
) -> Result<()> {
    let batch = batch.into();
    // They follow once those of before the batch have been read.
    let running = out.running.take();
    let written = StatisticsMut {
        mean: B::reborrow_mut::<T::Compute>(&mut out.mean),
        mean_low: B::reborrow_mut::<T::Compute>(&mut out.mean_low),
        variance: B::reborrow_mut::<T::Compute>(&mut out.variance),
        inv_std: B::reborrow_mut::<T::Compute>(&mut out.inv_std),
        running: None,
    };
    backend.statistics::<T>(batch, B::shorten::<T>(x), affine.epsilon, written)?;
    let statistics = Statistics {
        mean: B::reborrow::<T::Compute>(&out.mean),
        mean_low: B::reborrow::<T::Compute>(&out.mean_low),
        variance: B::reborrow::<T::Compute>(&out.variance),
        inv_std: B::reborrow::<T::Compute>(&out.inv_std),
    };
    let with = statistics.normalization(
        B::shorten::<T::Compute>(affine.gamma),
        B::shorten::<T::Compute>(affine.beta),
    );
    let written = RenormalizedMut {
        gamma: B::reborrow_mut::<T::Compute>(&mut renormalized.gamma),
        beta: B::reborrow_mut::<T::Compute>(&mut renormalized.beta),
        r: B::reborrow_mut::<T::Compute>(&mut renormalized.r),
        d: B::reborrow_mut::<T::Compute>(&mut renormalized.d),
    };
    backend.renormalize::<T::Compute>(with, affine.epsilon, reference, written)?;
    let with = statistics.normalization(
        B::reborrow::<T::Compute>(&renormalized.gamma),
        B::reborrow::<T::Compute>(&renormalized.beta),
    );
    backend.normalize::<T>(batch, InOut::Separate(x, y), with, epilogue)?;
    match running {
        Some(running) => backend.update_running::<T::Compute>(statistics, running),
        None => Ok(()),
    }
}

/// [`forward_training`] with y written over x, renormalized where both operands of that are given. Running statistics follow last, so that
/// they stay where a step is refused. x is read twice, where the fused passes read it once.
///
/// # Errors
/// As the steps.
#[expect(
    clippy::too_many_arguments,
    reason = "inputs, outputs and what lies between"
)]
pub fn forward_training_in_place<B: Backend, T: Element>(
    backend: &B,
    shape: &Shape,
    mut x_to_y: B::SliceMut<'_, T>,
    affine: Affine<B::Slice<'_, T::Compute>>,
    reference: Option<RunningReference<B::Slice<'_, T::Compute>>>,
    mut renormalized: Option<RenormalizedMut<B::SliceMut<'_, T::Compute>>>,
    epilogue: Epilogue<B::Slice<'_, T>, &mut B::Mask, B::SliceMut<'_, T>>,
    mut out: StatisticsMut<B::SliceMut<'_, T::Compute>>,
) -> Result<()> {
    let running = out.running.take();
    let written = StatisticsMut {
        mean: B::reborrow_mut::<T::Compute>(&mut out.mean),
        mean_low: B::reborrow_mut::<T::Compute>(&mut out.mean_low),
        variance: B::reborrow_mut::<T::Compute>(&mut out.variance),
        inv_std: B::reborrow_mut::<T::Compute>(&mut out.inv_std),
        running: None,
    };
    let x = B::reborrow::<T>(&x_to_y);
    backend.statistics::<T>(shape, x, affine.epsilon, written)?;
    let statistics = Statistics {
        mean: B::reborrow::<T::Compute>(&out.mean),
        mean_low: B::reborrow::<T::Compute>(&out.mean_low),
        variance: B::reborrow::<T::Compute>(&out.variance),
        inv_std: B::reborrow::<T::Compute>(&out.inv_std),
    };
    let gamma = B::shorten::<T::Compute>(affine.gamma);
    let with = statistics.normalization(gamma, B::shorten::<T::Compute>(affine.beta));
    let x_to_y = InOut::InPlace(B::reborrow_mut::<T>(&mut x_to_y));
    match reference.zip(renormalized.as_mut()) {
        None => backend.normalize::<T>(shape, x_to_y, with, epilogue)?,
        Some((reference, renormalized)) => {
            let written = RenormalizedMut {
                gamma: B::reborrow_mut::<T::Compute>(&mut renormalized.gamma),
                beta: B::reborrow_mut::<T::Compute>(&mut renormalized.beta),
                r: B::reborrow_mut::<T::Compute>(&mut renormalized.r),
                d: B::reborrow_mut::<T::Compute>(&mut renormalized.d),
            };
            backend.renormalize::<T::Compute>(with, affine.epsilon, reference, written)?;
            let with = statistics.normalization(
                B::reborrow::<T::Compute>(&renormalized.gamma),
                B::reborrow::<T::Compute>(&renormalized.beta),
            );
            backend.normalize::<T>(shape, x_to_y, with, epilogue)?;
        }
    }
    match running {
        Some(running) => backend.update_running::<T::Compute>(statistics, running),
        None => Ok(()),
    }
}

/// See [`Backend::backward`].
///
/// # Errors
/// As the steps.
#[expect(
    clippy::too_many_arguments,
    reason = "inputs, outputs and what lies between"
)]
pub fn backward<'b, B: Backend, T: Element>(
    backend: &B,
    batch: impl Into<Batch<'b>>,
    dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
    x: B::Slice<'_, T>,
    with: Normalization<B::Slice<'_, T::Compute>>,
    source: StatisticsSource,
    activation: ActivationBackward<&B::Mask, B::Slice<'_, T>>,
    dresidual: Option<B::SliceMut<'_, T>>,
    mut out: GradientSumsMut<B::SliceMut<'_, T::Compute>>,
) -> Result<()> {
    let batch = batch.into();
    let dy = match &dy_to_dx {
        InOut::Separate(dy, _) => B::shorten::<T>(*dy),
        InOut::InPlace(both) => B::reborrow::<T>(both),
    };
    let written = GradientSumsMut {
        gamma: B::reborrow_mut::<T::Compute>(&mut out.gamma),
        beta: B::reborrow_mut::<T::Compute>(&mut out.beta),
    };
    backend.backward_reduce::<T>(batch, dy, x, with, activation, written)?;
    let sums = (source == StatisticsSource::Batch).then(|| GradientSums {
        gamma: B::reborrow::<T::Compute>(&out.gamma),
        beta: B::reborrow::<T::Compute>(&out.beta),
        count: batch.count(),
    });
    backend.backward_input::<T>(batch, dy_to_dx, x, with, activation, sums, dresidual)
}
