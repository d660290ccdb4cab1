//! Parameters of Keras, flax and ONNX: other names, other conventions, the same layer.
//!
//! Two of their conventions differ from PyTorch's. Their `momentum` is the weight of the **old** value,
//! `running = momentum * running + (1 - momentum) * batch`, and this crate's is that of the new batch. And their
//! running variance follows the **population** variance (÷M) of the batch where PyTorch's follows the unbiased one
//! (÷(M−1)). For inference that is all the same: what is stored is used. But when training goes on, the running
//! variance would drift to M/(M−1) times the values that the model was trained with, so layers made here have
//! [`RunningVariance::Population`].

use crate::allocate::{collected, filled};
use crate::backend::Backend;
use crate::config::BatchNormConfig;
use crate::config::averaging::{Averaging, RunningVariance};
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::interop::parameters::{Parameters, RunningValues};
use crate::layer::BatchNorm;
use crate::shape::check_len;

/// What a Keras `BatchNormalization` layer holds, arrays (C,).
///
/// Keras 3 is meant. (In Keras 2, TensorFlow's fused kernel, the default for images, followed the unbiased variance:
/// tensorflow issue 55545.)
#[derive(Debug, Clone, PartialEq)]
pub struct KerasParameters<C> {
    /// γ; `None` for `scale=False`.
    pub gamma: Option<Vec<C>>,
    /// β; `None` for `center=False`.
    pub beta: Option<Vec<C>>,
    /// The running mean.
    pub moving_mean: Vec<C>,
    /// The running population variance.
    pub moving_variance: Vec<C>,
    /// The weight of the old value; Keras's default is [`DEFAULT_MOMENTUM`](Self::DEFAULT_MOMENTUM).
    pub momentum: f64,
    /// ε; Keras's default is [`DEFAULT_EPSILON`](Self::DEFAULT_EPSILON).
    pub epsilon: f64,
}

impl<C> KerasParameters<C> {
    /// 0.99.
    pub const DEFAULT_MOMENTUM: f64 = 0.99;
    /// 1e-3.
    pub const DEFAULT_EPSILON: f64 = 1e-3;
}

/// What a flax `BatchNorm` module holds (linen: `params` and `batch_stats`; nnx: the same names), arrays (C,).
#[derive(Debug, Clone, PartialEq)]
pub struct FlaxParameters<C> {
    /// γ; `None` for `use_scale=False`.
    pub scale: Option<Vec<C>>,
    /// β; `None` for `use_bias=False`.
    pub bias: Option<Vec<C>>,
    /// The running mean.
    pub mean: Vec<C>,
    /// The running population variance.
    pub var: Vec<C>,
    /// The weight of the old value; flax's default is [`DEFAULT_MOMENTUM`](Self::DEFAULT_MOMENTUM).
    pub momentum: f64,
    /// ε; flax's default is [`DEFAULT_EPSILON`](Self::DEFAULT_EPSILON).
    pub epsilon: f64,
}

impl<C> FlaxParameters<C> {
    /// 0.99.
    pub const DEFAULT_MOMENTUM: f64 = 0.99;
    /// 1e-5.
    pub const DEFAULT_EPSILON: f64 = 1e-5;
}

/// The inputs and attributes of an ONNX `BatchNormalization` node (opset 15), arrays (C,).
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxParameters<C> {
    /// γ.
    pub scale: Vec<C>,
    /// β, ONNX's `B`.
    pub b: Vec<C>,
    /// The running mean.
    pub input_mean: Vec<C>,
    /// The running population variance.
    pub input_var: Vec<C>,
    /// The weight of the old value; ONNX's default is [`DEFAULT_MOMENTUM`](Self::DEFAULT_MOMENTUM).
    pub momentum: f64,
    /// ε; ONNX's default is [`DEFAULT_EPSILON`](Self::DEFAULT_EPSILON).
    pub epsilon: f64,
}

