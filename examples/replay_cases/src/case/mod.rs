//! One case: the bytes of its file in, the bytes of its result's file out.

mod inputs;
mod outputs;
mod settings;
pub mod tensors;

use batchnorm::backend::Backend;
use batchnorm::{BatchNorm, Compute, Data, Element, Pass, Tensor};
use half::{bf16, f16};
use inputs::Inputs;
use outputs::Outputs;
use safetensors::{Dtype, SafeTensors};
use settings::{Kind, Settings};
use tensors::Stored;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Replays a case on a device.
pub fn replay(case: &[u8], device: &impl Backend) -> Result<Vec<u8>> {
    let unreadable = |error| format!("not a readable safetensors file: {error}");
    let (_, header) = SafeTensors::read_metadata(case).map_err(unreadable)?;
    let file = SafeTensors::deserialize(case).map_err(unreadable)?;
    let settings = Settings::read(&header.metadata().clone().unwrap_or_default())?;
    let Ok(x) = file.tensor("x") else {
        return Err(r#"there is no tensor "x""#.into());
    };
    match x.dtype() {
        Dtype::F64 => replay_as::<f64, f64>(&file, &settings, device),
        Dtype::F32 => replay_as::<f32, f32>(&file, &settings, device),
        Dtype::F16 => replay_as::<f16, f32>(&file, &settings, device),
        Dtype::BF16 => replay_as::<bf16, f32>(&file, &settings, device),
        other => Err(tensors::not_a_float("x", other)),
    }
}

/// Replays a case whose x is of type T.
fn replay_as<T, C>(
    file: &SafeTensors<'_>,
    settings: &Settings,
    device: &impl Backend,
) -> Result<Vec<u8>>
where
    T: Stored + Element<Compute = C>,
    C: Stored + Compute,
{
    let inputs = Inputs::<T, _>::read(file, settings, device)?;
    let mut layer = inputs::layer(file, settings, device, inputs.x.shape().channels())?;
    let (y, pass) = forward(&mut layer, settings.pass, &inputs)?;

    let x = file.tensor("x")?;
    let mut outputs = Outputs::default();
    outputs.add_tensor("y", x.shape(), &y)?;
    outputs.add_channels("save_mean", pass.statistics()[0].mean())?;
    outputs.add_channels("save_invstd", pass.statistics()[0].inv_std())?;
    if let Some(running) = layer.running() {
        outputs.add_channels("running_mean", running.mean())?;
        outputs.add_channels("running_var", running.variance())?;
        outputs.add_count("num_batches_tracked", running.num_batches_tracked())?;
    }
    if let Some(dy) = &inputs.dy {
        let gradients = pass.backward(dy)?;
        outputs.add_tensor("dx", x.shape(), &gradients.input)?;
        if let Some(dresidual) = &gradients.residual {
            outputs.add_tensor("dresidual", x.shape(), dresidual)?;
        }
        if let Some(dweight) = &gradients.gamma {
            outputs.add_channels("dweight", dweight)?;
        }
        if let Some(dbias) = &gradients.beta {
            outputs.add_channels("dbias", dbias)?;
        }
    }
    outputs.into_file()
}

/// y, and the pass, which knows the statistics and can go backward.
type Passed<'a, T, B> = (Tensor<T, B>, Pass<&'a Tensor<T, B>, B>);

fn forward<'a, T, C, B>(
    layer: &mut BatchNorm<B, C>,
    pass: Kind,
    inputs: &'a Inputs<T, B>,
) -> Result<Passed<'a, T, B>>
where
    B: Backend,
    T: Stored + Element<Compute = C>,
    C: Compute,
{
    let x = &inputs.x;
    let residual = inputs
        .residual
        .as_ref()
        .map(|residual| residual as &dyn Data<B, Element = T>);
    let mut y = Tensor::zeros(layer.backend(), x.shape())?;
    let pass = match pass {
        Kind::Training => layer.forward_training_into(x, residual, &mut y)?,
        Kind::Frozen => layer.forward_frozen_into(x, residual, &mut y)?,
        Kind::Inference => {
            layer.forward_inference_into(x, residual, &mut y)?;
            // Inference leaves nothing behind. A frozen pass of the same input has the statistics it used.
            layer.forward_frozen(x)?.1
        }
    };
    Ok((y, pass))
}
