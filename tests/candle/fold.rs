//! A layer folded into candle's layer before it gives what the two give.

use batchnorm::Activation;
use batchnorm::candle::BatchNorm;
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{
    Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, ConvTranspose1d, ConvTranspose1dConfig,
    ConvTranspose2d, ConvTranspose2dConfig, Linear, ModuleT,
};

use crate::data::{Both, distance, values};

const CHANNELS: usize = 4;

fn random(dims: &[usize], seed: u64) -> Result<Tensor> {
    Tensor::from_vec(values(dims.iter().product(), 0.2, seed), dims, &Device::Cpu)
}

fn layers() -> Result<[BatchNorm; 2]> {
    let affine = Both::new(CHANNELS, 1e-3, 0.1)?.ours;
    let (mean, var) = (affine.running_mean().copy()?, affine.running_var().copy()?);
    let plain = BatchNorm::new_no_bias(CHANNELS, mean, var, 1e-3)?;
    Ok([affine, plain])
}

/// That `folded` gives what the layer before and the batch norm give.
fn check(layer: &BatchNorm, before: &impl Module, folded: &impl Module, x: &Tensor) -> Result<()> {
    let expected = layer.forward_t(&before.forward(x)?, false)?;
    let distance = distance(&folded.forward(x)?, &expected)?;
    assert!(distance < 2e-6, "{distance:e}");
    Ok(())
}

#[test]
fn into_each_layer_with_and_without_a_bias() -> Result<()> {
    let bias = random(&[CHANNELS], 3)?;
    for layer in &layers()? {
        for bias in [None, Some(bias.clone())] {
            let linear = Linear::new(random(&[CHANNELS, 3], 4)?, bias.clone());
            let folded = layer.fold_into_linear(&linear)?;
            check(layer, &linear, &folded, &random(&[5, 3], 1)?)?;

            let config = Conv1dConfig {
                groups: 2,
                padding: 1,
                ..Conv1dConfig::default()
            };
            let conv = Conv1d::new(random(&[CHANNELS, 3, 3], 5)?, bias.clone(), config);
            let folded = layer.fold_into_conv1d(&conv)?;
            check(layer, &conv, &folded, &random(&[2, 6, 7], 1)?)?;

            let config = Conv2dConfig {
                groups: 2,
                stride: 2,
                ..Conv2dConfig::default()
            };
            let conv = Conv2d::new(random(&[CHANNELS, 3, 3, 3], 6)?, bias.clone(), config);
            let x = random(&[2, 6, 7, 7], 1)?;
            check(layer, &conv, &layer.fold_into_conv2d(&conv)?, &x)?;
            if layer.weight_and_bias().is_some() {
                // candle's own way, which is given this layer as it is; with a bias in f32.
                check(layer, &conv, &conv.absorb_bn(layer)?, &x)?;
            }

            let config = ConvTranspose1dConfig {
                groups: 2,
                ..ConvTranspose1dConfig::default()
            };
            let weight = random(&[6, CHANNELS / 2, 3], 7)?;
            let conv = ConvTranspose1d::new(weight, bias.clone(), config);
            let folded = layer.fold_into_conv_transpose1d(&conv)?;
            check(layer, &conv, &folded, &random(&[2, 6, 5], 1)?)?;

            let weight = random(&[3, CHANNELS, 2, 3], 8)?;
            let conv = ConvTranspose2d::new(weight, bias, ConvTranspose2dConfig::default());
            let folded = layer.fold_into_conv_transpose2d(&conv)?;
            check(layer, &conv, &folded, &random(&[2, 3, 4, 4], 1)?)?;
        }
    }
    Ok(())
}

#[test]
fn into_a_layer_of_halves_rounding_once() -> Result<()> {
    let [layer, _] = layers()?;
    let weight = random(&[CHANNELS, 3], 4)?.to_dtype(DType::BF16)?;
    let wide = layer.fold_into_linear(&Linear::new(weight.to_dtype(DType::F64)?, None))?;
    let half = layer.fold_into_linear(&Linear::new(weight, None))?;
    let same = |found: &Tensor, expected: &Tensor| -> Result<()> {
        let expected = expected.to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
        assert_eq!(found.dtype(), DType::BF16);
        assert_eq!(distance(&found.to_dtype(DType::F32)?, &expected)?, 0.0);
        Ok(())
    };
    same(half.weight(), wide.weight())?;
    same(half.bias().expect("a bias"), wide.bias().expect("a bias"))
}

/// As in `crate::BatchNorm`: whoever fused an activation applies it to the result.
#[test]
fn before_the_activation() -> Result<()> {
    let [layer, _] = layers()?;
    let layer = layer.with_activation(Activation::Relu);
    let linear = Linear::new(random(&[CHANNELS, 3], 4)?, None);
    let x = random(&[5, 3], 1)?;
    let expected = layer.forward_t(&linear.forward(&x)?, false)?;
    let found = layer.fold_into_linear(&linear)?.forward(&x)?.relu()?;
    assert!(distance(&found, &expected)? < 2e-6);
    Ok(())
}

#[test]
fn refused_where_the_channels_are_others_or_the_variance_is_none() -> Result<()> {
    let [layer, _] = layers()?;
    let linear = Linear::new(random(&[5, 3], 4)?, None);
    let error = layer.fold_into_linear(&linear).expect_err("five channels");
    let message =
        "batch norm of 4 channels cannot be folded into a layer that gives 5 (weight [5, 3])";
    assert!(error.to_string().starts_with(message), "{error}");
    let transposed = ConvTranspose1dConfig {
        groups: 0,
        ..ConvTranspose1dConfig::default()
    };
    let conv = ConvTranspose1d::new(random(&[4, 4, 1], 4)?, None, transposed);
    assert!(layer.fold_into_conv_transpose1d(&conv).is_err());

    let variance = Tensor::new(&[1f32, f32::NAN, 1., 1.], &Device::Cpu)?;
    candle_core::Var::from_tensor(layer.running_var())?.set(&variance)?;
    let linear = Linear::new(random(&[CHANNELS, 3], 4)?, None);
    assert!(layer.fold_into_linear(&linear).is_err());
    Ok(())
}
