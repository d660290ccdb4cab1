//! Checkpoints: what is written and read back, and that what is refused changes nothing.

mod changed_file;
mod counts;
mod damaged;
mod files;
mod refused;
mod round_trip;

use batchnorm::{BatchNorm, BatchNormConfig, Compute, Cpu};

/// γ, β, mean, variance and count: everything that a load can change.
type State<C> = (
    Option<Vec<C>>,
    Option<Vec<C>>,
    Option<(Vec<C>, Vec<C>, u64)>,
);

fn state<C: Compute>(layer: &BatchNorm<Cpu, C>) -> State<C> {
    let running = layer.running().map(|running| {
        (
            running.mean().to_vec().unwrap(),
            running.variance().to_vec().unwrap(),
            running.num_batches_tracked(),
        )
    });
    (
        layer.gamma().map(|gamma| gamma.to_vec().unwrap()),
        layer.beta().map(|beta| beta.to_vec().unwrap()),
        running,
    )
}

fn new_layer<C: Compute>(config: BatchNormConfig) -> BatchNorm<Cpu, C> {
    BatchNorm::with_compute(&Cpu::new(), config).unwrap()
}

/// A layer of values that no shorter type holds.
fn trained<C: Compute>(config: BatchNormConfig) -> BatchNorm<Cpu, C> {
    let mut layer = new_layer(config);
    let values = |first: f64| -> Vec<C> {
        let values = (0..config.channels()).map(|c| C::from_f64((first + c as f64).sqrt()));
        values.collect()
    };
    if let Some(gamma) = layer.gamma_mut() {
        gamma.set(&values(2.1)).unwrap();
    }
    if let Some(beta) = layer.beta_mut() {
        beta.set(&values(3.1)).unwrap();
    }
    if let Some(running) = layer.running_mut() {
        running.set(&values(5.1), &values(7.1), 1234).unwrap();
    }
    layer
}
