//! What a layer is told when it is made.

pub(crate) mod adaptation;
pub(crate) mod averaging;
pub(crate) mod checks;
pub(crate) mod quantization;
pub(crate) mod renormalization;

use std::fmt;

use crate::backend::activation::Activation;
use crate::config::averaging::{Averaging, RunningVariance};
use crate::config::renormalization::Renormalization;

/// A layer's settings. The defaults are PyTorch's.
///
/// ```
/// use batchnorm::{Averaging, BatchNormConfig};
/// let config = BatchNormConfig::new(64).epsilon(1e-3).averaging(Averaging::Cumulative).beta(false);
/// assert_eq!(config.channels(), 64);
/// ```
///
/// With the feature `serde` they can be read from and written to any of its formats, under the names of the methods that set
/// them. What is left out is the default, all but `channels`; other names are refused, and other values when a layer is made.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use batchnorm::{Activation, BatchNormConfig};
/// let text = r#"{ "channels": 64, "averaging": { "exponential": { "momentum": 0.01 } }, "activation": "relu" }"#;
/// let config: BatchNormConfig = serde_json::from_str(text)?;
/// assert_eq!(config, BatchNormConfig::new(64).momentum(0.01).activation(Activation::Relu));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[must_use]
pub struct BatchNormConfig {
    channels: usize,
    #[cfg_attr(feature = "serde", serde(default = "default_epsilon"))]
    epsilon: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    averaging: Averaging,
    #[cfg_attr(feature = "serde", serde(default))]
    running_variance: RunningVariance,
    #[cfg_attr(feature = "serde", serde(default = "default_affine"))]
    gamma: bool,
    #[cfg_attr(feature = "serde", serde(default = "default_affine"))]
    beta: bool,
    #[cfg_attr(feature = "serde", serde(default))]
    activation: Activation,
    #[cfg_attr(feature = "serde", serde(default))]
    ghost_batch: Option<usize>,
    #[cfg_attr(feature = "serde", serde(default))]
    keep_running_finite: bool,
    #[cfg_attr(feature = "serde", serde(default))]
    renormalization: Option<Renormalization>,
}

/// PyTorch's.
fn default_epsilon() -> f64 {
    1e-5
}

/// γ and β are learned.
fn default_affine() -> bool {
    true
}

