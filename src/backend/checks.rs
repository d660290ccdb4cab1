//! Every length is checked here, once, in front of every backend, before anything is written.

use crate::backend::activation::Activation;
use crate::backend::batch::Batch;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::from_output::check_has_inverse;
use crate::backend::kept::Kept;
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, InOut, MomentsMut, Normalization, RenormalizedMut,
    RunningMut, RunningReference, Statistics, StatisticsMut,
};
use crate::backend::saved_activation::SavedActivation;
use crate::backend::steps::Steps;
use crate::config::checks::check_training_epsilon;
use crate::config::renormalization::check_limits;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::shape::{Shape, check_len};

/// The number of values that can be written.
pub(super) fn len_mut<B: Steps, T: Element>(slice: &B::SliceMut<'_, T>) -> usize {
    B::len::<T>(&B::reborrow::<T>(slice))
}

pub(super) fn check_in_out<B: Steps, T: Element>(
    shape: &Shape,
    input: &'static str,
    output: &'static str,
    in_out: &InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
) -> Result<()> {
    match in_out {
        InOut::Separate(from, to) => {
            shape.check_len(input, B::len::<T>(from))?;
            shape.check_len(output, len_mut::<B, T>(to))
        }
        InOut::InPlace(both) => shape.check_len(input, len_mut::<B, T>(both)),
    }
}

pub(super) fn check_normalization<B: Steps, C: Compute>(
    shape: &Shape,
    with: &Normalization<B::Slice<'_, C>>,
) -> Result<()> {
    shape.check_per_channel("mean", B::len::<C>(&with.mean))?;
    shape.check_per_channel("mean_low", B::len::<C>(&with.mean_low))?;
    shape.check_per_channel("inv_std", B::len::<C>(&with.inv_std))?;
    shape.check_per_channel("gamma", B::len::<C>(&with.gamma))?;
    shape.check_per_channel("beta", B::len::<C>(&with.beta))
}

fn check_affine<B: Steps, C: Compute>(
    shape: &Shape,
    affine: &Affine<B::Slice<'_, C>>,
) -> Result<()> {
    shape.check_per_channel("gamma", B::len::<C>(&affine.gamma))?;
    shape.check_per_channel("beta", B::len::<C>(&affine.beta))
}

/// Of a training pass.
pub(super) fn check_forward<B: Steps, T: Element>(
    shape: &Shape,
    kept: Option<&Kept>,
    x: &B::Slice<'_, T>,
    affine: &Affine<B::Slice<'_, T::Compute>>,
    epilogue: &Epilogue<B::Slice<'_, T>, &mut B::Mask, B::SliceMut<'_, T>>,
    y: &B::SliceMut<'_, T>,
    out: &StatisticsMut<B::SliceMut<'_, T::Compute>>,
) -> Result<()> {
    shape.check_len("x", B::len::<T>(x))?;
    shape.check_len("y", len_mut::<B, T>(y))?;
    check_affine::<B, T::Compute>(shape, affine)?;
    check_training_epsilon(affine.epsilon)?;
    check_statistics_out::<B, T::Compute>(shape, out)?;
    check_epilogue::<B, T>(shape, epilogue)?;
    check_values(shape, kept, 2)
}

/// Of what reduces dy.
pub(super) fn check_reduce<B: Steps, T: Element>(
    shape: &Shape,
    dy: &B::Slice<'_, T>,
    x: &B::Slice<'_, T>,
    with: &Normalization<B::Slice<'_, T::Compute>>,
    activation: &ActivationBackward<&B::Mask, B::Slice<'_, T>>,
) -> Result<()> {
    shape.check_len("dy", B::len::<T>(dy))?;
    shape.check_len("x", B::len::<T>(x))?;
    check_normalization::<B, T::Compute>(shape, with)?;
    check_activation::<B, T>(shape, activation)
}

