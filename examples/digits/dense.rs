//! The fully connected layer, on the host.

use digits_data::random::Random;
use ndarray::{Array1, Array2, Axis};

/// y = x · weight + bias
pub(crate) struct Dense {
    weight: Array2<f32>,
    bias: Array1<f32>,
}

impl Dense {
    /// Random weights at the scale that suits ReLU (He et al. 2015), and no bias.
    pub(crate) fn new(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let scale = (6.0 / inputs as f32).sqrt();
        Self {
            weight: Array2::from_shape_simple_fn((inputs, outputs), || scale * random.symmetric()),
            bias: Array1::zeros(outputs),
        }
    }

    pub(crate) fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        x.dot(&self.weight) + &self.bias
    }

    /// Takes a step against the gradient, and gives that of x.
    pub(crate) fn learn(&mut self, x: &Array2<f32>, dy: &Array2<f32>, rate: f32) -> Array2<f32> {
        let dx = dy.dot(&self.weight.t());
        self.weight.scaled_add(-rate, &x.t().dot(dy));
        self.bias.scaled_add(-rate, &dy.sum_axis(Axis(0)));
        dx
    }
}
