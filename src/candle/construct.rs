//! Making a layer, as candle makes its own.
#![expect(
    clippy::needless_pass_by_value,
    reason = "the signatures of candle's constructors"
)]

use candle_core::{DType, Error, Result, Tensor, Var};
use candle_nn::{Init, VarBuilder};

use crate::candle::config::BatchNormConfig;
use crate::candle::layer::BatchNorm;
use crate::candle::value::compute_type;
use crate::statistics::running::check_variances;

/// A layer of the variables `weight`, `bias` (if affine), `running_mean` and `running_var` of `vb`, each (C,): the
/// names of candle and PyTorch. Where `vb` is of a half type they are `f32` all the same.
///
/// # Errors
/// What [`crate::BatchNormConfig::validate`] refuses, `remove_mean = false`, and what `vb` says of its variables.
pub fn batch_norm<C: Into<BatchNormConfig>>(
    num_features: usize,
    config: C,
    vb: VarBuilder,
) -> Result<BatchNorm> {
    let config = config.into();
    config.settings(num_features).map(drop)?;
    let dtype = match vb.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let get = |name, value| vb.get_with_hints_dtype(num_features, name, Init::Const(value), dtype);
    let running = (get("running_mean", 0.)?, get("running_var", 1.)?);
    let weight_and_bias = if config.affine {
        Some((get("weight", 1.)?, get("bias", 0.)?))
    } else {
        None
    };
    BatchNorm::of(
        num_features,
        config,
        weight_and_bias,
        &running.0,
        &running.1,
    )
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
    /// `f16`, `bf16` or `f64`, `f64` among others (no input goes with both), and a running variance that is below zero or NaN.
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
        Self::of(
            num_features,
            config,
            Some((weight, bias)),
            &running_mean,
            &running_var,
        )
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
        Self::of(num_features, config, None, &running_mean, &running_var)
    }

    fn of(
        channels: usize,
        config: BatchNormConfig,
        weight_and_bias: Option<(Tensor, Tensor)>,
        running_mean: &Tensor,
        running_var: &Tensor,
    ) -> Result<Self> {
        config.settings(channels).map(drop)?;
        let mut tensors = vec![("running_mean", running_mean), ("running_var", running_var)];
        if let Some((weight, bias)) = &weight_and_bias {
            tensors.extend([("weight", weight), ("bias", bias)]);
        }
        for (name, tensor) in tensors {
            if tensor.dims() != [channels] {
                candle_core::bail!(
                    "batch norm's {name} must have shape [{channels}], got {:?}",
                    tensor.dims()
                )
            }
            check_type(name, tensor, running_mean)?;
        }
        check_running_variance(running_var)?;
        Ok(Self {
            config,
            weight_and_bias,
            running_mean: Var::from_tensor(running_mean)?.into_inner(),
            running_var: Var::from_tensor(running_var)?.into_inner(),
            frozen: false,
            ranks: None,
        })
    }
}

impl TryFrom<candle_nn::BatchNorm> for BatchNorm {
    type Error = Error;

    /// The same layer, sharing its variables. (candle's layer does not tell its `remove_mean`; it is taken for `true`.)
    ///
    /// # Errors
    /// A data type that no input goes with, and a running variance that is below zero or NaN.
    fn try_from(candle: candle_nn::BatchNorm) -> Result<Self> {
        let weight_and_bias = candle
            .weight_and_bias()
            .map(|(weight, bias)| (weight.clone(), bias.clone()));
        if let Some((weight, bias)) = &weight_and_bias {
            check_type("weight", weight, candle.running_mean())?;
            check_type("bias", bias, candle.running_mean())?;
        }
        check_type("running_var", candle.running_var(), candle.running_mean())?;
        check_running_variance(candle.running_var())?;
        let config = BatchNormConfig {
            eps: candle.eps(),
            affine: weight_and_bias.is_some(),
            momentum: candle.momentum(),
            ..BatchNormConfig::default()
        };
        Ok(Self {
            config,
            weight_and_bias,
            running_mean: candle.running_mean().clone(),
            running_var: candle.running_var().clone(),
            frozen: false,
            ranks: None,
        })
    }
}

fn check_running_variance(tensor: &Tensor) -> Result<()> {
    let variances = tensor.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    check_variances(&variances).map_err(Error::wrap)
}

/// Tensors that are computed in different types go with no input.
fn check_type(name: &str, tensor: &Tensor, running_mean: &Tensor) -> Result<()> {
    let needed = compute_type("running_mean", running_mean.dtype())?;
    if compute_type(name, tensor.dtype())? != needed {
        let (found, mean) = (tensor.dtype(), running_mean.dtype());
        candle_core::bail!(
            "batch norm's {name} is of {found:?}, its running_mean of {mean:?}: needed are F64 for all, or for none"
        )
    }
    Ok(())
}