/// Of what writes dx.
pub(super) fn check_backward<B: Steps, T: Element>(
    shape: &Shape,
    dy_to_dx: &InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
    x: &B::Slice<'_, T>,
    with: &Normalization<B::Slice<'_, T::Compute>>,
    activation: &ActivationBackward<&B::Mask, B::Slice<'_, T>>,
    dresidual: Option<&B::SliceMut<'_, T>>,
) -> Result<()> {
    check_in_out::<B, T>(shape, "dy", "dx", dy_to_dx)?;
    shape.check_len("x", B::len::<T>(x))?;
    check_normalization::<B, T::Compute>(shape, with)?;
    if let Some(dresidual) = dresidual {
        shape.check_len("dresidual", len_mut::<B, T>(dresidual))?;
    }
    check_activation::<B, T>(shape, activation)
}

pub(super) fn check_epilogue<B: Steps, T: Element>(
    shape: &Shape,
    epilogue: &Epilogue<B::Slice<'_, T>, &mut B::Mask, B::SliceMut<'_, T>>,
) -> Result<()> {
    if let Some(residual) = &epilogue.residual {
        shape.check_len("the residual", B::len::<T>(residual))?;
    }
    let after_residual = epilogue.residual.is_some();
    check_saved(epilogue.activation, after_residual, epilogue.saved.kind())?;
    match &epilogue.saved {
        SavedActivation::Nothing => Ok(()),
        SavedActivation::Mask(mask) => B::check_mask::<T>(shape, mask),
        SavedActivation::PreActivation(v) => {
            shape.check_len("the values before the activation", len_mut::<B, T>(v))
        }
        SavedActivation::Output(None) => check_has_inverse(epilogue.activation),
        SavedActivation::Output(Some(_)) => Err(Error::Value {
            what: "what is saved of an activation",
            found: "the residual, for a pass that keeps y".to_owned(),
            needed: "nothing: its backward pass is given the residual itself",
        }),
    }
}

/// In the backward pass nobody says any more whether there was a residual.
fn check_activation<B: Steps, T: Element>(
    shape: &Shape,
    backward: &ActivationBackward<&B::Mask, B::Slice<'_, T>>,
) -> Result<()> {
    check_saved(backward.activation, true, backward.saved.kind())?;
    match &backward.saved {
        SavedActivation::Nothing => Ok(()),
        SavedActivation::Mask(mask) => B::check_mask::<T>(shape, mask),
        SavedActivation::PreActivation(v) => {
            shape.check_len("the values before the activation", B::len::<T>(v))
        }
        SavedActivation::Output(residual) => {
            if let Some(residual) = residual {
                shape.check_len("the residual", B::len::<T>(residual))?;
            }
            check_has_inverse(backward.activation)
        }
    }
}

/// Backward from y is of batches of which all is kept.
pub(super) fn check_kept_backward<M, V>(
    kept: Option<&Kept>,
    backward: &ActivationBackward<M, V>,
) -> Result<()> {
    match (&backward.saved, kept) {
        (SavedActivation::Output(_), Some(kept)) => Err(Error::Value {
            what: "what backward from y is given",
            found: format!("a batch of which not all is kept, {kept:?}"),
            needed: "one of which all is, or x",
        }),
        _ => Ok(()),
    }
}

/// Kernels save of an activation what it needs, or nothing.
fn check_saved(
    activation: Activation,
    after_residual: bool,
    found: SavedActivation<(), ()>,
) -> Result<()> {
    activation.check()?;
    if matches!(found, SavedActivation::Output(_)) {
        return Ok(());
    }
    if found == SavedActivation::Nothing || found == activation.saves(after_residual) {
        return Ok(());
    }
    let residual = if after_residual {
        ""
    } else {
        " without a residual"
    };
    Err(Error::Value {
        what: "what is saved of an activation",
        found: format!("{found:?} for {activation:?}{residual}"),
        needed: "nothing, or what its backward pass needs (Activation::saves)",
    })
}

