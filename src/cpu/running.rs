//! The running statistics follow a batch.

use crate::element::Compute;

/// `running = (1 − factor)·running + factor·batch`, rounded once.
pub(crate) fn follow<C: Compute>(running: &mut [C], factor: f64, batch: impl Fn(usize) -> f64) {
    for (c, running) in running.iter_mut().enumerate() {
        *running = C::from_f64((1.0 - factor) * running.to_f64() + factor * batch(c));
    }
}
