//! A hidden layer: fully connected, then batch norm (or not), then ReLU.

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, ChannelArray, Device, Pass, Result, Shape, Tensor,
};
use digits_data::random::Random;
use ndarray::Array2;

use crate::dense::Dense;

/// The arrays of this example are on the host, those of the layer on its device.
type OnDevice = Tensor<f32, Device>;

pub(crate) struct Hidden {
    dense: Dense,
    normalization: Option<BatchNorm<Device>>,
}

/// What a forward pass leaves for the backward pass.
pub(crate) struct Trace {
    x: Array2<f32>,
    activation: ActivationTrace,
}

enum ActivationTrace {
    Normalized(Box<Pass<OnDevice, Device>>),
    /// What ReLU gave.
    Plain(Array2<f32>),
}

impl Hidden {
    /// With batch norm if there is a device to run it on.
    pub(crate) fn new(
        inputs: usize,
        outputs: usize,
        normalize_on: Option<&Device>,
        random: &mut Random,
    ) -> Result<Self> {
        // ReLU is done by the batch norm layer, in the same sweep over memory.
        let config = BatchNormConfig::new(outputs).activation(Activation::Relu);
        Ok(Self {
            dense: Dense::new(inputs, outputs, random),
            normalization: normalize_on
                .map(|device| BatchNorm::new(device, config))
                .transpose()?,
        })
    }

    pub(crate) fn forward_training(&mut self, x: Array2<f32>) -> Result<(Array2<f32>, Trace)> {
        let z = self.dense.forward(&x);
        let (y, activation) = if let Some(layer) = &mut self.normalization {
            // The pass keeps its input, so that it can go backward.
            let (y, pass) = layer.forward_training(to_device(layer.backend(), &z)?)?;
            (to_host(&y)?, ActivationTrace::Normalized(Box::new(pass)))
        } else {
            let y = relu(z);
            (y.clone(), ActivationTrace::Plain(y))
        };
        Ok((y, Trace { x, activation }))
    }

    pub(crate) fn forward_inference(&self, x: &Array2<f32>) -> Result<Array2<f32>> {
        let z = self.dense.forward(x);
        match &self.normalization {
            Some(layer) => to_host(&layer.forward_inference(&to_device(layer.backend(), &z)?)?),
            None => Ok(relu(z)),
        }
    }

    /// Takes a step against the gradient, and gives that of x.
    pub(crate) fn learn(
        &mut self,
        trace: Trace,
        dy: Array2<f32>,
        rate: f32,
    ) -> Result<Array2<f32>> {
        let dz = match trace.activation {
            ActivationTrace::Normalized(pass) => {
                let dy = to_device(pass.input().backend(), &dy)?;
                let gradients = pass.backward(&dy)?;
                if let Some(layer) = &mut self.normalization {
                    descend(layer.gamma_mut(), gradients.gamma, rate)?;
                    descend(layer.beta_mut(), gradients.beta, rate)?;
                }
                to_host(&gradients.input)?
            }
            ActivationTrace::Plain(y) => {
                let mut dz = dy;
                dz.zip_mut_with(&y, |gradient, &y| {
                    if y <= 0.0 {
                        *gradient = 0.0;
                    }
                });
                dz
            }
        };
        Ok(self.dense.learn(&trace.x, &dz, rate))
    }
}

fn relu(mut values: Array2<f32>) -> Array2<f32> {
    values.mapv_inplace(|value| value.max(0.0));
    values
}

/// Takes a step of γ or β against its gradient.
fn descend(
    parameter: Option<&mut ChannelArray<f32, Device>>,
    gradient: Option<ChannelArray<f32, Device>>,
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

fn to_device(device: &Device, values: &Array2<f32>) -> Result<OnDevice> {
    let shape = Shape::channels_first(values.shape())?;
    let values: Vec<f32> = values.iter().copied().collect();
    Tensor::new(device, shape, &values)
}

fn to_host(tensor: &OnDevice) -> Result<Array2<f32>> {
    let values = tensor.to_vec()?;
    let channels = tensor.shape().channels();
    Ok(Array2::from_shape_fn(
        (tensor.shape().batch(), channels),
        |(sample, channel)| values[sample * channels + channel],
    ))
}
