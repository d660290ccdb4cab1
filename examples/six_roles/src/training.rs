//! The training loop: plain gradient descent on the mean cross entropy, with a constant learning rate.

use candle_core::{Result, Tensor, Var};
use candle_nn::optim::SGD;
use candle_nn::{Optimizer, loss};
use digits_data::random::Random;

use crate::data::Samples;
use crate::normalization::Pass;

/// What can be trained.
pub(crate) trait Model {
    /// Scores (N, CLASSES) of images (N, PIXELS).
    fn logits(&self, images: &Tensor, pass: Pass) -> Result<Tensor>;
    fn parameters(&self) -> Vec<Var>;
}

#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) rate: f64,
    /// Whether each epoch goes through the images in another order.
    pub(crate) reshuffle: bool,
    /// Draws the order of the images.
    pub(crate) seed: u64,
    /// After which steps the test accuracy is measured.
    pub(crate) checkpoints: Vec<usize>,
}

impl Schedule {
    /// Images of a mini-batch.
    pub(crate) const BATCH: usize = 60;

    /// Mini-batches of 60 in an order that is new in each epoch, and test accuracies every 20 steps.
    pub(crate) fn new(steps: usize, rate: f64, seed: u64) -> Self {
        Self {
            steps,
            batch: Self::BATCH,
            rate,
            reshuffle: true,
            seed,
            checkpoints: (20..=steps).step_by(20).collect(),
        }
    }

    /// The test accuracy is measured at the end only.
    pub(crate) fn tested_at_the_end(mut self) -> Self {
        self.checkpoints = vec![self.steps];
        self
    }
}

/// What came of a training run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Of every mini-batch, up to the first that is not finite.
    pub(crate) losses: Vec<f32>,
    /// (step, test accuracy) at the checkpoints. 0 from the first loss on that is not finite.
    pub(crate) accuracies: Vec<(usize, f64)>,
}

/// How many mini-batch losses are averaged: an epoch's.
const WINDOW: usize = 20;

impl Record {
    pub(crate) fn diverged(&self) -> bool {
        self.losses.last().is_some_and(|loss| !loss.is_finite())
    }

    pub(crate) fn final_accuracy(&self) -> f64 {
        self.accuracies.last().map_or(0.0, |last| last.1)
    }

    pub(crate) fn accuracy_at(&self, step: usize) -> f64 {
        let found = self.accuracies.iter().find(|(at, _)| *at == step);
        found.map_or(f64::NAN, |(_, accuracy)| *accuracy)
    }

    /// The mean of the last epoch's mini-batch losses; infinite where training diverged.
    pub(crate) fn final_loss(&self) -> f64 {
        if self.diverged() {
            return f64::INFINITY;
        }
        mean(&self.losses[self.losses.len().saturating_sub(WINDOW)..])
    }

    /// The first checkpoint with at least this test accuracy; infinite where there is none.
    pub(crate) fn steps_to_accuracy(&self, level: f64) -> f64 {
        let reached = self
            .accuracies
            .iter()
            .find(|(_, accuracy)| *accuracy >= level);
        reached.map_or(f64::INFINITY, |(step, _)| *step as f64)
    }

    /// The first step at which the mean of the last epoch's losses is at most this; infinite where there is none.
    pub(crate) fn steps_to_loss(&self, level: f64) -> f64 {
        let reached = self
            .losses
            .windows(WINDOW)
            .position(|window| mean(window) <= level);
        reached.map_or(f64::INFINITY, |start| (start + WINDOW) as f64)
    }
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64
}

/// Trains, and calls `observe` after every step with its number (from 1), its mini-batch and its loss.
pub(crate) fn train(
    model: &impl Model,
    (training, test): (&Samples, &Samples),
    schedule: &Schedule,
    mut observe: impl FnMut(usize, &Samples, f32) -> Result<()>,
) -> Result<Record> {
    let mut optimizer = SGD::new(model.parameters(), schedule.rate)?;
    let mut batches = Batches::new(training, schedule)?;
    let mut record = Record::default();
    for step in 1..=schedule.steps {
        let batch = batches.next()?;
        let logits = model.logits(&batch.images, Pass::Training)?;
        let loss = loss::cross_entropy(&logits, &batch.labels)?;
        let value = loss.to_scalar::<f32>()?;
        record.losses.push(value);
        if !value.is_finite() {
            let rest = schedule.checkpoints.iter().filter(|&&at| at >= step);
            record.accuracies.extend(rest.map(|&at| (at, 0.0)));
            break;
        }
        optimizer.step(&loss.backward()?)?;
        observe(step, &batch, value)?;
        if schedule.checkpoints.contains(&step) {
            record.accuracies.push((step, evaluate(model, test)?.0));
        }
    }
    Ok(record)
}

/// The accuracy and the mean cross entropy at inference. An image with a score that is not finite counts as wrong.
pub(crate) fn evaluate(model: &impl Model, samples: &Samples) -> Result<(f64, f64)> {
    let logits = model.logits(&samples.images, Pass::Inference)?;
    let loss = loss::cross_entropy(&logits, &samples.labels)?;
    let labels = samples.labels.to_vec1::<u32>()?;
    let right = logits
        .to_vec2::<f32>()?
        .iter()
        .zip(labels)
        .filter(|(scores, label)| {
            let best = (0..).zip(*scores).max_by(|a, b| a.1.total_cmp(b.1));
            scores.iter().all(|score| score.is_finite())
                && best.is_some_and(|(class, _): (u32, _)| class == *label)
        })
        .count();
    let accuracy = right as f64 / samples.len() as f64;
    Ok((accuracy, f64::from(loss.to_scalar::<f32>()?)))
}

/// Mini-batches without end: each epoch goes through the images once, and leaves out what does not fill a batch.
struct Batches<'a> {
    samples: &'a Samples,
    shuffled: Samples,
    start: usize,
    batch: usize,
    reshuffle: bool,
    random: Random,
}

impl<'a> Batches<'a> {
    fn new(samples: &'a Samples, schedule: &Schedule) -> Result<Self> {
        // The weights are drawn from the seed itself.
        let mut random = Random::new(!schedule.seed);
        Ok(Self {
            samples,
            shuffled: samples.pick(&random.order(samples.len()))?,
            start: 0,
            batch: schedule.batch,
            reshuffle: schedule.reshuffle,
            random,
        })
    }

    fn next(&mut self) -> Result<Samples> {
        if self.start + self.batch > self.samples.len() {
            self.start = 0;
            if self.reshuffle {
                let order = self.random.order(self.samples.len());
                self.shuffled = self.samples.pick(&order)?;
            }
        }
        let batch = self.shuffled.range(self.start, self.batch)?;
        self.start += self.batch;
        Ok(batch)
    }
}
