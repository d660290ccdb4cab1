//! The fully connected network: linear, batch norm or not, activation; at the end a linear layer.

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::Linear;
use digits_data::digits::{CLASSES, PIXELS};
use digits_data::random::Random;

use crate::initialization::Weights;
use crate::normalization::{Normalization, Normalize, Pass};
use crate::training::Model;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Relu,
    Tanh,
    Sigmoid,
}

impl Activation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Relu => "ReLU",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
        }
    }

    pub(crate) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => candle_nn::ops::sigmoid(x),
        }
    }
}

/// What a network is built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Architecture {
    /// Hidden layers.
    pub(crate) depth: usize,
    /// Units of each of them.
    pub(crate) width: usize,
    pub(crate) activation: Activation,
    pub(crate) weights: Weights,
    /// What the weights of the hidden layers are multiplied by.
    pub(crate) hidden_scale: f32,
    /// What those of the output layer are multiplied by.
    pub(crate) output_scale: f32,
    pub(crate) normalize: Normalize,
}

impl Architecture {
    /// With weights of the scale of their initialization.
    pub(crate) const fn new(
        (depth, width): (usize, usize),
        activation: Activation,
        weights: Weights,
        normalize: Normalize,
    ) -> Self {
        Self {
            depth,
            width,
            activation,
            weights,
            hidden_scale: 1.0,
            output_scale: 1.0,
            normalize,
        }
    }
}

/// A linear layer and what can be learnt of it.
pub(crate) struct Dense {
    pub(crate) linear: Linear,
    pub(crate) parameters: Vec<Var>,
}

impl Dense {
    /// y = x · weightᵀ, plus a bias that is zero to begin with where one is wanted.
    pub(crate) fn new(weight: Var, with_bias: bool) -> Result<Self> {
        let bias = with_bias
            .then(|| Var::zeros(weight.dim(0)?, DType::F32, weight.device()))
            .transpose()?;
        Ok(Self {
            linear: Linear::new(
                weight.as_tensor().clone(),
                bias.as_ref().map(|bias| bias.as_tensor().clone()),
            ),
            parameters: [weight].into_iter().chain(bias).collect(),
        })
    }
}

/// One hidden layer.
pub(crate) struct Hidden {
    pub(crate) dense: Dense,
    pub(crate) normalization: Option<Normalization>,
    pub(crate) activation: Activation,
}

impl Hidden {
    /// What goes into the activation.
    pub(crate) fn activation_input(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let z = self.dense.linear.forward(x)?;
        match &self.normalization {
            Some(normalization) => normalization.forward(&z, pass),
            None => Ok(z),
        }
    }

    pub(crate) fn parameters(&self) -> Vec<Var> {
        let of_normalization = self
            .normalization
            .iter()
            .flat_map(Normalization::parameters);
        self.dense
            .parameters
            .iter()
            .cloned()
            .chain(of_normalization)
            .collect()
    }
}

pub(crate) struct Network {
    pub(crate) hidden: Vec<Hidden>,
    pub(crate) output: Dense,
}

impl Network {
    /// Both arms get the same weights from the same seed.
    pub(crate) fn new(architecture: &Architecture, seed: u64, device: &Device) -> Result<Self> {
        let Architecture {
            depth,
            width,
            weights,
            normalize,
            ..
        } = *architecture;
        let mut random = Random::new(seed);
        let mut hidden = Vec::new();
        for layer in 0..depth {
            let shape = (width, if layer == 0 { PIXELS } else { width });
            let weight = weights.matrix(shape, architecture.hidden_scale, &mut random, device)?;
            let noise_seed = (seed + 1) * 1000 + layer as u64;
            hidden.push(Hidden {
                dense: Dense::new(weight, normalize == Normalize::No)?,
                normalization: Normalization::new(normalize, width, noise_seed, device)?,
                activation: architecture.activation,
            });
        }
        let shape = (CLASSES, width);
        let weight = weights.matrix(shape, architecture.output_scale, &mut random, device)?;
        Ok(Self {
            hidden,
            output: Dense::new(weight, true)?,
        })
    }
}

impl Model for Network {
    fn logits(&self, images: &Tensor, pass: Pass) -> Result<Tensor> {
        let mut x = images.clone();
        for layer in &self.hidden {
            x = layer.activation.apply(&layer.activation_input(&x, pass)?)?;
        }
        self.output.linear.forward(&x)
    }

    fn parameters(&self) -> Vec<Var> {
        let hidden = self.hidden.iter().flat_map(Hidden::parameters);
        hidden
            .chain(self.output.parameters.iter().cloned())
            .collect()
    }
}