pub(super) fn check_statistics_out<B: Steps, C: Compute>(
    shape: &Shape,
    out: &StatisticsMut<B::SliceMut<'_, C>>,
) -> Result<()> {
    shape.check_per_channel("the output mean", len_mut::<B, C>(&out.mean))?;
    shape.check_per_channel("the output mean_low", len_mut::<B, C>(&out.mean_low))?;
    shape.check_per_channel("the output variance", len_mut::<B, C>(&out.variance))?;
    shape.check_per_channel("the output inv_std", len_mut::<B, C>(&out.inv_std))?;
    let Some(running) = &out.running else {
        return Ok(());
    };
    shape.check_per_channel("the running mean", len_mut::<B, C>(&running.mean))?;
    shape.check_per_channel("the running variance", len_mut::<B, C>(&running.variance))?;
    check_following(running.factor, running.correction)
}

/// Running statistics that follow by other numbers than these are none from then on.
fn check_following(factor: f64, correction: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&factor) {
        return Err(Error::Momentum { found: factor });
    }
    if correction.is_finite() && correction >= 0.0 {
        return Ok(());
    }
    Err(Error::Value {
        what: "the correction of a variance that is followed",
        found: correction.to_string(),
        needed: "finite and not negative",
    })
}

pub(super) fn check_gradients_out<B: Steps, C: Compute>(
    shape: &Shape,
    out: &GradientSumsMut<B::SliceMut<'_, C>>,
) -> Result<()> {
    shape.check_per_channel("the gradient of gamma", len_mut::<B, C>(&out.gamma))?;
    shape.check_per_channel("the gradient of beta", len_mut::<B, C>(&out.beta))
}

pub(super) fn check_sums<B: Steps, C: Compute>(
    shape: &Shape,
    sums: &GradientSums<B::Slice<'_, C>>,
) -> Result<()> {
    let (gamma, beta) = (B::len::<C>(&sums.gamma), B::len::<C>(&sums.beta));
    check_sum_lengths(shape, gamma, beta)?;
    check_count(shape, sums.count)
}

pub(super) fn check_sums_in_f64(shape: &Shape, sums: &GradientSums<&[f64]>) -> Result<()> {
    check_sum_lengths(shape, sums.gamma.len(), sums.beta.len())?;
    check_count(shape, sums.count)
}

pub(super) fn check_sums_out_in_f64(
    shape: &Shape,
    out: &GradientSumsMut<&mut [f64]>,
) -> Result<()> {
    check_sum_lengths(shape, out.gamma.len(), out.beta.len())
}

fn check_sum_lengths(shape: &Shape, gamma: usize, beta: usize) -> Result<()> {
    shape.check_per_channel("the gradient sum of gamma", gamma)?;
    shape.check_per_channel("the gradient sum of beta", beta)
}

fn check_count(shape: &Shape, count: usize) -> Result<()> {
    if count > 0 || shape.is_empty() {
        return Ok(());
    }
    Err(Error::Value {
        what: "the count of gradient sums",
        found: "0".to_owned(),
        needed: "the number of values per channel that were summed",
    })
}

pub(super) fn check_moments_out(shape: &Shape, out: &MomentsMut<'_>) -> Result<()> {
    shape.check_per_channel("the output mean", out.mean.len())?;
    shape.check_per_channel("the output mean_low", out.mean_low.len())?;
    shape.check_per_channel("the output m2", out.m2.len())
}

pub(super) fn check_inverse_std<B: Steps, C: Compute>(
    variance: &B::Slice<'_, C>,
    inv_std: &B::SliceMut<'_, C>,
) -> Result<()> {
    let found = len_mut::<B, C>(inv_std);
    check_len("inv_std", found, B::len::<C>(variance))
}

