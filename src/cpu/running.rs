//! Step 2: the running statistics follow a batch.

use crate::backend::operands::{RunningMut, Statistics};
use crate::finalized_channel::wide_variance;
use crate::numeric::Real;

/// `running = (1 − factor)·running + factor·batch`, rounded once.
pub(crate) fn update_running<C: Real>(batch: &Statistics<&[C]>, running: RunningMut<&mut [C]>) {
    let RunningMut {
        mean,
        variance,
        factor,
        correction,
        only_finite,
    } = running;
    let followed = |before: C, batch: f64| -> C {
        C::nearest((1.0 - factor) * before.value() + factor * batch)
    };
    for (c, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        let exact_mean = batch.mean[c].value() + batch.mean_low[c].value();
        let new_mean = followed(*mean, exact_mean);
        let exact_variance = wide_variance(batch.variance[c], batch.inv_std[c]);
        let new_variance = followed(*variance, exact_variance * correction);
        // A batch that is not finite makes none that are.
        let is_finite = new_mean.value().is_finite() && new_variance.value().is_finite();
        if is_finite || !only_finite {
            (*mean, *variance) = (new_mean, new_variance);
        }
    }
}