impl<C> OnnxParameters<C> {
    /// 0.9.
    pub const DEFAULT_MOMENTUM: f64 = 0.9;
    /// 1e-5.
    pub const DEFAULT_EPSILON: f64 = 1e-5;
}

/// To and from other frameworks. All of them give `momentum` as the weight of the old value and follow the population
/// variance; a layer made from them has 1 − `momentum` and [`RunningVariance::Population`], no activation, and has
/// tracked no batches. Where no such value exists for a layer ([`Averaging::Cumulative`]), it cannot be converted.
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// A layer that computes what the Keras layer does, in inference and when its training goes on.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, Cpu, KerasParameters, Shape, Tensor};
    /// let keras = KerasParameters {
    ///     gamma: Some(vec![2.0f32]),
    ///     beta: Some(vec![1.0]),
    ///     moving_mean: vec![3.0],
    ///     moving_variance: vec![3.999],
    ///     momentum: 0.99,
    ///     epsilon: 1e-3,
    /// };
    /// let cpu = Cpu::new();
    /// let layer = BatchNorm::from_keras(&cpu, &keras)?;
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[1, 1])?, &[5.0f32])?;
    /// let y = layer.forward_inference(&x)?.to_vec()?; // 2 * (5 - 3) / sqrt(3.999 + 0.001) + 1
    /// assert!((y[0] - 3.0).abs() < 1e-6);
    /// assert_eq!(layer.to_keras()?, keras);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for a momentum outside 0 to 1 or a variance that is below zero or NaN, [`Error::Epsilon`] for an ε that is negative or not finite,
    /// [`Error::Length`] for arrays of different lengths, [`Error::NoChannels`] for empty ones.
    pub fn from_keras(backend: &B, keras: &KerasParameters<C>) -> Result<Self> {
        Converted {
            gamma: copied_if_any(keras.gamma.as_deref())?,
            beta: copied_if_any(keras.beta.as_deref())?,
            mean: copied(&keras.moving_mean)?,
            variance: copied(&keras.moving_variance)?,
            decay: keras.momentum,
            epsilon: keras.epsilon,
        }
        .into_layer(backend)
    }

    /// What a Keras layer needs to infer as this one does. An activation that is fused into this one is not part of it.
    ///
    /// # Errors
    /// [`Error::NoRunningStatistics`]; [`Error::Value`] for [`Averaging::Cumulative`]; when the device fails.
    pub fn to_keras(&self) -> Result<KerasParameters<C>> {
        let converted = Converted::of(self, "conversion to Keras")?;
        Ok(KerasParameters {
            gamma: converted.gamma,
            beta: converted.beta,
            moving_mean: converted.mean,
            moving_variance: converted.variance,
            momentum: converted.decay,
            epsilon: converted.epsilon,
        })
    }

    /// A layer that computes what the flax module does, in inference and when its training goes on.
    ///
    /// # Errors
    /// As [`from_keras`](Self::from_keras).
    pub fn from_flax(backend: &B, flax: &FlaxParameters<C>) -> Result<Self> {
        Converted {
            gamma: copied_if_any(flax.scale.as_deref())?,
            beta: copied_if_any(flax.bias.as_deref())?,
            mean: copied(&flax.mean)?,
            variance: copied(&flax.var)?,
            decay: flax.momentum,
            epsilon: flax.epsilon,
        }
        .into_layer(backend)
    }

    /// What a flax module needs to infer as this layer does. An activation that is fused into the layer is not part of it.
    ///
    /// # Errors
    /// As [`to_keras`](Self::to_keras).
    pub fn to_flax(&self) -> Result<FlaxParameters<C>> {
        let converted = Converted::of(self, "conversion to flax")?;
        Ok(FlaxParameters {
            scale: converted.gamma,
            bias: converted.beta,
            mean: converted.mean,
            var: converted.variance,
            momentum: converted.decay,
            epsilon: converted.epsilon,
        })
    }

    /// A layer, with γ and β, that computes what the ONNX node does, in inference and when its training goes on.
    ///
    /// # Errors
    /// As [`from_keras`](Self::from_keras).
    pub fn from_onnx(backend: &B, onnx: &OnnxParameters<C>) -> Result<Self> {
        Converted {
            gamma: copied_if_any(Some(&onnx.scale))?,
            beta: copied_if_any(Some(&onnx.b))?,
            mean: copied(&onnx.input_mean)?,
            variance: copied(&onnx.input_var)?,
            decay: onnx.momentum,
            epsilon: onnx.epsilon,
        }
        .into_layer(backend)
    }

    /// What an ONNX node needs to infer as this layer does: ones and zeros for a γ and β that it does not have. An
    /// activation that is fused into the layer is not part of it.
    ///
    /// # Errors
    /// As [`to_keras`](Self::to_keras).
    pub fn to_onnx(&self) -> Result<OnnxParameters<C>> {
        let converted = Converted::of(self, "conversion to ONNX")?;
        let or_constant = |values: Option<Vec<C>>, value| match values {
            Some(values) => Ok(values),
            None => filled(self.config().channels(), C::from_f64(value)),
        };
        Ok(OnnxParameters {
            scale: or_constant(converted.gamma, 1.0)?,
            b: or_constant(converted.beta, 0.0)?,
            input_mean: converted.mean,
            input_var: converted.variance,
            momentum: converted.decay,
            epsilon: converted.epsilon,
        })
    }
}

