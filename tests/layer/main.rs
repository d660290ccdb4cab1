//! What the layer adds to the steps: running statistics, averaging, when they follow, and what it refuses.

mod adapted;
mod averaging;
mod checkpointed;
mod empty;
mod passes;
mod refused;

use batchnorm::{BatchNorm, Cpu};

fn cpu() -> Cpu {
    Cpu::with_threads(1).unwrap()
}

/// Running mean, running variance and the number of batches of a layer of one channel.
fn running(layer: &BatchNorm<Cpu>) -> (f32, f32, u64) {
    let (mean, variance, batches) = contract_suite::layers::running(layer);
    (mean[0], variance[0], batches)
}
