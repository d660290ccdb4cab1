//! The layer's running statistics as a pass reads them and leaves them. candle's variables can be set by anybody at any time, so
//! that they are looked at in every pass.

use candle_core::Device::Cpu;
use candle_core::{DType, Result, Tensor};

use crate::candle::computed::Computed;
use crate::candle::error::wrap;
use crate::candle::memory::{Borrowed, Variable, values_on_cpu};
use crate::candle::value::{Value, not_a_type};
use crate::config::BatchNormConfig;
use crate::device::Device;
use crate::element::{Compute, Element, match_dtype};
use crate::error::Error;
use crate::statistics::running::RunningStatistics;

/// What a pass does with the running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// They follow a batch. A batch of a NaN or an infinity has left such values then, which are nobody's mistake.
    Follow,
    /// What is normalized with.
    Normalize,
}

/// That they can be used so; on a GPU, which is not waited for, they are taken as they are.
///
/// # Errors
/// [`Error::Value`] names the first channel that cannot.
pub(super) fn check_running(mean: &Tensor, variance: &Tensor, running: Use) -> Result<()> {
    let (mean_is, variance_is) = ("a running_mean", "a running_var");
    match running {
        Use::Follow => check_each(variance, variance_is, "zero or more", |value| {
            value.is_nan() || value >= 0.0
        }),
        Use::Normalize => {
            check_each(mean, mean_is, "finite", f64::is_finite)?;
            let needed = "finite and not negative";
            check_each(variance, variance_is, needed, |value| {
                value.is_finite() && value >= 0.0
            })
        }
    }
}

/// The same wherever they are, of a layer that is made or folded.
pub(super) fn check_for_normalizing(mean: &Tensor, variance: &Tensor) -> Result<()> {
    let (mean, variance) = (mean.to_device(&Cpu)?, variance.to_device(&Cpu)?);
    check_running(&mean, &variance, Use::Normalize)
}

fn check_each(
    tensor: &Tensor,
    what: &'static str,
    needed: &'static str,
    holds: fn(f64) -> bool,
) -> Result<()> {
    let wrong = match_dtype!(
        tensor.dtype(), DType as T => {
            let borrowed = Borrowed::of(tensor);
            let values = values_on_cpu(borrowed.slice::<T>()?).unwrap_or_default();
            let wrong = values.iter().position(|value| !holds(value.to_f64()));
            wrong.map(|channel| format!("{:?} in channel {channel}", values[channel]))
        },
        other => return Err(not_a_type(what, other)),
    );
    match wrong {
        None => Ok(()),
        Some(found) => Err(wrap(Error::Value {
            what,
            found,
            needed,
        })),
    }
}

/// Copies of them, in the type that is computed in.
pub(super) fn copy_running<T: Value<Compute: Value>>(
    device: &Device,
    config: &BatchNormConfig,
    (mean, variance): (&Tensor, &Tensor),
) -> Result<RunningStatistics<T::Compute, Device>> {
    let mean = Variable::of::<T::Compute>(mean)?;
    let variance = Variable::of::<T::Compute>(variance)?;
    RunningStatistics::copied(device, config, mean.slice()?, variance.slice()?).map_err(wrap)
}

/// In the types of those `before` the batch.
pub(super) fn give_running<C: Value + Compute>(
    running: RunningStatistics<C, Device>,
    config: &BatchNormConfig,
    before: (&Tensor, &Tensor),
) -> Result<(Tensor, Tensor)> {
    let channels = running.mean().len();
    let (mean, variance) = running.into_buffers();
    let given = |buffer, like: &Tensor| {
        let values = Computed::of(buffer, vec![channels], like.device())?;
        Ok::<_, candle_core::Error>(values.in_type(like.dtype())?.constant())
    };
    let (mean, variance) = (given(mean, before.0)?, given(variance, before.1)?);
    if config.keeps_running_finite() {
        return keep_finite((mean, variance), before);
    }
    Ok((mean, variance))
}

/// What was computed is finite, but a half type may have no room for it: such a channel stays as it was.
fn keep_finite(
    (mean, variance): (Tensor, Tensor),
    before: (&Tensor, &Tensor),
) -> Result<(Tensor, Tensor)> {
    let followed = (is_finite(&mean)? * is_finite(&variance)?)?;
    Ok((
        followed.where_cond(&mean, &before.0.detach())?,
        followed.where_cond(&variance, &before.1.detach())?,
    ))
}

/// 1 for a value that is finite, otherwise 0.
pub(super) fn is_finite(tensor: &Tensor) -> Result<Tensor> {
    tensor.abs()?.lt(f64::INFINITY)
}
