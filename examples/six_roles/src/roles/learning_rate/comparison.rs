//! Both arms of one kind of network, over learning rates.

use candle_core::Result;
use tables::spread::Spread;

use crate::context::Context;
use crate::convolution::ConvolutionalNetwork;
use crate::initialization::Weights;
use crate::network::{Activation, Architecture, Network};
use crate::sweep::{Arms, Runs, compare, paired_ratio, powers_of_ten};
use crate::training::{Record, Schedule};

/// A run is stable if it is at least so accurate at its end.
const STABLE: f64 = 0.85;
const ACCURATE: f64 = 0.9;
const LOW_LOSS: f64 = 0.1;

/// What was measured on one kind of network.
pub(super) struct Comparison {
    pub(super) name: &'static str,
    pub(super) arms: Arms,
    /// The largest stable rate from each seed, plain and BN; 0 where none is stable.
    pub(super) stable: [Vec<f64>; 2],
    pub(super) to_accuracy: [Spread; 2],
    pub(super) to_loss: [Spread; 2],
    pub(super) tuned: [Spread; 2],
}

impl Comparison {
    fn new(name: &'static str, arms: Arms, seeds: &[u64]) -> Self {
        let both = arms.both();
        let fastest =
            |runs: &Runs, steps: fn(&Record) -> f64| runs.spread(runs.rate_of_least(steps), steps);
        Self {
            name,
            stable: both.map(|runs| {
                seeds
                    .iter()
                    .map(|&seed| largest_stable(runs, seed))
                    .collect()
            }),
            to_accuracy: both.map(|runs| fastest(runs, to_accuracy)),
            to_loss: both.map(|runs| fastest(runs, to_loss)),
            tuned: both.map(Runs::tuned_accuracy),
            arms,
        }
    }

    pub(super) fn stable_ratio(&self) -> f64 {
        paired_ratio(&self.stable[1], &self.stable[0])
    }

    /// How many times more steps the plain arm needs to be accurate.
    pub(super) fn speed_ratio(&self) -> f64 {
        self.to_accuracy[0].median / self.to_accuracy[1].median
    }

    pub(super) fn loss_ratio(&self) -> f64 {
        self.to_loss[0].median / self.to_loss[1].median
    }

    /// At the smallest rate, the training loss with batch norm over that without.
    pub(super) fn slowness_at_small_rate(&self) -> f64 {
        let loss = |runs: &Runs| runs.spread(runs.rates[0], Record::final_loss).median;
        loss(&self.arms.batch_norm) / loss(&self.arms.plain)
    }
}

fn largest_stable(runs: &Runs, seed: u64) -> f64 {
    let stable = runs.runs.iter().filter(|run| {
        run.seed == seed && !run.record.diverged() && run.record.final_accuracy() >= STABLE
    });
    stable.map(|run| run.rate).fold(0.0, f64::max)
}

pub(super) fn to_accuracy(record: &Record) -> f64 {
    record.steps_to_accuracy(ACCURATE)
}

pub(super) fn to_loss(record: &Record) -> f64 {
    record.steps_to_loss(LOW_LOSS)
}

/// Ten fully connected layers.
pub(super) fn mlp(context: &Context) -> Result<Comparison> {
    let seeds = context.seeds(10, 3);
    let rates = context.choose(powers_of_ten(-8..=6, 4), powers_of_ten(-6..=3, 4));
    let mut arms = compare(
        context,
        "role 2: fully connected",
        &[()],
        (&rates, &seeds),
        |(), normalize, seed| {
            let architecture =
                Architecture::new((10, 64), Activation::Relu, Weights::He, normalize);
            Network::new(&architecture, seed, &context.device)
        },
        |rate, seed| Schedule::new(400, rate, seed),
    )?;
    Ok(Comparison::new("MLP", arms.remove(0), &seeds))
}

/// Four convolutions.
pub(super) fn cnn(context: &Context) -> Result<Comparison> {
    let seeds = context.seeds(5, 3);
    let rates = context.choose(powers_of_ten(-6..=6, 4), powers_of_ten(-2..=2, 2));
    let mut arms = compare(
        context,
        "role 2: convolutional",
        &[()],
        (&rates, &seeds),
        |(), normalize, seed| ConvolutionalNetwork::new(normalize, seed, &context.device),
        |rate, seed| Schedule::new(300, rate, seed),
    )?;
    Ok(Comparison::new("CNN", arms.remove(0), &seeds))
}
