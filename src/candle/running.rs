//! The layer's running statistics as a pass reads them and leaves them. candle's variables can be set by anybody at any time, so
//! that they are looked at in every pass.

use candle_core::{DType, Result, Tensor};

use crate::candle::computed::Computed;
use crate::candle::error::wrap;
use crate::candle::memory::{Variable, values_on_cpu};
use crate::candle::value::Value;
use crate::config::BatchNormConfig;
use crate::device::Device;
use crate::element::Compute;
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

/// Copies of them, in the type that is computed in.
///
/// # Errors
/// [`Error::Value`] for a channel that cannot be used so. (A GPU is not waited for: there they are taken as they are.)
pub(super) fn copy_running<T: Value<Compute: Value>>(
    device: &Device,
    config: &BatchNormConfig,
    (mean, variance): (&Tensor, &Tensor),
    running: Use,
) -> Result<RunningStatistics<T::Compute, Device>> {
    let mean = Variable::of::<T::Compute>(mean)?;
    let variance = Variable::of::<T::Compute>(variance)?;
    let (mean, variance) = (mean.slice()?, variance.slice()?);
    if let (Some(mean), Some(variance)) = (values_on_cpu(mean), values_on_cpu(variance)) {
        check_running(mean, variance, running).map_err(wrap)?;
    }
    RunningStatistics::copied(device, config, mean, variance).map_err(wrap)
}

/// The same of a layer whose pass is not known yet, or that is folded.
pub(super) fn check_for_normalizing(running_mean: &Tensor, running_var: &Tensor) -> Result<()> {
    let values = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.to_vec1::<f64>();
    let (mean, variance) = (values(running_mean)?, values(running_var)?);
    check_running(&mean, &variance, Use::Normalize).map_err(wrap)
}

fn check_running<C: Compute>(mean: &[C], variance: &[C], running: Use) -> crate::error::Result<()> {
    let all = |values: &[C], what, needed, holds: fn(f64) -> bool| {
        let fails = |value: &C| !holds(value.to_f64());
        match values.iter().position(fails) {
            None => Ok(()),
            Some(channel) => Err(Error::Value {
                what,
                found: format!("{:?} in channel {channel}", values[channel]),
                needed,
            }),
        }
    };
    match running {
        Use::Follow => all(variance, "a running_var", "zero or more", |value| {
            value.is_nan() || value >= 0.0
        }),
        Use::Normalize => {
            all(mean, "a running_mean", "finite", f64::is_finite)?;
            all(
                variance,
                "a running_var",
                "finite and not negative",
                |value| value.is_finite() && value >= 0.0,
            )
        }
    }
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
