//! A fair comparison: both arms have the same networks, initial weights, mini-batches and epochs, and each has the
//! learning rate that suits it best, found without a look at the test images.

use batchnorm::{Device, Result};
use digits_data::digits::Digits;
use digits_data::random::Random;

use crate::network::Network;
use crate::progress::Progress;
use crate::scaling::Scaling;

pub(crate) const BATCH: usize = 32;
pub(crate) const RATES: [f32; 5] = [0.01, 0.03, 0.1, 0.3, 1.0];

/// Where the images go.
pub(crate) struct Split {
    /// 1,000 to train on while the learning rate is looked for,
    pub(crate) tuning: Digits,
    /// and 200 to choose it by.
    pub(crate) validation: Digits,
    /// Both of them, to train on with that rate,
    pub(crate) training: Digits,
    /// and the rest, to measure.
    pub(crate) test: Digits,
}

impl Split {
    pub(crate) fn new(all: &Digits) -> Self {
        Self {
            tuning: all.range(0..1000),
            validation: all.range(1000..1200),
            training: all.range(0..1200),
            test: all.range(1200..all.len()),
        }
    }
}

/// One side of the comparison.
pub(crate) struct Arm<'a> {
    /// For whoever waits.
    pub(crate) name: &'static str,
    /// With batch norm, if there is a device to run it on.
    pub(crate) normalize_on: Option<&'a Device>,
    pub(crate) epochs: u32,
    pub(crate) seeds: u32,
}

/// What was measured on one side.
pub(crate) struct Outcome {
    /// The median validation accuracy at each of [`RATES`].
    pub(crate) validation: Vec<f64>,
    /// The one of [`RATES`] with the best of those.
    pub(crate) rate: f32,
    /// The test accuracy of every seed at that rate, from the least to the most.
    pub(crate) test: Vec<f64>,
}

impl Arm<'_> {
    /// How many epochs [`measure`](Self::measure) trains, over all runs.
    pub(crate) fn total_epochs(&self) -> u64 {
        (RATES.len() as u64 + 1) * u64::from(self.epochs) * u64::from(self.seeds)
    }

    pub(crate) fn measure(&self, split: &Split, progress: &Progress) -> Result<Outcome> {
        let (mut validation, mut best) = (Vec::new(), (0.0, RATES[0]));
        for rate in RATES {
            let split = (&split.tuning, &split.validation);
            let accuracy = median(&self.accuracies(split, rate, progress)?);
            validation.push(accuracy);
            if accuracy > best.0 {
                best = (accuracy, rate);
            }
        }
        Ok(Outcome {
            validation,
            rate: best.1,
            test: self.accuracies((&split.training, &split.test), best.1, progress)?,
        })
    }

    /// One accuracy for each seed, from the least to the most.
    fn accuracies(
        &self,
        (training, held_out): (&Digits, &Digits),
        rate: f32,
        progress: &Progress,
    ) -> Result<Vec<f64>> {
        let scaling = Scaling::of(training);
        let (training, held_out) = (scaling.apply(training), scaling.apply(held_out));
        let mut accuracies = (0..self.seeds)
            .map(|seed| {
                self.train(&training, rate, seed, progress)?
                    .accuracy(&held_out)
            })
            .collect::<Result<Vec<_>>>()?;
        accuracies.sort_by(f64::total_cmp);
        Ok(accuracies)
    }

    fn train(
        &self,
        training: &Digits,
        rate: f32,
        seed: u32,
        progress: &Progress,
    ) -> Result<Network> {
        let mut random = Random::new(u64::from(seed));
        let mut network = Network::new(self.normalize_on, &mut random)?;
        for _ in 0..self.epochs {
            for places in random.order(training.len()).chunks(BATCH) {
                network.learn(training.pick(places), rate)?;
            }
            progress.epoch(self.name);
        }
        Ok(network)
    }
}

/// The middle one of sorted values, or the mean of the middle two.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}
