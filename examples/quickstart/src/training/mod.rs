//! Training runs: plain gradient descent with a constant learning rate.

mod dense;
mod hidden;
mod network;
mod split;

use batchnorm::Result;
pub(crate) use dense::Weights;
use digits_data::random::Random;
use indicatif::ProgressBar;
use network::Network;
use rayon::prelude::*;
pub(crate) use split::Split;

const BATCH: usize = 60;
/// Steps between two looks at the test images: an epoch.
const LOOK: usize = 20;

/// What is trained, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) depth: usize,
    pub(crate) weights: Weights,
    pub(crate) normalize: bool,
    pub(crate) rate: f32,
    pub(crate) steps: usize,
    /// Draws the weights and the mini-batches: alike with and without batch norm.
    pub(crate) seed: u64,
}

/// A run, and the test accuracy after so many steps.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) accuracies: Vec<(usize, f64)>,
}

impl Outcome {
    pub(crate) fn accuracy(&self) -> f64 {
        self.accuracies.last().map_or(0.0, |(_, last)| *last)
    }
}

impl Run {
    pub(crate) fn train(self, split: &Split, progress: &ProgressBar) -> Result<Outcome> {
        let mut random = Random::new(self.seed);
        let mut network = Network::new(self.depth, self.weights, self.normalize, &mut random)?;
        let mut accuracies = Vec::new();
        let (mut order, mut step) = (Vec::new(), 0);
        while step < self.steps {
            if order.len() < BATCH {
                order = random.order(split.training.len());
            }
            let places = order.split_off(order.len() - BATCH);
            network.learn(split.training.pick(&places), self.rate)?;
            step += 1;
            if step % LOOK == 0 || step == self.steps {
                accuracies.push((step, network.accuracy(&split.test)?));
            }
            progress.inc(1);
        }
        Ok(Outcome {
            run: self,
            accuracies,
        })
    }
}

/// All of them, as many at a time as there are cores; the outcomes are in the order of the runs.
pub(crate) fn train_all(
    runs: &[Run],
    split: &Split,
    progress: &ProgressBar,
) -> Result<Vec<Outcome>> {
    runs.par_iter()
        // Runs differ in length: a thread takes the next one when it is done with the last.
        .with_max_len(1)
        .map(|run| run.train(split, progress))
        .collect()
}
