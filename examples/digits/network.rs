//! The classifier: three hidden layers of 64, then one score per digit.

use batchnorm::{Device, Result};
use digits_data::digits::{CLASSES, Digits, PIXELS};
use digits_data::random::Random;
use ndarray::Array2;

use crate::dense::Dense;
use crate::hidden::Hidden;

const WIDTHS: [usize; 4] = [PIXELS, 64, 64, 64];

pub(crate) struct Network {
    hidden: Vec<Hidden>,
    output: Dense,
}

impl Network {
    /// With batch norm in every hidden layer if there is a device to run it on.
    pub(crate) fn new(normalize_on: Option<&Device>, random: &mut Random) -> Result<Self> {
        let hidden = WIDTHS
            .windows(2)
            .map(|widths| Hidden::new(widths[0], widths[1], normalize_on, random))
            .collect::<Result<_>>()?;
        Ok(Self {
            hidden,
            output: Dense::new(WIDTHS[3], CLASSES, random),
        })
    }

    /// One step of gradient descent on the mean cross entropy of a mini-batch.
    pub(crate) fn learn(&mut self, batch: Digits, rate: f32) -> Result<()> {
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

    /// The share of the images whose highest score is that of the right digit.
    pub(crate) fn accuracy(&self, digits: &Digits) -> Result<f64> {
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
                best == Some(**label)
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
