//! The textbook in f64: batch normalization and its gradients, straight from the paper, two passes, no cleverness.
//! What everything else is held against.

use std::f64::consts::{PI, SQRT_2};

use batchnorm::{Activation, Shape};

/// What a pass is given, with every value already one of the data type's.
#[derive(Debug, Clone)]
pub struct Problem {
    pub shape: Shape,
    pub x: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub epsilon: f64,
    pub residual: Option<Vec<f64>>,
    pub activation: Activation,
    /// Mean and variance to normalize with; the batch's own if none.
    pub running: Option<(Vec<f64>, Vec<f64>)>,
    pub dy: Vec<f64>,
}

/// What forward gives.
#[derive(Debug, Clone)]
pub struct Forward {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
    pub inv_std: Vec<f64>,
    /// (x − mean)·inv_std.
    pub x_hat: Vec<f64>,
    /// γ·x̂ + β, plus the residual.
    pub v: Vec<f64>,
    pub y: Vec<f64>,
}

/// What backward gives.
#[derive(Debug, Clone)]
pub struct Backward {
    /// dy times the slope of the activation, which is the residual's gradient.
    pub dv: Vec<f64>,
    pub dx: Vec<f64>,
    pub dgamma: Vec<f64>,
    pub dbeta: Vec<f64>,
}

impl Problem {
    /// The places of a channel's values.
    pub fn channel(&self, c: usize) -> impl Iterator<Item = usize> + '_ {
        let shape = &self.shape;
        (0..shape.batch())
            .flat_map(move |n| (0..shape.spatial()).map(move |s| shape.index(n, c, s)))
    }

    pub fn forward(&self) -> Forward {
        let (channels, values) = (self.shape.channels(), self.shape.len());
        let mut out = Forward {
            mean: vec![0.0; channels],
            variance: vec![0.0; channels],
            inv_std: vec![0.0; channels],
            x_hat: vec![0.0; values],
            v: vec![0.0; values],
            y: vec![0.0; values],
        };
        let count = self.shape.values_per_channel() as f64;
        for c in 0..channels {
            // The mean as a pair, so that a large one costs the deviations no digits.
            let (mean, low) = match &self.running {
                Some((mean, _)) => (mean[c], 0.0),
                None => exact_mean(self.channel(c).map(|i| self.x[i]), count),
            };
            let variance = match &self.running {
                Some((_, variance)) => variance[c],
                None => {
                    exact_sum(self.channel(c).map(|i| (self.x[i] - mean - low).powi(2))) / count
                }
            };
            let inv_std = 1.0 / (variance + self.epsilon).sqrt();
            for i in self.channel(c) {
                let residual = self.residual.as_ref().map_or(0.0, |residual| residual[i]);
                out.x_hat[i] = (self.x[i] - mean - low) * inv_std;
                out.v[i] = self.gamma[c] * out.x_hat[i] + self.beta[c] + residual;
                out.y[i] = activated(self.activation, out.v[i]);
            }
            (out.mean[c], out.variance[c], out.inv_std[c]) = (mean, variance, inv_std);
        }
        out
    }

    /// `slope` is the derivative of the activation at each place.
    pub fn backward(&self, forward: &Forward, slope: impl Fn(usize) -> f64) -> Backward {
        let (channels, values) = (self.shape.channels(), self.shape.len());
        let mut out = Backward {
            dv: (0..values)
                .map(|i| match slope(i) {
                    0.0 => 0.0,
                    slope => slope * self.dy[i],
                })
                .collect(),
            dx: vec![0.0; values],
            dgamma: vec![0.0; channels],
            dbeta: vec![0.0; channels],
        };
        let count = self.shape.values_per_channel() as f64;
        for c in 0..channels {
            let dbeta = exact_sum(self.channel(c).map(|i| out.dv[i]));
            let dgamma = exact_sum(self.channel(c).map(|i| out.dv[i] * forward.x_hat[i]));
            for i in self.channel(c) {
                let through_statistics = match self.running {
                    Some(_) => 0.0,
                    None => dbeta / count + forward.x_hat[i] * dgamma / count,
                };
                out.dx[i] = self.gamma[c] * forward.inv_std[c] * (out.dv[i] - through_statistics);
            }
            (out.dgamma[c], out.dbeta[c]) = (dgamma, dbeta);
        }
        out
    }
}

/// What an activation is, by its textbook formula.
fn activated(activation: Activation, v: f64) -> f64 {
    match activation {
        Activation::Relu | Activation::Relu6 if v < 0.0 => 0.0,
        Activation::Relu6 if v > 6.0 => 6.0,
        Activation::LeakyRelu { slope } if v < 0.0 => slope * v,
        Activation::Elu { alpha } if v < 0.0 => alpha * v.exp_m1(),
        Activation::Hardswish if v < -3.0 => 0.0,
        Activation::Hardswish if v < 3.0 => v * (v + 3.0) / 6.0,
        Activation::Sigmoid => sigma(v),
        Activation::Tanh => v.tanh(),
        Activation::Silu => v * sigma(v),
        Activation::Gelu => v * normal_below(v),
        Activation::GeluTanh => 0.5 * v * (1.0 + gelu_tanh_argument(v).tanh()),
        _ => v,
    }
}

/// Its derivative where v is at no kink.
pub fn slope_of(activation: Activation, v: f64) -> f64 {
    match activation {
        Activation::Relu | Activation::Relu6 if v < 0.0 => 0.0,
        Activation::Relu6 if v > 6.0 => 0.0,
        Activation::LeakyRelu { slope } if v < 0.0 => slope,
        Activation::Elu { alpha } if v < 0.0 => alpha * v.exp(),
        Activation::Hardswish if v < -3.0 => 0.0,
        Activation::Hardswish if v < 3.0 => (2.0 * v + 3.0) / 6.0,
        Activation::Sigmoid => sigma(v) * sigma(-v),
        Activation::Tanh => v.cosh().powi(-2),
        Activation::Silu => sigma(v) + v * sigma(v) * sigma(-v),
        Activation::Gelu => normal_below(v) + v * (-v * v / 2.0).exp() / (2.0 * PI).sqrt(),
        Activation::GeluTanh => {
            let z = gelu_tanh_argument(v);
            let slope = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044_715 * v * v);
            0.5 * (1.0 + z.tanh()) + 0.5 * v * slope * z.cosh().powi(-2)
        }
        _ => 1.0,
    }
}

/// Φ.
fn normal_below(v: f64) -> f64 {
    0.5 * libm::erfc(-v / SQRT_2)
}

/// What the tanh of GELU's approximation is of.
fn gelu_tanh_argument(v: f64) -> f64 {
    (2.0 / PI).sqrt() * (v + 0.044_715 * v.powi(3))
}

fn sigma(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// A sum whose rounding errors are added up beside it (Neumaier).
pub fn exact_sum(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, error) = sum_with_error(values);
    if error.is_finite() { sum + error } else { sum }
}

fn sum_with_error(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut error) = (0.0f64, 0.0f64);
    for value in values {
        let next = sum + value;
        error += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    (sum, error)
}

/// The mean, and what it rounds away.
fn exact_mean(values: impl Iterator<Item = f64>, count: f64) -> (f64, f64) {
    let (sum, error) = sum_with_error(values);
    if !error.is_finite() {
        return (sum / count, 0.0);
    }
    let mean = (sum + error) / count;
    let low = ((-mean).mul_add(count, sum) + error) / count;
    (mean, low)
}
