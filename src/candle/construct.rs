//! Making a layer, as candle makes its own.
#![expect(
    clippy::needless_pass_by_value,
    reason = "the signatures of candle's constructors"
)]

use candle_core::{DType, Error, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::allocate::reserved;
use crate::candle::config::{BatchNormConfig, settings_of};
use crate::candle::error::wrap;
use crate::candle::layer::BatchNorm;
use crate::candle::running::check_for_normalizing;
use crate::candle::value::{compute_type, wrong_type};

/// A layer of the variables `weight`, `bias` (if affine), `running_mean` and `running_var` of `vb`, each (C,): the
/// names of candle and PyTorch, and the data type of `vb`. To train a model of a half type, give the layer `f32` variables
/// (`vb.to_dtype(DType::F32)`): a running statistic of a half type cannot follow steps smaller than its last digit.
///
/// # Errors
/// What [`crate::BatchNormConfig::validate`] refuses, `remove_mean = false`, more channels than there is memory for, what `vb` says of its
/// variables, and running statistics in it that [`BatchNorm::new_with_momentum`] refuses.
pub fn batch_norm<C: Into<BatchNormConfig>>(
    num_features: usize,
    config: C,
    vb: VarBuilder,
) -> Result<BatchNorm> {
    let config = config.into();
    settings_of(&config, num_features).map(drop)?;
    // candle ends the program where there is none.
    reserved::<f64>(num_features).map(drop).map_err(wrap)?;
    let get = |name, value| vb.get_with_hints(num_features, name, Init::Const(value));
    let running = (get("running_mean", 0.)?, get("running_var", 1.)?);
    let weight_and_bias = if config.affine {
        Some((get("weight", 1.)?, get("bias", 0.)?))
    } else {
        None
    };
    layer_of(num_features, config, weight_and_bias, running)
}

impl BatchNorm {
    /// A layer of these tensors, each (C,), with momentum 0.1.
    ///
    /// # Errors
    /// As [`new_with_momentum`](Self::new_with_momentum).
    pub fn new(
        num_features: usize,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: f64,
    ) -> Result<Self> {
        let momentum = BatchNormConfig::default().momentum;
        Self::new_with_momentum(
            num_features,
            running_mean,
            running_var,
            weight,
            bias,
            eps,
            momentum,
        )
    }

    /// [`new`](Self::new) without weight and bias.
    ///
    /// # Errors
    /// As [`new_with_momentum`](Self::new_with_momentum).
    pub fn new_no_bias(
        num_features: usize,
        running_mean: Tensor,
        running_var: Tensor,
        eps: f64,
    ) -> Result<Self> {
        let momentum = BatchNormConfig::default().momentum;
        Self::new_no_bias_with_momentum(num_features, running_mean, running_var, eps, momentum)
    }

    /// A layer of these tensors, each (C,).
    ///
    /// # Errors
    /// What [`crate::BatchNormConfig::validate`] refuses, a tensor that is not (C,), one of another data type than `f32`,
    /// `f16`, `bf16` or `f64`, `f64` among others (no input goes with both), a running mean that is not finite, and a running
    /// variance that is not or is below zero.
    pub fn new_with_momentum(
        num_features: usize,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: f64,
        momentum: f64,
    ) -> Result<Self> {
        let config = BatchNormConfig {
            eps,
            momentum,
            ..BatchNormConfig::default()
        };
        let running = (running_mean, running_var);
        layer_of(num_features, config, Some((weight, bias)), running)
    }

    /// [`new_with_momentum`](Self::new_with_momentum) without weight and bias.
    ///
    /// # Errors
    /// As [`new_with_momentum`](Self::new_with_momentum).
    pub fn new_no_bias_with_momentum(
        num_features: usize,
        running_mean: Tensor,
        running_var: Tensor,
        eps: f64,
        momentum: f64,
    ) -> Result<Self> {
        let config = BatchNormConfig {
            eps,
            momentum,
            affine: false,
            ..BatchNormConfig::default()
        };
        layer_of(num_features, config, None, (running_mean, running_var))
    }
}

/// A layer of these tensors. No function of the type's own: a private name would hide a trait's.
fn layer_of(
    channels: usize,
    config: BatchNormConfig,
    weight_and_bias: Option<(Tensor, Tensor)>,
    (running_mean, running_var): (Tensor, Tensor),
) -> Result<BatchNorm> {
    settings_of(&config, channels).map(drop)?;
    let mut tensors = vec![
        ("running_mean", &running_mean),
        ("running_var", &running_var),
    ];
    if let Some((weight, bias)) = &weight_and_bias {
        tensors.extend([("weight", weight), ("bias", bias)]);
    }
    for (name, tensor) in tensors {
        if tensor.dims() != [channels] {
            return Err(wrap(crate::error::Error::TensorShape {
                name: name.to_owned(),
                found: tensor.dims().to_vec(),
                needed: vec![channels],
            }));
        }
    }
    let (eps, momentum) = (config.eps, config.momentum);
    let candle = match weight_and_bias {
        Some((weight, bias)) => candle_nn::BatchNorm::new_with_momentum(
            channels,
            running_mean,
            running_var,
            weight,
            bias,
            eps,
            momentum,
        ),
        None => candle_nn::BatchNorm::new_no_bias_with_momentum(
            channels,
            running_mean,
            running_var,
            eps,
            momentum,
        ),
    }?;
    around(candle, config)
}

impl TryFrom<candle_nn::BatchNorm> for BatchNorm {
    type Error = Error;

    /// The same layer, sharing its variables. (candle's layer does not tell its `remove_mean`; it is taken for `true`.)
    ///
    /// # Errors
    /// As [`new_with_momentum`](BatchNorm::new_with_momentum).
    fn try_from(candle: candle_nn::BatchNorm) -> Result<Self> {
        let config = BatchNormConfig {
            eps: candle.eps(),
            affine: candle.weight_and_bias().is_some(),
            momentum: candle.momentum(),
            ..BatchNormConfig::default()
        };
        settings_of(&config, candle.running_mean().elem_count()).map(drop)?;
        around(candle, config)
    }
}

/// The layer around candle's, of settings that have been checked.
fn around(candle: candle_nn::BatchNorm, config: BatchNormConfig) -> Result<BatchNorm> {
    check_variables(&candle)?;
    Ok(BatchNorm {
        config,
        candle,
        frozen: false,
        ranks: None,
    })
}

/// Data types that an input goes with, and running statistics that can be normalized with.
fn check_variables(candle: &candle_nn::BatchNorm) -> Result<()> {
    let running_mean = candle.running_mean();
    check_type("running_var", candle.running_var(), running_mean)?;
    if let Some((weight, bias)) = candle.weight_and_bias() {
        check_type("weight", weight, running_mean)?;
        check_type("bias", bias, running_mean)?;
    }
    check_for_normalizing(running_mean, candle.running_var())
}

/// Tensors that are computed in different types go with no input.
fn check_type(name: &str, tensor: &Tensor, running_mean: &Tensor) -> Result<()> {
    let needed = compute_type("running_mean", running_mean.dtype())?;
    if compute_type(name, tensor.dtype())? == needed {
        return Ok(());
    }
    let needed = match needed {
        DType::F64 => "F64, as its running_mean is",
        _ => "F16, BF16 or F32, as its running_mean is not of F64",
    };
    Err(wrong_type(name, tensor.dtype(), needed))
}
