//! The passes of the layer.

use std::fmt;

use batchnorm::backend::Backend;
use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, BatchStatistics, Compute, Data, Element, Gradients,
    Tensor,
};

use super::checksum::Checksum;
use super::inputs::Inputs;

/// A pass of the layer, with its backward pass where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Training,
    Deferred,
    Frozen,
    Inference,
}

/// How the layer is set, and which pass it makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub pass: Pass,
    pub activation: Activation,
    pub residual: bool,
    /// Of two thirds of the batch, so that there is a remainder.
    pub ghost_batches: bool,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.pass {
            Pass::Training => "training",
            Pass::Deferred => "deferred",
            Pass::Frozen => "frozen",
            Pass::Inference => "inference",
        })?;
        let activation = match self.activation {
            Activation::None => "",
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky-relu",
            Activation::Silu => "silu",
            Activation::Relu6 => "relu6",
            Activation::Elu { .. } => "elu",
            Activation::Hardswish => "hardswish",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu-tanh",
            other => unreachable!("{other:?} is in no case"),
        };
        let steps = [if self.residual { "add" } else { "" }, activation];
        let steps: Vec<&str> = steps.into_iter().filter(|step| !step.is_empty()).collect();
        if !steps.is_empty() {
            write!(f, "/{}", steps.join("-"))?;
        }
        f.write_str(if self.ghost_batches { "/ghost" } else { "" })
    }
}

/// Of everything that a pass and its backward pass leave behind.
pub(super) fn checksum<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
    setting: Setting,
) -> u64 {
    let tensor = |values: &[T]| Tensor::new(backend, inputs.shape, values).unwrap();
    let x = tensor(&inputs.x);
    let added = setting.residual.then(|| tensor(&inputs.residual));
    let residual = added
        .as_ref()
        .map(|residual| residual as &dyn Data<B, Element = T>);
    let poison = vec![T::from_f64(f64::NAN); inputs.shape.len()];
    let mut y = tensor(&poison);
    let mut layer = layer::<T, B>(backend, inputs, setting);
    let mut checksum = Checksum::new();
    let pass = match setting.pass {
        Pass::Training => layer.forward_training_into(&x, residual, &mut y),
        Pass::Deferred => {
            let pass = layer.forward_training_deferred_into(&x, residual, &mut y);
            add_running(&mut checksum, &layer);
            layer.follow(pass.as_ref().unwrap().statistics()).unwrap();
            pass
        }
        Pass::Frozen => layer.forward_frozen_into(&x, residual, &mut y),
        Pass::Inference => {
            layer.forward_inference_into(&x, residual, &mut y).unwrap();
            checksum.add(&y.to_vec().unwrap());
            return checksum.finish();
        }
    }
    .unwrap();
    checksum.add(&y.to_vec().unwrap());
    add_running(&mut checksum, &layer);
    for statistics in pass.statistics() {
        add_statistics(&mut checksum, statistics);
    }
    let gradients = pass.backward(&tensor(&inputs.dy)).unwrap();
    add_gradients(&mut checksum, &gradients);
    checksum.finish()
}

/// As the inputs and the setting say.
pub(super) fn layer<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
    setting: Setting,
) -> BatchNorm<B, T::Compute> {
    let config = BatchNormConfig::new(inputs.shape.channels())
        .momentum(0.3)
        .activation(setting.activation);
    let config = if setting.ghost_batches {
        config.ghost_batch(2 * inputs.shape.batch() / 3)
    } else {
        config
    };
    let mut layer = BatchNorm::with_compute(backend, config).unwrap();
    layer.gamma_mut().unwrap().set(&inputs.gamma).unwrap();
    layer.beta_mut().unwrap().set(&inputs.beta).unwrap();
    let running = layer.running_mut().unwrap();
    running
        .set(&inputs.running_mean, &inputs.running_variance, 5)
        .unwrap();
    layer
}

pub(super) fn add_running<B: Backend, C: Compute>(
    checksum: &mut Checksum,
    layer: &BatchNorm<B, C>,
) {
    let running = layer.running().unwrap();
    checksum.add(&running.mean().to_vec().unwrap());
    checksum.add(&running.variance().to_vec().unwrap());
    checksum.add_word(running.num_batches_tracked());
}

pub(super) fn add_statistics<B: Backend, C: Compute>(
    checksum: &mut Checksum,
    statistics: &BatchStatistics<C, B>,
) {
    for array in [
        statistics.mean(),
        statistics.mean_low(),
        statistics.variance(),
        statistics.inv_std(),
    ] {
        checksum.add(&array.to_vec().unwrap());
    }
    checksum.add_word(statistics.count() as u64);
}

pub(super) fn add_gradients<T: Element, B: Backend>(
    checksum: &mut Checksum,
    gradients: &Gradients<T, B>,
) {
    checksum.add(&gradients.input.to_vec().unwrap());
    if let Some(residual) = &gradients.residual {
        checksum.add(&residual.to_vec().unwrap());
    }
    for array in [&gradients.gamma, &gradients.beta] {
        checksum.add(&array.as_ref().unwrap().to_vec().unwrap());
    }
}