/// What all three hold, under this crate's names.
struct Converted<C> {
    gamma: Option<Vec<C>>,
    beta: Option<Vec<C>>,
    mean: Vec<C>,
    variance: Vec<C>,
    decay: f64,
    epsilon: f64,
}

impl<C: Compute> Converted<C> {
    fn of<B: Backend>(layer: &BatchNorm<B, C>, operation: &'static str) -> Result<Self> {
        let _mode = DefaultMode::enter();
        let Parameters {
            gamma,
            beta,
            running: Some(running),
        } = layer.parameter_values()?
        else {
            return Err(Error::NoRunningStatistics { operation });
        };
        let Averaging::Exponential { momentum } = layer.config().averaging_kind() else {
            return Err(Error::Value {
                what: "the averaging of a layer that is converted",
                found: format!("{:?}", layer.config().averaging_kind()),
                needed: "exponential, the only one other frameworks have",
            });
        };
        Ok(Self {
            gamma,
            beta,
            mean: running.mean,
            variance: running.variance,
            decay: 1.0 - momentum,
            epsilon: layer.config().epsilon_value(),
        })
    }

    fn into_layer<B: Backend>(self, backend: &B) -> Result<BatchNorm<B, C>> {
        let _mode = DefaultMode::enter();
        if !(0.0..=1.0).contains(&self.decay) {
            return Err(Error::Value {
                what: "the momentum, here the weight of the old value,",
                found: self.decay.to_string(),
                needed: "from 0 to 1",
            });
        }
        let channels = self.mean.len();
        check_len("the running variance", self.variance.len(), channels)?;
        let config = BatchNormConfig::new(channels)
            .epsilon(self.epsilon)
            .momentum(1.0 - self.decay)
            .running_variance(RunningVariance::Population)
            .gamma(self.gamma.is_some())
            .beta(self.beta.is_some());
        let mut layer = BatchNorm::with_compute(backend, config)?;
        layer.replace_parameter_values(&Parameters {
            gamma: self.gamma,
            beta: self.beta,
            running: Some(RunningValues {
                mean: self.mean,
                variance: self.variance,
                num_batches_tracked: 0,
            }),
        })?;
        Ok(layer)
    }
}

fn copied<C: Copy>(values: &[C]) -> Result<Vec<C>> {
    collected(values.iter().copied())
}

fn copied_if_any<C: Copy>(values: Option<&[C]>) -> Result<Option<Vec<C>>> {
    values.map(copied).transpose()
}
