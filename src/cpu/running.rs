//! The running statistics follow a batch.

use crate::backend::operands::{RunningMut, Statistics};
use crate::element::Compute;

/// `running = (1 − factor)·running + factor·batch`, rounded once.
pub(crate) fn follow<C: Compute>(batch: &Statistics<&[C]>, running: RunningMut<&mut [C]>) {
    let RunningMut {
        mean,
        variance,
        factor,
        correction,
        only_finite,
    } = running;
    let followed = |before: C, batch: f64| -> C {
        C::from_f64((1.0 - factor) * before.to_f64() + factor * batch)
    };
    for (c, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        let exact_mean = batch.mean[c].to_f64() + batch.mean_low[c].to_f64();
        let new_mean = followed(*mean, exact_mean);
        let new_variance = followed(*variance, batch.variance[c].to_f64() * correction);
        // A batch that is not finite makes none that are.
        let is_finite = new_mean.to_f64().is_finite() && new_variance.to_f64().is_finite();
        if is_finite || !only_finite {
            (*mean, *variance) = (new_mean, new_variance);
        }
    }
}
