//! The layer.

use std::ops::Deref;

use candle_core::{DType, Result};

use crate::backend::activation::Activation;
use crate::candle::config::{BatchNormConfig, settings_of};
use crate::candle::error::wrap;
use crate::candle::ranks::Ranks;
use crate::candle::running::check_for_normalizing;
use crate::config::renormalization::Renormalization;
use crate::error::Error;

/// A batch normalization layer on candle's tensors.
///
/// ```text
/// y = γ · (x − mean) / sqrt(variance + ε) + β
/// ```
///
/// x is (N, C) or (N, C, ...) with any number of spatial dimensions, of `f32`, `f16` or `bf16` with `f32` parameters or of `f64`
/// with `f64` parameters. Parameters and running statistics of a half type are computed with in `f32` and stay of their
/// type, as do their gradients. In either memory order it is read in place and y has the same order; a tensor of any other
/// strides is copied first. A variable, a view of one, and a tensor without a gradient (which may be a variable's, detached) are
/// copied for the way back: they can be set before the gradients are asked for. What another operation made must stay as it is
/// until then: candle does not tell when it is written to (`slice_set`).
///
/// candle's variables can be set to anything at any time, as by [`VarMap::load`](candle_nn::VarMap::load). So each pass on the CPU looks
/// at the running statistics: a negative variance is an error, and where they are normalized with, so is any value that is not
/// finite. (A batch of a NaN or an infinity leaves such values as well:
/// see [`BatchNormConfig::keep_running_finite`].)
///
/// A gradient can be differentiated again on the CPU, for a gradient penalty say, where candle keeps a graph of gradients: with
/// `CANDLE_GRAD_DO_NOT_DETACH=1` in the environment. Without it, and of a second derivative, that is an error
/// ([`candle_core::Error::BackwardNotSupported`]), unless the gradient was detached; and so it is of the activations that
/// [`Pass::double_backward`](crate::Pass::double_backward) lacks, and over ranks.
///
/// Definitions, rules and errors are those of [`crate::BatchNorm`].
///
/// It dereferences to candle's layer of the same variables, ε and momentum. That has its accessors (`running_mean`,
/// `weight_and_bias`, `eps`, ...), and is taken where candle asks for its own type, as
/// [`Conv2d::absorb_bn`](candle_nn::Conv2d::absorb_bn) does. What candle's layer lacks (an activation, ghost batches, freezing, a check of
/// the running statistics) is not in it.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    pub(super) config: BatchNormConfig,
    /// The variables. Its running statistics can follow, since they are variables whatever tensors they were made of.
    pub(super) candle: candle_nn::BatchNorm,
    pub(super) frozen: bool,
    /// Who has the other parts of a batch.
    pub(super) ranks: Option<Ranks>,
}

impl BatchNorm {
    /// The same layer with another activation.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.config.activation = activation;
        self
    }

    /// Renormalizes by other limits from the next training pass on; not at all with `None`.
    ///
    /// # Errors
    /// As [`crate::BatchNorm::set_renormalization`]; then nothing has changed.
    pub fn set_renormalization(
        &mut self,
        limits: impl Into<Option<Renormalization>>,
    ) -> Result<()> {
        let config = BatchNormConfig {
            renormalization: limits.into(),
            ..self.config
        };
        settings_of(&config, self.candle.running_mean().elem_count()).map(drop)?;
        self.config = config;
        Ok(())
    }

    /// The settings it was made with.
    pub fn config(&self) -> &BatchNormConfig {
        &self.config
    }

    /// Has the layer use its running statistics, as constants, in training too; gradients go on through it.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Ends what [`freeze`](Self::freeze) began.
    pub fn unfreeze(&mut self) {
        self.frozen = false;
    }

    /// Whether the layer is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }
}

impl Deref for BatchNorm {
    type Target = candle_nn::BatchNorm;

    fn deref(&self) -> &candle_nn::BatchNorm {
        &self.candle
    }
}

impl TryFrom<BatchNorm> for candle_nn::BatchNorm {
    type Error = candle_core::Error;

    /// candle's layer of the same variables, ε and momentum: without an activation, ghost batches and freezing.
    ///
    /// # Errors
    /// For running statistics that cannot be normalized with, and for a running variance of zero without ε, by whose root candle's layer
    /// divides.
    fn try_from(layer: BatchNorm) -> Result<Self> {
        check_for_normalizing(layer.running_mean(), layer.running_var())?;
        if layer.eps() == 0.0 {
            let variances = layer.running_var().to_dtype(DType::F64)?.to_vec1::<f64>()?;
            if let Some(channel) = variances.iter().position(|&variance| variance == 0.0) {
                return Err(wrap(Error::Value {
                    what: "the running_var of a layer without eps that becomes candle's",
                    found: format!("0 in channel {channel}"),
                    needed: "above zero",
                }));
            }
        }
        Ok(layer.candle)
    }
}
