//! A fully connected layer: y = x · weight + bias.

use digits_data::random::Random;
use ndarray::{Array1, Array2, Axis};

/// The scale of random weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// From -1/√inputs to 1/√inputs: the default of PyTorch's linear layer.
    Default,
    /// √6 times as far, which suits ReLU (He et al. 2015).
    He,
}

pub(super) struct Dense {
    weight: Array2<f32>,
    bias: Array1<f32>,
}

impl Dense {
    /// Random weights, and no bias.
    pub(super) fn new(
        (inputs, outputs): (usize, usize),
        weights: Weights,
        random: &mut Random,
    ) -> Self {
        let scale = match weights {
            Weights::Default => (1.0 / inputs as f32).sqrt(),
            Weights::He => (6.0 / inputs as f32).sqrt(),
        };
        Self {
            weight: Array2::from_shape_simple_fn((inputs, outputs), || scale * random.symmetric()),
            bias: Array1::zeros(outputs),
        }
    }

    pub(super) fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        x.dot(&self.weight) + &self.bias
    }

    /// Takes a step against the gradient, and gives that of x.
    pub(super) fn learn(&mut self, x: &Array2<f32>, dy: &Array2<f32>, rate: f32) -> Array2<f32> {
        let dx = dy.dot(&self.weight.t());
        self.weight.scaled_add(-rate, &x.t().dot(dy));
        self.bias.scaled_add(-rate, &dy.sum_axis(Axis(0)));
        dx
    }
}
