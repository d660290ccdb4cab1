//! The layer's settings, in candle's words.

use candle_core::Result;

use crate::backend::activation::Activation;
use crate::candle::error::wrap;
use crate::config::renormalization::Renormalization;
use crate::error::Error;

/// A layer's settings. Made of candle's own configuration or of an ε too, so that
/// `batch_norm(64, 1e-5, vb)` stays as it is. A new field takes a new minor version: end a literal with
/// `..BatchNormConfig::default()`, and it stays as it is too.
///
/// ```
/// use batchnorm::{Activation, candle::BatchNormConfig};
/// let fused = BatchNormConfig { activation: Activation::Relu, ..BatchNormConfig::default() };
/// let ours: BatchNormConfig = candle_nn::BatchNormConfig { momentum: 0.2, ..Default::default() }.into();
/// assert_eq!(BatchNormConfig::from(1e-3).eps, 1e-3);
/// assert_eq!((ours.momentum, fused.eps), (0.2, 1e-5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormConfig {
    /// ε in `1 / sqrt(variance + ε)`: finite, not negative, and above zero for training.
    pub eps: f64,
    /// candle's switch for a variance around zero instead of the mean. Must be `true`: the other is no batch
    /// normalization.
    pub remove_mean: bool,
    /// Whether the layer has a weight (γ) and a bias (β).
    pub affine: bool,
    /// From 0 to 1: `running = (1 − momentum)·running + momentum·batch`.
    pub momentum: f64,
    /// What is done to y before it is stored.
    pub activation: Activation,
    /// The samples that are normalized together in training, if not the whole batch: see
    /// [`crate::config::BatchNormConfig::ghost_batch`].
    pub ghost_batch: Option<usize>,
    /// Whether a channel whose batch has a NaN or an infinity leaves its running statistics as they are: see
    /// [`crate::config::BatchNormConfig::keep_running_finite`].
    pub keep_running_finite: bool,
    /// How far training brings a batch to the running statistics: see [`crate::config::BatchNormConfig::renormalization`].
    pub renormalization: Option<Renormalization>,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        candle_nn::BatchNormConfig::default().into()
    }
}

impl From<candle_nn::BatchNormConfig> for BatchNormConfig {
    fn from(candle: candle_nn::BatchNormConfig) -> Self {
        Self {
            eps: candle.eps,
            remove_mean: candle.remove_mean,
            affine: candle.affine,
            momentum: candle.momentum,
            activation: Activation::None,
            ghost_batch: None,
            keep_running_finite: false,
            renormalization: None,
        }
    }
}

impl From<f64> for BatchNormConfig {
    fn from(eps: f64) -> Self {
        candle_nn::BatchNormConfig::from(eps).into()
    }
}

/// The settings of a layer of so many channels. (No function of the type's own: a private name would hide a trait's.)
///
/// # Errors
/// What [`crate::BatchNormConfig::validate`] refuses, and `remove_mean = false`.
pub(super) fn settings_of(
    config: &BatchNormConfig,
    channels: usize,
) -> Result<crate::config::BatchNormConfig> {
    if !config.remove_mean {
        return Err(wrap(Error::Value {
            what: "remove_mean",
            found: "false".to_owned(),
            needed: "true (batch norm subtracts the mean)",
        }));
    }
    let settings = crate::config::BatchNormConfig::new(channels)
        .epsilon(config.eps)
        .momentum(config.momentum)
        .gamma(config.affine)
        .beta(config.affine)
        .activation(config.activation)
        .keep_running_finite(config.keep_running_finite)
        .renormalization(config.renormalization);
    let settings = match config.ghost_batch {
        Some(samples) => settings.ghost_batch(samples),
        None => settings,
    };
    settings.validate().map_err(wrap)?;
    Ok(settings)
}
