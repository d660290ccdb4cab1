//! A hidden layer: fully connected, then batch norm (or not), then ReLU.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, ChannelArray, Cpu, Pass, Result};
use digits_data::random::Random;
use ndarray::Array2;

use super::dense::{Dense, Weights};

pub(super) struct Hidden {
    dense: Dense,
    normalization: Option<BatchNorm<Cpu>>,
}

/// What a forward pass leaves for the backward pass.
pub(super) struct Trace {
    x: Array2<f32>,
    activation: ActivationTrace,
}

enum ActivationTrace {
    Normalized(Box<Pass<Array2<f32>, Cpu>>),
    /// What ReLU gave.
    Plain(Array2<f32>),
}

impl Hidden {
    pub(super) fn new(
        (inputs, outputs): (usize, usize),
        weights: Weights,
        normalize: bool,
        random: &mut Random,
    ) -> Result<Self> {
        // ReLU is done by the batch norm layer, in the same sweep over memory.
        let config = BatchNormConfig::new(outputs).activation(Activation::Relu);
        Ok(Self {
            dense: Dense::new((inputs, outputs), weights, random),
            normalization: normalize
                .then(|| BatchNorm::new(&Cpu::new(), config))
                .transpose()?,
        })
    }

    pub(super) fn forward_training(&mut self, x: Array2<f32>) -> Result<(Array2<f32>, Trace)> {
        let z = self.dense.forward(&x);
        let (y, activation) = if let Some(layer) = &mut self.normalization {
            let mut y = Array2::zeros(z.raw_dim());
            // The pass keeps its input, so that it can go backward.
            let pass = layer.forward_training_into(z, None, &mut y)?;
            (y, ActivationTrace::Normalized(Box::new(pass)))
        } else {
            let y = relu(z);
            (y.clone(), ActivationTrace::Plain(y))
        };
        Ok((y, Trace { x, activation }))
    }

    pub(super) fn forward_inference(&self, x: &Array2<f32>) -> Result<Array2<f32>> {
        let z = self.dense.forward(x);
        match &self.normalization {
            Some(layer) => {
                let mut y = Array2::zeros(z.raw_dim());
                layer.forward_inference_into(&z, None, &mut y)?;
                Ok(y)
            }
            None => Ok(relu(z)),
        }
    }

    /// Takes a step against the gradient, and gives that of x.
    pub(super) fn learn(
        &mut self,
        trace: Trace,
        mut dy: Array2<f32>,
        rate: f32,
    ) -> Result<Array2<f32>> {
        match trace.activation {
            ActivationTrace::Normalized(pass) => {
                let gradients = pass.backward_in_place(&mut dy, None)?;
                if let Some(layer) = &mut self.normalization {
                    descend(layer.gamma_mut(), gradients.gamma, rate)?;
                    descend(layer.beta_mut(), gradients.beta, rate)?;
                }
            }
            ActivationTrace::Plain(y) => dy.zip_mut_with(&y, |gradient, &y| {
                if y <= 0.0 {
                    *gradient = 0.0;
                }
            }),
        }
        Ok(self.dense.learn(&trace.x, &dy, rate))
    }
}

fn relu(mut values: Array2<f32>) -> Array2<f32> {
    values.mapv_inplace(|value| value.max(0.0));
    values
}

/// Takes a step of γ or β against its gradient.
fn descend(
    parameter: Option<&mut ChannelArray<f32, Cpu>>,
    gradient: Option<ChannelArray<f32, Cpu>>,
    rate: f32,
) -> Result<()> {
    let (Some(parameter), Some(gradient)) = (parameter, gradient) else {
        return Ok(());
    };
    let (mut values, gradient) = (parameter.to_vec()?, gradient.to_vec()?);
    for (value, gradient) in values.iter_mut().zip(gradient) {
        *value -= rate * gradient;
    }
    parameter.set(&values)
}
