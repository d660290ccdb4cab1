//! Errors, and nothing changed by them, where candle goes on with NaN or panics.

use batchnorm::Error;
use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm, error_of};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};

use crate::data::Both;

fn layer(config: impl Into<BatchNormConfig>) -> Result<BatchNorm> {
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    batch_norm(3, config, vb)
}

fn zeros(dims: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(dims, dtype, &Device::Cpu).expect("zeros")
}

/// The message of an error that a training pass must give, which must leave the layer alone.
fn refused(layer: &BatchNorm, x: &Tensor) -> Result<String> {
    let state = |layer: &BatchNorm| -> Result<[Vec<f32>; 2]> {
        Ok([
            layer.running_mean().to_vec1()?,
            layer.running_var().to_vec1()?,
        ])
    };
    let before = state(layer)?;
    let error = layer.forward_t(x, true).expect_err("an error");
    assert_eq!(state(layer)?, before);
    Ok(error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}

#[test]
fn one_value_per_channel_is_an_error_and_not_nan() -> Result<()> {
    let x = zeros(&[1, 3], DType::F32);
    let both = Both::new(3, 1e-3, 0.2)?;
    both.candle.forward_t(&x, true)?;
    assert!(both.candle.running_var().to_vec1::<f32>()?[0].is_nan());
    let message = refused(&both.ours, &x)?;
    assert!(
        message.starts_with(
            "batch norm needs at least 2 values per channel in training, got 1 (shape"
        ),
        "{message}"
    );
    Ok(())
}

#[test]
fn inputs_that_are_none_of_the_layer_s() -> Result<()> {
    let layer = layer(1e-5)?;
    for (x, expected) in [
        (
            zeros(&[4, 5], DType::F32),
            "batch norm's input has 5 channels in dimension 1, but num_features is 3",
        ),
        (
            zeros(&[3], DType::F32),
            "batch norm's input must be a tensor of 2 dimensions, (N, C), or more, got shape [3]",
        ),
        (
            zeros(&[2, 0, 3], DType::F32),
            "batch norm's input has 0 channels in dimension 1, but num_features is 3",
        ),
        (
            zeros(&[2, 0, 1, 1, 1, 3], DType::F32),
            "batch norm's input has 0 channels in dimension 1, but num_features is 3",
        ),
        (
            zeros(&[4, 3], DType::U8),
            "batch norm's input must be of dtype F16, BF16, F32 or F64, got U8",
        ),
        (
            zeros(&[4, 3], DType::F64),
            "batch norm's input must be of dtype F16, BF16 or F32, as the layer's variables are not of F64 (Tensor::to_dtype, or a VarBuilder of F64), got F64",
        ),
    ] {
        let message = refused(&layer, &x)?;
        assert!(message.starts_with(expected), "{message}");
    }
    Ok(())
}

#[test]
fn residuals_that_are_not_like_x() -> Result<()> {
    let (layer, x) = (layer(1e-5)?, zeros(&[4, 3, 2], DType::F32));
    for (residual, expected) in [
        (
            zeros(&[4, 3, 3], DType::F32),
            "the residual is [4, 3, 3] but the input is [4, 3, 2]",
        ),
        (
            zeros(&[4, 3, 2], DType::BF16),
            "the residual is of dtype BF16 but the input is of F32",
        ),
    ] {
        let error = layer
            .forward_t_add(&x, &residual, true)
            .expect_err("an error");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    Ok(())
}

#[test]
fn settings_without_meaning() -> Result<()> {
    let default = BatchNormConfig::default;
    for (config, expected) in [
        (
            BatchNormConfig {
                eps: -1.0,
                ..default()
            },
            "batch norm's eps must be finite and not negative, got -1",
        ),
        (
            BatchNormConfig {
                eps: f64::NAN,
                ..default()
            },
            "batch norm's eps must be finite and not negative",
        ),
        (
            BatchNormConfig {
                momentum: 1.5,
                ..default()
            },
            "batch norm's momentum must be from 0 to 1",
        ),
        (
            BatchNormConfig {
                remove_mean: false,
                ..default()
            },
            "remove_mean must be true (batch norm subtracts the mean), got false",
        ),
        (
            BatchNormConfig {
                ghost_batch: Some(0),
                ..default()
            },
            "a ghost batch must be at least 1 sample",
        ),
    ] {
        let message = layer(config).expect_err("an error").to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    // candle trains with ε = 0, and divides by zero on a constant channel.
    let inference_only = layer(0.0)?;
    let x = zeros(&[4, 3], DType::F32);
    assert!(inference_only.forward_t(&x, false).is_ok());
    let message = refused(&inference_only, &x)?;
    assert!(
        message.starts_with("batch norm's eps must be finite and above zero"),
        "{message}"
    );
    Ok(())
}

#[test]
fn parameters_of_another_length() {
    let vector = |len: usize| zeros(&[len], DType::F32);
    let error = BatchNorm::new(3, vector(3), vector(3), vector(2), vector(3), 1e-5);
    let message = error.expect_err("an error").to_string();
    assert!(
        message.starts_with("batch norm's weight must have shape [3], got [2]"),
        "{message}"
    );
}

#[test]
fn parameters_of_types_that_go_with_no_input() {
    let of = |dtype| zeros(&[3], dtype);
    let (f32, f64) = (DType::F32, DType::F64);
    for ([mean, var, weight, bias], expected) in [
        (
            [f32, f32, DType::U8, f32],
            "batch norm's weight must be of dtype F16, BF16, F32 or F64, got U8",
        ),
        (
            [DType::I64, f32, f32, f32],
            "batch norm's running_mean must be of dtype F16, BF16, F32 or F64, got I64",
        ),
        (
            [f32, f32, f32, f64],
            "batch norm's bias must be of dtype F16, BF16 or F32, as its running_mean is not of F64, got F64",
        ),
        (
            [f64, DType::F16, f64, f64],
            "batch norm's running_var must be of dtype F64, as its running_mean is, got F16",
        ),
    ] {
        let error = BatchNorm::new(3, of(mean), of(var), of(weight), of(bias), 1e-5);
        let message = error.expect_err("an error").to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

/// A loss of a gradient, as a gradient penalty is, must not leave out what there is not: candle detaches gradients unless it is told not
/// to, and then there is a part of the second derivatives at most. (Where it is told, `second.rs` has them.)
#[test]
fn second_derivatives_of_gradients_without_a_graph() -> Result<()> {
    for train in [true, false] {
        let layer = Both::new(3, 1e-3, 0.2)?.ours;
        let memory = Tensor::arange(0f32, 24., &Device::Cpu)?.reshape((4, 3, 2))?;
        let x = Var::from_tensor(&memory)?;
        let y = layer.forward_t(&x, train)?;
        let gradients = y.sqr()?.sum_all()?.backward()?;
        let (weight, bias) = layer.weight_and_bias().expect("affine");
        for of in [x.as_tensor(), weight, bias] {
            let gradient = gradients.get(of).expect("a gradient");
            let refused = gradient.sqr()?.sum_all()?.backward();
            let message = refused.expect_err("an error").to_string();
            assert!(
                message.starts_with(
                    "backward is not supported for the gradients of batch norm (candle keeps no graph of gradients unless CANDLE_GRAD_DO_NOT_DETACH=1 is in the environment"
                ),
                "{message}"
            );
            let constant = (gradient.detach() * of)?.sum_all()?.backward()?;
            assert!(constant.get(of).is_some());
        }
    }
    Ok(())
}

#[test]
fn errors_are_this_crate_s_within_candle_s() -> Result<()> {
    use candle_core::error::Context;
    let layer = layer(1e-5)?;
    let forward = |dims: &[usize]| layer.forward_t(&zeros(dims, DType::F32), true);
    let bare = forward(&[1, 3]).expect_err("an error");
    assert!(matches!(
        error_of(&bare),
        Some(Error::TooFewValues { found: 1, .. })
    ));
    // Whatever is added on the way.
    let wrapped = forward(&[4, 5]).context("block 2").expect_err("an error");
    let of_a_file = wrapped
        .with_path("model.safetensors")
        .context("a model")
        .bt();
    assert_eq!(
        error_of(&of_a_file),
        Some(&Error::Channels {
            found: 5,
            needed: 3
        })
    );
    let config = BatchNormConfig {
        momentum: 2.0,
        ..BatchNormConfig::default()
    };
    let refused = batch_norm(3, config, VarBuilder::zeros(DType::F32, &Device::Cpu));
    assert_eq!(
        error_of(&refused.expect_err("an error")),
        Some(&Error::Momentum { found: 2.0 })
    );
    // Of every kind, whatever is checked.
    let of_type = |dtype| zeros(&[3], dtype);
    let (f32, f64) = (of_type(DType::F32), of_type(DType::F64));
    let made = |mean: &Tensor, var: &Tensor, weight: &Tensor| {
        let (mean, var, weight) = (mean.clone(), var.clone(), weight.clone());
        BatchNorm::new(3, mean, var, weight, f32.clone(), 1e-5).map(drop)
    };
    let x = zeros(&[4, 3], DType::F32);
    let with_residual = |residual: &Tensor| layer.forward_t_add(&x, residual, true).map(drop);
    let linear = |dims: &[usize]| candle_nn::Linear::new(zeros(dims, DType::F32), None);
    for refused in [
        made(&zeros(&[2], DType::F32), &f32, &f32),
        made(&f32, &f64, &f32),
        made(&f32, &f32, &of_type(DType::U8)),
        made(&(&f32 + f64::NAN)?, &f32, &f32),
        layer.forward_t(&zeros(&[4, 3], DType::I64), true).map(drop),
        layer
            .forward_t(&zeros(&[4, 3], DType::F64), false)
            .map(drop),
        with_residual(&zeros(&[4, 3, 1], DType::F32)),
        with_residual(&zeros(&[4, 3], DType::F16)),
        layer.fold_into_linear(&linear(&[4, 3])).map(drop),
    ] {
        let error = refused.expect_err("an error");
        assert!(error_of(&error).is_some(), "{error}");
    }
    let of_candle = zeros(&[2], DType::F32).reshape(3).expect_err("an error");
    assert_eq!(error_of(&of_candle), None);
    Ok(())
}

#[test]
fn a_negative_running_variance_is_an_error_of_this_crate_s() {
    let of = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
    let refused =
        BatchNorm::new(1, of(0.0), of(-1.0), of(1.0), of(0.0), 1e-5).expect_err("an error");
    let reason = error_of(&refused).expect("one of this crate's");
    assert!(reason.to_string().contains("-1"), "{reason}");
}

#[test]
fn more_channels_than_there_is_memory_for() {
    for channels in [1 << 45, 1 << 61, usize::MAX] {
        let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
        let error = batch_norm(channels, 1e-5, vb).expect_err("an error");
        let reason = error_of(&error);
        assert!(matches!(reason, Some(Error::OutOfMemory { .. })), "{error}");
    }
}