impl BatchNormConfig {
    /// A layer of `channels` channels: epsilon 1e-5, momentum 0.1, gamma and beta on, no activation.
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            epsilon: default_epsilon(),
            averaging: Averaging::default(),
            running_variance: RunningVariance::default(),
            gamma: default_affine(),
            beta: default_affine(),
            activation: Activation::default(),
            ghost_batch: None,
            keep_running_finite: false,
            renormalization: None,
        }
    }

    /// ε in `1 / sqrt(variance + ε)`. Above zero; zero is accepted for a layer that only infers.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// How the running statistics follow the batches.
    pub fn averaging(mut self, averaging: Averaging) -> Self {
        self.averaging = averaging;
        self
    }

    /// Short for [`Averaging::Exponential`].
    pub fn momentum(self, momentum: f64) -> Self {
        self.averaging(Averaging::Exponential { momentum })
    }

    /// Which variance the running one follows.
    pub fn running_variance(mut self, estimate: RunningVariance) -> Self {
        self.running_variance = estimate;
        self
    }

    /// Whether there is a learnable scale γ (otherwise it is 1).
    pub fn gamma(mut self, on: bool) -> Self {
        self.gamma = on;
        self
    }

    /// Whether there is a learnable shift β (otherwise it is 0).
    pub fn beta(mut self, on: bool) -> Self {
        self.beta = on;
        self
    }

    /// Neither γ nor β.
    pub fn without_affine(self) -> Self {
        self.gamma(false).beta(false)
    }

    /// What is done to y before it is stored.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Ghost batches: in training, each `samples` samples of a batch are normalized with statistics of their own, whatever
    /// the size of the batch, which keeps the noise, and the regularization, of small batches.
    ///
    /// The samples are taken in order (shuffle them as you would a data set). What remains at the end is a smaller group;
    /// if that would be one value per channel, which has no variance, it joins the group before. The running statistics
    /// follow every group, one after the other, as if each were a batch: the same as passing the groups to the layer one
    /// by one. So a batch of G groups moves them by `1 − (1 − momentum)^G`; for a share m of each batch, whatever G, set
    /// momentum to `1 − (1 − m)^(1/G)`, which weighs the groups nearly alike. Inference and frozen passes know no groups.
    /// Sizes of the batch or more change nothing.
    ///
    /// Source: Hoffer, Hubara & Soudry 2017, "Train longer, generalize better", algorithm 1 (there with the momentum
    /// called η).
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1).ghost_batch(2))?;
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[4, 1])?, &[0.0f32, 2.0, 10.0, 18.0])?;
    /// let (y, pass) = layer.forward_training(&x)?;
    /// let rounded: Vec<f32> = y.to_vec()?.iter().map(|y| y.round()).collect();
    /// assert_eq!(rounded, [-1.0, 1.0, -1.0, 1.0]);
    /// assert_eq!(pass.statistics().len(), 2);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    pub fn ghost_batch(mut self, samples: usize) -> Self {
        self.ghost_batch = Some(samples);
        self
    }

    /// Whether a batch with an infinity or a NaN leaves the running statistics of the channels that have it alone, as it
    /// does where the new ones would not be finite for another reason. By default they follow, as PyTorch's do, and no
    /// later batch mends them ([`RunningStatistics::is_finite`](crate::RunningStatistics::is_finite) tells). The batch is
    /// counted, and normalized with its own statistics, either way.
    ///
    /// Not with [`Averaging::Cumulative`], whose weights are those of batches that every channel has followed.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let config = BatchNormConfig::new(2).momentum(1.0).keep_running_finite(true);
    /// let mut layer = BatchNorm::new(&cpu, config)?;
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[2, 2])?, &[f32::NAN, 2.0, 5.0, 4.0])?;
    /// layer.forward_training(&x)?;
    /// assert_eq!(layer.running().unwrap().mean().to_vec()?, [0.0, 3.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    pub fn keep_running_finite(mut self, on: bool) -> Self {
        self.keep_running_finite = on;
        self
    }

    /// How far training brings a batch to the running statistics of before it ([`Renormalization`]); `None` for not at all. Each ghost
    /// batch is brought to those of before the whole batch.
    ///
    /// Not with [`Averaging::Off`], which has no running statistics.
    pub fn renormalization(mut self, limits: impl Into<Option<Renormalization>>) -> Self {
        self.renormalization = limits.into();
        self
    }

    /// C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// ε.
    pub fn epsilon_value(&self) -> f64 {
        self.epsilon
    }

    /// How the running statistics follow.
    pub fn averaging_kind(&self) -> Averaging {
        self.averaging
    }

    /// Which variance the running one follows.
    pub fn running_variance_kind(&self) -> RunningVariance {
        self.running_variance
    }

    /// Whether γ is learnable.
    pub fn has_gamma(&self) -> bool {
        self.gamma
    }

    /// Whether β is learnable.
    pub fn has_beta(&self) -> bool {
        self.beta
    }

    /// What is done to y.
    pub fn activation_kind(&self) -> Activation {
        self.activation
    }

    /// The samples of a ghost batch, if there are any.
    pub fn ghost_batch_size(&self) -> Option<usize> {
        self.ghost_batch
    }

    /// Whether running statistics stay as they are where they would not be finite.
    pub fn keeps_running_finite(&self) -> bool {
        self.keep_running_finite
    }

    /// How far training brings a batch to the running statistics, if it does.
    pub fn renormalization_limits(&self) -> Option<Renormalization> {
        self.renormalization
    }
}

/// The settings that a reader looks for, and those that are not the defaults: `64, epsilon=1e-5, momentum=0.1, relu`.
impl fmt::Display for BatchNormConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, epsilon={:e}, {}",
            self.channels, self.epsilon, self.averaging
        )?;
        if self.running_variance != RunningVariance::Unbiased {
            f.write_str(", running_variance=population")?;
        }
        if !self.gamma {
            f.write_str(", gamma=false")?;
        }
        if !self.beta {
            f.write_str(", beta=false")?;
        }
        if let Some(samples) = self.ghost_batch {
            write!(f, ", ghost_batch={samples}")?;
        }
        if self.keep_running_finite {
            f.write_str(", keep_running_finite=true")?;
        }
        if let Some(limits) = self.renormalization {
            write!(f, ", {limits}")?;
        }
        if self.activation != Activation::None {
            write!(f, ", {}", self.activation)?;
        }
        Ok(())
    }
}
