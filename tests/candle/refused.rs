//! Errors, and nothing changed by them, where candle goes on with NaN or panics.

use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm};
use candle_core::{DType, Device, Result, Tensor};
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
        message.starts_with("batch statistics need at least 2 values per channel, got 1"),
        "{message}"
    );
    Ok(())
}

#[test]
fn an_empty_batch_leaves_the_running_statistics_alone() -> Result<()> {
    let layer = layer(1e-5)?;
    let y = layer.forward_t(&zeros(&[0, 3, 2], DType::F32), true)?;
    assert_eq!(y.dims(), [0, 3, 2]);
    assert_eq!(layer.running_mean().to_vec1::<f32>()?, [0.0; 3]);
    assert_eq!(layer.running_var().to_vec1::<f32>()?, [1.0; 3]);
    let y = layer.forward_t(&zeros(&[2, 3, 0, 4], DType::F32), true)?;
    assert_eq!(y.dims(), [2, 3, 0, 4]);
    assert_eq!(layer.running_var().to_vec1::<f32>()?, [1.0; 3]);
    Ok(())
}

#[test]
fn more_than_five_dimensions_stay_as_they_are() -> Result<()> {
    let layer = layer(1e-5)?;
    let x = Tensor::arange(0f32, 48.0, &Device::Cpu)?.reshape((2, 3, 1, 2, 2, 2))?;
    let y = layer.forward_t_add(&x, &x, false)?;
    assert_eq!(y.dims(), x.dims());
    let folded = x.flatten_from(2)?;
    let expected = layer.forward_t_add(&folded, &folded, false)?;
    let values = |y: &Tensor| y.flatten_all()?.to_vec1::<f32>();
    assert_eq!(values(&y)?, values(&expected)?);
    let other = x.reshape((2, 3, 2, 1, 2, 2))?;
    let message = layer
        .forward_t_add(&x, &other, false)
        .expect_err("an error");
    assert!(
        message.to_string().starts_with("the residual has shape"),
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
            "the input has 5 channels but the layer was built for 3",
        ),
        (
            zeros(&[3], DType::F32),
            "a shape needs at least 2 dimensions",
        ),
        (
            zeros(&[2, 0, 3], DType::F32),
            "dimension 1 of [2, 0, 3] is zero",
        ),
        (
            zeros(&[4, 3], DType::U8),
            "batch norm is of f16, bf16, f32 or f64, got U8",
        ),
        (
            zeros(&[4, 3], DType::F64),
            "batch norm of F64 needs parameters of F64, got F32",
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
            "the residual has shape [4, 3, 3], x has [4, 3, 2]",
        ),
        (
            zeros(&[4, 3, 2], DType::BF16),
            "the residual is of BF16, x of F32",
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
            "epsilon must be finite and not negative, got -1",
        ),
        (
            BatchNormConfig {
                eps: f64::NAN,
                ..default()
            },
            "epsilon must be finite and not negative",
        ),
        (
            BatchNormConfig {
                momentum: 1.5,
                ..default()
            },
            "momentum must be from 0 to 1",
        ),
        (
            BatchNormConfig {
                remove_mean: false,
                ..default()
            },
            "batch norm subtracts the mean",
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
        message.starts_with("epsilon must be finite and above zero"),
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