pub(super) fn check_running<B: Steps, C: Compute>(
    batch: &Statistics<B::Slice<'_, C>>,
    running: &RunningMut<B::SliceMut<'_, C>>,
) -> Result<()> {
    check_following(running.factor, running.correction)?;
    let channels = len_mut::<B, C>(&running.mean);
    let running_variance = len_mut::<B, C>(&running.variance);
    check_len("running_variance", running_variance, channels)?;
    check_len("mean", B::len::<C>(&batch.mean), channels)?;
    check_len("mean_low", B::len::<C>(&batch.mean_low), channels)?;
    check_len("variance", B::len::<C>(&batch.variance), channels)?;
    check_len("inv_std", B::len::<C>(&batch.inv_std), channels)
}

pub(super) fn check_reference<B: Steps, C: Compute>(
    channels: usize,
    reference: &RunningReference<B::Slice<'_, C>>,
) -> Result<()> {
    check_limits(reference.r_max, reference.d_max)?;
    check_len("the running mean", B::len::<C>(&reference.mean), channels)?;
    let variances = B::len::<C>(&reference.variance);
    check_len("the running variance", variances, channels)
}

pub(super) fn check_renormalized_out<B: Steps, C: Compute>(
    channels: usize,
    out: &RenormalizedMut<B::SliceMut<'_, C>>,
) -> Result<()> {
    check_len("the output gamma", len_mut::<B, C>(&out.gamma), channels)?;
    check_len("the output beta", len_mut::<B, C>(&out.beta), channels)?;
    check_len("the output r", len_mut::<B, C>(&out.r), channels)?;
    check_len("the output d", len_mut::<B, C>(&out.d), channels)
}

/// Without a shape to say how many channels there are.
pub(super) fn check_renormalize<B: Steps, C: Compute>(
    with: &Normalization<B::Slice<'_, C>>,
    reference: &RunningReference<B::Slice<'_, C>>,
    out: &RenormalizedMut<B::SliceMut<'_, C>>,
) -> Result<()> {
    let channels = B::len::<C>(&with.mean);
    check_len("mean_low", B::len::<C>(&with.mean_low), channels)?;
    check_len("inv_std", B::len::<C>(&with.inv_std), channels)?;
    check_len("gamma", B::len::<C>(&with.gamma), channels)?;
    check_len("beta", B::len::<C>(&with.beta), channels)?;
    check_reference::<B, C>(channels, reference)?;
    check_renormalized_out::<B, C>(channels, out)
}

/// Batch statistics are of at least so many values per channel, and a variance that is followed of a weight above one.
pub(super) fn check_values(shape: &Shape, kept: Option<&Kept>, needed: usize) -> Result<()> {
    let Some(kept) = kept else {
        if shape.values_per_channel() >= needed {
            return Ok(());
        }
        return Err(Error::TooFewValues {
            found: shape.values_per_channel(),
            shape: shape.to_string(),
        });
    };
    if kept.count() == 0 {
        return Err(Error::TooFewValues {
            found: 0,
            shape: format!("{shape}, of which nothing is kept"),
        });
    }
    if needed < 2 {
        return Ok(());
    }
    kept.check_batch_statistics(shape)
}

/// The batch of a step, of which that is kept which belongs to its shape.
pub(super) fn checked_batch<'a>(batch: impl Into<Batch<'a>>) -> Result<Batch<'a>> {
    let batch = batch.into();
    if let Some(kept) = batch.kept {
        kept.check(batch.shape)?;
    }
    Ok(batch)
}

/// Sums over what is kept are of as many values as are kept. (What they are divided by is the weight.)
pub(super) fn check_count_of_kept(kept: Option<&Kept>, count: usize) -> Result<()> {
    match kept {
        Some(kept) if kept.count() != count => Err(Error::Value {
            what: "the count of gradient sums over what is kept",
            found: format!("{count}, of {} places", kept.count()),
            needed: "the number of places that are kept",
        }),
        _ => Ok(()),
    }
}
