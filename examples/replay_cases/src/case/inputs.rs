//! From a case's file to a layer and the arrays that go through it.

use batchnorm::backend::Backend;
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, Compute, Shape, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::Result;
use super::settings::{Kind, Settings};
use super::tensors::{Stored, as_f64};

/// Every tensor that a case may hold.
const NAMES: [&str; 7] = [
    "x",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "dy",
    "residual",
];

/// The arrays of a case.
pub(crate) struct Inputs<T: Stored, B: Backend> {
    pub(crate) x: Tensor<T, B>,
    pub(crate) dy: Option<Tensor<T, B>>,
    pub(crate) residual: Option<Tensor<T, B>>,
}

impl<T: Stored, B: Backend> Inputs<T, B> {
    pub(crate) fn read(file: &SafeTensors<'_>, settings: &Settings, device: &B) -> Result<Self> {
        let mut names = file.names();
        names.sort_unstable();
        if let Some(other) = names.iter().find(|name| !NAMES.contains(name)) {
            // A misspelled weight would otherwise be a weight that is off.
            return Err(format!(
                "tensor {other:?} is unknown, known are {}",
                NAMES.join(", ")
            )
            .into());
        }
        let x = file.tensor("x")?;
        let shape = Shape::new(x.shape(), settings.layout)?;
        let like_x = |name| -> Result<Option<Tensor<T, B>>> {
            let Ok(tensor) = file.tensor(name) else {
                return Ok(None);
            };
            if tensor.dtype() != x.dtype() || tensor.shape() != x.shape() {
                return Err(format!(
                    "tensor {name:?} is {}, needed is what x is: {}",
                    described(&tensor),
                    described(&x)
                )
                .into());
            }
            let values = T::from_bytes(tensor.data());
            Ok(Some(Tensor::new(device, shape, &values)?))
        };
        let dy = like_x("dy")?;
        if dy.is_some() && settings.pass == Kind::Inference {
            return Err(
                r#"there is a "dy", but pass "inference" has no gradients: use pass "frozen""#
                    .into(),
            );
        }
        Ok(Self {
            x: Tensor::new(device, shape, &T::from_bytes(x.data()))?,
            dy,
            residual: like_x("residual")?,
        })
    }
}

fn described(tensor: &TensorView<'_>) -> String {
    format!("{:?} {:?}", tensor.dtype(), tensor.shape())
}

/// The layer of a case: what the file has no tensor for is off.
pub(crate) fn layer<C: Stored + Compute, B: Backend>(
    file: &SafeTensors<'_>,
    settings: &Settings,
    device: &B,
    channels: usize,
) -> Result<BatchNorm<B, C>> {
    let read = |name| per_channel::<C>(file, name, channels);
    let (weight, bias) = (read("weight")?, read("bias")?);
    let running = match (read("running_mean")?, read("running_var")?) {
        (Some(mean), Some(variance)) => Some((mean, variance)),
        (None, None) => None,
        (Some(_), None) => return Err(half_of("running_mean", "running_var")),
        (None, Some(_)) => return Err(half_of("running_var", "running_mean")),
    };
    let mut config = BatchNormConfig::new(channels)
        .epsilon(settings.epsilon)
        .averaging(settings.averaging)
        .gamma(weight.is_some())
        .beta(bias.is_some())
        .activation(settings.activation);
    if running.is_none() {
        config.validate()?; // A momentum that cannot be is an error even where it has no use.
        config = config.averaging(Averaging::Off);
    }
    let mut layer = BatchNorm::with_compute(device, config)?;
    if let (Some(gamma), Some(weight)) = (layer.gamma_mut(), weight) {
        gamma.set(&weight)?;
    }
    if let (Some(beta), Some(bias)) = (layer.beta_mut(), bias) {
        beta.set(&bias)?;
    }
    if let (Some(statistics), Some((mean, variance))) = (layer.running_mut(), running) {
        statistics.set(&mean, &variance, settings.batches_tracked)?;
    }
    Ok(layer)
}

fn half_of(found: &str, missing: &str) -> Box<dyn std::error::Error> {
    format!("there is a tensor {found:?} but no {missing:?}: needed are both or neither").into()
}

/// A per-channel tensor, of any float type, as the layer's type.
fn per_channel<C: Stored>(
    file: &SafeTensors<'_>,
    name: &str,
    channels: usize,
) -> Result<Option<Vec<C>>> {
    let Ok(tensor) = file.tensor(name) else {
        return Ok(None);
    };
    if tensor.shape() != [channels] {
        let found = tensor.shape();
        return Err(format!(
            "tensor {name:?} has shape {found:?}, needed is [{channels}]: one value per channel of x"
        )
        .into());
    }
    let values = as_f64(name, &tensor)?;
    Ok(Some(values.into_iter().map(C::from_f64).collect()))
}
