//! What stands between a linear layer and its activation: batch norm, or nothing.

use std::cell::RefCell;

use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder};

use crate::noise::Noise;

pub(crate) const EPSILON: f64 = 1e-5;
/// Of a batch.
const MOMENTUM: f64 = 0.1;

/// Which layers are normalized, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// The plain arm: biases instead.
    No,
    Batch,
    /// Statistics over ghost batches: `count` groups of `size` images make up the batch.
    Groups {
        size: usize,
        count: usize,
    },
    /// Batch norm, and a shift and a scale of every normalized unit that are drawn anew at each step.
    BatchWithNoise,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The batch's statistics, which the running statistics follow.
    Training,
    /// The batch's statistics; the running statistics stay as they are.
    Probe,
    /// The running statistics.
    Inference,
}

/// Batch norm with γ = 1 and β = 0 to begin with.
pub(crate) struct Normalization {
    layer: BatchNorm,
    config: BatchNormConfig,
    gamma: Var,
    beta: Var,
    /// Between the layer and γ and β, where there is some; otherwise the layer has them itself.
    noise: Option<RefCell<Noise>>,
}

impl Normalization {
    /// Nothing where nothing is to be normalized.
    pub(crate) fn new(
        normalize: Normalize,
        channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Option<Self>> {
        if normalize == Normalize::No {
            return Ok(None);
        }
        let noise = normalize == Normalize::BatchWithNoise;
        let config = config(normalize);
        let gamma = Var::ones(channels, DType::F32, device)?;
        let beta = Var::zeros(channels, DType::F32, device)?;
        Ok(Some(Self {
            layer: layer(config, &gamma, &beta)?,
            config,
            gamma,
            beta,
            noise: noise.then(|| RefCell::new(Noise::new(seed))),
        }))
    }

    pub(crate) fn parameters(&self) -> [Var; 2] {
        [self.gamma.clone(), self.beta.clone()]
    }

    /// x of the shape (N, channels) or (N, channels, height, width), normalized, scaled and shifted.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let y = match pass {
            Pass::Training => self.layer.forward_t(x, true)?,
            // By a layer like this one, whose running statistics nobody will see.
            Pass::Probe => layer(self.config, &self.gamma, &self.beta)?.forward_t(x, true)?,
            Pass::Inference => self.layer.forward_t(x, false)?,
        };
        let Some(noise) = &self.noise else {
            return Ok(y);
        };
        let y = match pass {
            Pass::Training | Pass::Probe => noise.borrow_mut().apply(&y)?,
            Pass::Inference => y,
        };
        y.broadcast_mul(&self.gamma)?.broadcast_add(&self.beta)
    }
}

fn config(normalize: Normalize) -> BatchNormConfig {
    let whole_batch = BatchNormConfig {
        eps: EPSILON,
        momentum: MOMENTUM,
        ..BatchNormConfig::default()
    };
    match normalize {
        Normalize::No | Normalize::Batch => whole_batch,
        Normalize::Groups { size, count } => BatchNormConfig {
            ghost_batch: Some(size),
            // The running statistics follow one group after the other: all of them together get the weight of a batch.
            momentum: 1.0 - (1.0 - MOMENTUM).powf(1.0 / count as f64),
            ..whole_batch
        },
        // γ and β come after the noise.
        Normalize::BatchWithNoise => BatchNormConfig {
            affine: false,
            ..whole_batch
        },
    }
}

/// A layer with this γ and β, if it has any. Its running statistics have not followed anything yet.
fn layer(config: BatchNormConfig, gamma: &Tensor, beta: &Tensor) -> Result<BatchNorm> {
    let variables = [
        ("weight", gamma.clone()),
        ("bias", beta.clone()),
        ("running_mean", beta.zeros_like()?),
        ("running_var", gamma.ones_like()?),
    ];
    let variables = variables.map(|(name, value)| (name.to_string(), value));
    let variables = VarBuilder::from_tensors(variables.into(), DType::F32, gamma.device());
    batch_norm(gamma.elem_count(), config, variables)
}

/// x with mean 0 and variance 1 in every channel, by its own statistics: what γ and β are applied to.
pub(crate) fn standardized(x: &Tensor) -> Result<Tensor> {
    let config = BatchNormConfig {
        affine: false,
        ..config(Normalize::Batch)
    };
    let unused = Tensor::zeros(x.dim(1)?, DType::F32, x.device())?;
    layer(config, &unused, &unused)?.forward_t(x, true)
}
