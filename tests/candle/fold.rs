//! A layer folded into candle's layer before it gives what the two give.

use batchnorm::Activation;
use batchnorm::candle::{BatchNorm, error_of};
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
        "the weight has dimensions [5, 3], needed is the batch norm's 4 channels in dimension 0";
    assert!(error.to_string().starts_with(message), "{error}");
    for (groups, dims) in [(0, [4, 4, 1]), (2, [3, 2, 1]), (usize::MAX, [4, 4, 1])] {
        let transposed = ConvTranspose1dConfig {
            groups,
            ..ConvTranspose1dConfig::default()
        };
        let conv = ConvTranspose1d::new(random(&dims, 4)?, None, transposed);
        let error = layer.fold_into_conv_transpose1d(&conv).expect_err("groups");
        assert!(error_of(&error).is_some(), "{error}");
    }

    let variance = Tensor::new(&[1f32, f32::NAN, 1., 1.], &Device::Cpu)?;
    candle_core::Var::from_tensor(layer.running_var())?.set(&variance)?;
    let linear = Linear::new(random(&[CHANNELS, 3], 4)?, None);
    assert!(layer.fold_into_linear(&linear).is_err());
    Ok(())
}

/// A constant channel without ε: inference gives the bias at its mean.
#[test]
fn a_constant_channel_without_epsilon_is_folded_where_it_can_be() -> Result<()> {
    let vector = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu);
    let layer = |mean| {
        let (weight, bias) = (vector([2.0, 3.0])?, vector([-1.0, -2.5])?);
        BatchNorm::new(2, vector(mean)?, vector([4.0, 0.0])?, weight, bias, 0.0)
    };
    let (at_zero, elsewhere) = (layer([0.0, 0.0])?, layer([1.0, 7.0])?);
    let (_, shift) = at_zero.scale_and_shift()?;
    assert_eq!(shift.to_vec1::<f64>()?, [-1.0, -2.5]);
    // No scale and shift give β at 7 and nothing but β.
    let refused = elsewhere.scale_and_shift().expect_err("an error");
    assert!(refused.to_string().contains("in channel 1"), "{refused}");

    // What comes out of the layer before is constant in that channel.
    let weight = Tensor::new(&[[1f32], [0.0]], &Device::Cpu)?;
    let x = random(&[5, 1], 1)?;
    for (layer, before) in [(&at_zero, None), (&elsewhere, Some(vector([0.5, 7.0])?))] {
        let linear = Linear::new(weight.clone(), before);
        check(layer, &linear, &layer.fold_into_linear(&linear)?, &x)?;
    }
    let varies = Linear::new(Tensor::ones((2, 1), DType::F32, &Device::Cpu)?, None);
    for layer in [&at_zero, &elsewhere] {
        assert!(layer.fold_into_linear(&varies).is_err());
    }
    Ok(())
}
