//! The classifier: hidden layers of one width, then one score per digit.

use batchnorm::Result;
use digits_data::digits::{CLASSES, Digits, PIXELS};
use digits_data::random::Random;
use ndarray::Array2;

use super::dense::{Dense, Weights};
use super::hidden::Hidden;

const WIDTH: usize = 64;

pub(super) struct Network {
    hidden: Vec<Hidden>,
    output: Dense,
}

impl Network {
    pub(super) fn new(
        depth: usize,
        weights: Weights,
        normalize: bool,
        random: &mut Random,
    ) -> Result<Self> {
        let hidden = (0..depth)
            .map(|layer| {
                let inputs = if layer == 0 { PIXELS } else { WIDTH };
                Hidden::new((inputs, WIDTH), weights, normalize, random)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            hidden,
            output: Dense::new((WIDTH, CLASSES), weights, random),
        })
    }

    /// One step of gradient descent on the mean cross entropy of a mini-batch.
    pub(super) fn learn(&mut self, batch: Digits, rate: f32) -> Result<()> {
        let mut x = batch.images;
        let mut traces = Vec::new();
        for layer in &mut self.hidden {
            let (y, trace) = layer.forward_training(x)?;
            traces.push(trace);
            x = y;
        }
        let scores = self.output.forward(&x);
        let dscores = cross_entropy_gradient(scores, &batch.labels);
        let mut dy = self.output.learn(&x, &dscores, rate);
        for (layer, trace) in self.hidden.iter_mut().zip(traces).rev() {
            dy = layer.learn(trace, dy, rate)?;
        }
        Ok(())
    }

    /// The share of the images whose highest score is that of the right digit. Where training has diverged, and a score is not
    /// finite, an image counts as wrong.
    pub(super) fn accuracy(&self, digits: &Digits) -> Result<f64> {
        let mut x = digits.images.clone();
        for layer in &self.hidden {
            x = layer.forward_inference(&x)?;
        }
        let scores = self.output.forward(&x);
        let right = scores
            .outer_iter()
            .zip(&digits.labels)
            .filter(|(scores, label)| {
                let best = (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
                scores.iter().all(|score| score.is_finite()) && best == Some(**label)
            })
            .count();
        Ok(right as f64 / digits.len() as f64)
    }
}

/// (softmax(scores) − one-hot(labels)) / N
fn cross_entropy_gradient(mut scores: Array2<f32>, labels: &[usize]) -> Array2<f32> {
    let samples = labels.len() as f32;
    for (mut row, &label) in scores.outer_iter_mut().zip(labels) {
        let highest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        row.mapv_inplace(|score| (score - highest).exp());
        let sum = row.sum();
        row /= sum * samples;
        row[label] -= 1.0 / samples;
    }
    scores
}
