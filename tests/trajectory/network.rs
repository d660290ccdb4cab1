//! The network of the recipe, 64-32-32-10, and its forty steps of training.

use std::collections::BTreeMap;

use batchnorm::Element;
use ndarray::{Array1, Array2, Axis, s};

use crate::digits::{Digits, Float, TRAINING_ROWS, weights};

const STEPS: usize = 40;
const BATCH: usize = 60;
const RATE: f64 = 0.3;

/// Batch normalization and then ReLU, by whatever means.
pub(crate) trait Hidden<F> {
    /// What the way back needs.
    type Kept;
    fn forward(&mut self, x: Array2<F>) -> (Array2<F>, Self::Kept);
    /// Gives dx, and takes a step down the gradients of γ and β.
    fn backward(&mut self, kept: Self::Kept, dy: Array2<F>, rate: F) -> Array2<F>;
    fn infer(&self, x: Array2<F>) -> Array2<F>;
    fn state(&self) -> State;
}

/// What a layer has learned.
pub(crate) struct State {
    pub(crate) gamma: Vec<f64>,
    pub(crate) beta: Vec<f64>,
    pub(crate) running_mean: Vec<f64>,
    pub(crate) running_variance: Vec<f64>,
}

/// Everything that is recorded of a training, under the names of the record.
pub(crate) type Trajectory = BTreeMap<&'static str, Vec<f64>>;

/// Trains with these two hidden layers of 32 channels.
pub(crate) fn train<F: Float, H: Hidden<F>>(mut hidden: [H; 2]) -> Trajectory {
    let digits = Digits::<F>::read();
    let mut dense = [weights(0, 64, 32), weights(1, 32, 32), weights(2, 32, 10)];
    let mut bias = Array1::<F>::zeros(10);
    let rate = F::from_f64(RATE);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let start = step * BATCH % TRAINING_ROWS;
        let rows = start..start + BATCH;
        let x = digits.pixels.slice(s![rows.clone(), ..]).to_owned();
        let (first, kept_first) = hidden[0].forward(x.dot(&dense[0]));
        let (second, kept_second) = hidden[1].forward(first.dot(&dense[1]));
        let logits = second.dot(&dense[2]) + &bias;
        let (loss, dlogits) = cross_entropy(&logits, &digits.labels[rows]);
        losses.push(Element::to_f64(loss));

        let dsecond = dlogits.dot(&dense[2].t());
        let dinner = hidden[1].backward(kept_second, dsecond, rate);
        let dfirst = dinner.dot(&dense[1].t());
        let dinput = hidden[0].backward(kept_first, dfirst, rate);
        bias.scaled_add(-rate, &dlogits.sum_axis(Axis(0)));
        dense[2].scaled_add(-rate, &second.t().dot(&dlogits));
        dense[1].scaled_add(-rate, &first.t().dot(&dinner));
        dense[0].scaled_add(-rate, &x.t().dot(&dinput));
    }

    let x = digits.pixels.slice(s![TRAINING_ROWS.., ..]);
    let labels = &digits.labels[TRAINING_ROWS..];
    let first = hidden[0].infer(x.dot(&dense[0]));
    let second = hidden[1].infer(first.dot(&dense[1]));
    let logits = second.dot(&dense[2]) + &bias;
    let (test_loss, _) = cross_entropy(&logits, labels);
    let right = logits
        .outer_iter()
        .zip(labels)
        .filter(|(logits, label)| logits.iter().all(|&other| other <= logits[**label]))
        .count();

    let wide = |value: &F| Element::to_f64(*value);
    let first_four = |values: &[f64]| values[..4].to_vec();
    let [first, second] = hidden.each_ref().map(H::state);
    BTreeMap::from([
        ("input_mean", vec![wide(&digits.mean)]),
        ("input_std", vec![wide(&digits.deviation)]),
        ("losses", losses),
        ("test_ce", vec![wide(&test_loss)]),
        ("test_acc", vec![right as f64 / labels.len() as f64]),
        ("logits0", logits.row(0).iter().map(wide).collect()),
        ("gamma", first_four(&first.gamma)),
        ("beta", first_four(&first.beta)),
        ("rm", first_four(&first.running_mean)),
        ("rv", first_four(&first.running_variance)),
        ("rm2", first_four(&second.running_mean)),
        ("rv2", first_four(&second.running_variance)),
    ])
}

/// The mean cross-entropy of the softmax, and its gradient.
fn cross_entropy<F: Float>(logits: &Array2<F>, labels: &[usize]) -> (F, Array2<F>) {
    let count = F::from_f64(labels.len() as f64);
    let mut loss = F::zero();
    let mut gradient = logits.clone();
    for (mut row, &label) in gradient.outer_iter_mut().zip(labels) {
        let largest = row.fold(F::neg_infinity(), |largest, &logit| largest.max(logit));
        let of_label = row[label] - largest;
        row.mapv_inplace(|logit| (logit - largest).exp());
        let sum = row.sum();
        loss += sum.ln() - of_label;
        row.mapv_inplace(|power| power / sum / count);
        row[label] -= F::one() / count;
    }
    (loss / count, gradient)
}
