//! The layer: the order of the steps, once, for every backend.

pub(crate) mod adapted;
pub(crate) mod backward;
pub(crate) mod checkpointed;
pub(crate) mod double_backward;
pub(crate) mod forward;
pub(crate) mod frozen;
pub(crate) mod ghost;
pub(crate) mod gradients;
pub(crate) mod in_place;
pub(crate) mod inference;
pub(crate) mod output_pass;
pub(crate) mod parameters;
pub(crate) mod part;
#[cfg(feature = "__gpu")]
pub(crate) mod part_in_stream;
pub(crate) mod part_pass;
pub(crate) mod pass;
pub(crate) mod quantized;
pub(crate) mod renormalization;
pub(crate) mod saved;
pub(crate) mod split;
pub(crate) mod split_pass;
pub(crate) mod training;

use std::fmt;

use crate::arrays::channel_array::ChannelArray;
use crate::arrays::lent::{lent_batch, residual_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, View};
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::config::BatchNormConfig;
use crate::config::averaging::Averaging;
use crate::config::renormalization::Renormalization;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::forward::{Forward, check_input_channels};
use crate::layer::renormalization::Reference;
use crate::shape::Shape;
use crate::statistics::running::RunningStatistics;

/// A batch normalization layer.
///
/// With the mean and the biased variance of each channel over its M = N·S values,
///
/// ```text
/// y = γ · (x − mean) / sqrt(variance + ε) + β
/// ```
///
/// then, by configuration, an activation, and by the call, the addition of a residual before it. Three passes:
///
/// | pass | statistics | running statistics | gradients |
/// |---|---|---|---|
/// | [`forward_training`](Self::forward_training) | the batch's | follow the batch | through the statistics |
/// | [`forward_frozen`](Self::forward_frozen) | the running ones | stay | statistics are constants |
/// | [`forward_inference`](Self::forward_inference) | the running ones | stay | none |
///
/// Between the last and the first stands [`forward_adapted`](Self::forward_adapted).
/// A layer without running statistics ([`Averaging::Off`]) uses the batch's in all three, as PyTorch does.
/// x is (N, C), (N, C, L), (N, C, H, W), (N, C, D, H, W) or of more dimensions, or channels last; of `f32`, `f16`, `bf16` (for `C = f32`) or
/// `f64` (for `C = f64`). Source: Ioffe & Szegedy 2015, algorithms 1 and 2, and section 3 for the gradients.
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Device, Shape, Tensor};
///
/// let device = Device::best_available();
/// let mut layer = BatchNorm::new(&device, BatchNormConfig::new(2))?;
/// let shape = Shape::channels_first(&[3, 2])?;
/// let x = Tensor::new(&device, shape, &[1.0f32, 10.0, 2.0, 20.0, 3.0, 30.0])?;
///
/// let (y, pass) = layer.forward_training(&x)?;
/// assert!((y.to_vec()?[0] + 1.2247).abs() < 1e-3); // (1 − 2) / sqrt(2/3)
///
/// let dy = Tensor::new(&device, shape, &[1.0f32, 0.0, 0.0, 0.0, 0.0, 0.0])?;
/// let gradients = pass.backward(&dy)?;
/// assert_eq!(gradients.input.shape(), shape);
/// assert_eq!(gradients.beta.unwrap().to_vec()?, [1.0, 0.0]);
/// # Ok::<(), batchnorm::Error>(())
/// ```
///
/// Cloned, it is an independent copy: what the one learns the other does not. `clone` panics where the device has no room,
/// [`try_clone`](Self::try_clone) is an error then. Printed with `{}` it says its settings, with `{:?}` its arrays' sizes
/// as well, but never their values.
#[derive(Debug, Clone)]
pub struct BatchNorm<B: Backend, C: Compute = f32> {
    backend: B,
    config: BatchNormConfig,
    /// Ones where the layer has none: a backend always has γ and β.
    gamma: ChannelArray<C, B>,
    /// Zeros where the layer has none.
    beta: ChannelArray<C, B>,
    running: Option<RunningStatistics<C, B>>,
}

impl<B: Backend> BatchNorm<B> {
    /// A layer with γ = 1, β = 0, running mean 0 and running variance 1, for `f32`, `f16` and `bf16`. For `f64` there is
    /// [`with_compute`](Self::with_compute).
    ///
    /// # Errors
    /// What [`BatchNormConfig::validate`] refuses, and when the device has no room.
    pub fn new(backend: &B, config: BatchNormConfig) -> Result<Self> {
        Self::with_compute(backend, config)
    }
}

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// As [`new`](BatchNorm::new), with per-channel arrays of `C`, in which everything is computed.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu};
    /// let layer = BatchNorm::<_, f64>::with_compute(&Cpu::new(), BatchNormConfig::new(2))?;
    /// assert_eq!(layer.gamma().unwrap().to_vec()?, [1.0f64, 1.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](BatchNorm::new).
    pub fn with_compute(backend: &B, config: BatchNormConfig) -> Result<Self> {
        config.validate()?;
        let channels = config.channels();
        let running = match config.averaging_kind() {
            Averaging::Off => None,
            _ => Some(RunningStatistics::new(backend, &config)?),
        };
        Ok(Self {
            backend: backend.clone(),
            config,
            gamma: ChannelArray::filled(backend, channels, 1.0)?,
            beta: ChannelArray::filled(backend, channels, 0.0)?,
            running,
        })
    }

    /// The same layer, with memory of its own.
    ///
    /// # Errors
    /// When the device has no room, where `clone` panics.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            backend: self.backend.clone(),
            config: self.config,
            gamma: self.gamma.try_clone()?,
            beta: self.beta.try_clone()?,
            running: self
                .running
                .as_ref()
                .map(RunningStatistics::try_clone)
                .transpose()?,
        })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &BatchNormConfig {
        &self.config
    }

    /// Where it is.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// γ (C,), if the layer has one.
    pub fn gamma(&self) -> Option<&ChannelArray<C, B>> {
        self.config.has_gamma().then_some(&self.gamma)
    }

    /// γ (C,), if the layer has one, to be changed.
    pub fn gamma_mut(&mut self) -> Option<&mut ChannelArray<C, B>> {
        self.config.has_gamma().then_some(&mut self.gamma)
    }

    /// β (C,), if the layer has one.
    pub fn beta(&self) -> Option<&ChannelArray<C, B>> {
        self.config.has_beta().then_some(&self.beta)
    }

    /// β (C,), if the layer has one, to be changed.
    pub fn beta_mut(&mut self) -> Option<&mut ChannelArray<C, B>> {
        self.config.has_beta().then_some(&mut self.beta)
    }

    /// The running statistics, unless they are [`Averaging::Off`].
    pub fn running(&self) -> Option<&RunningStatistics<C, B>> {
        self.running.as_ref()
    }

    /// The running statistics, to be changed.
    pub fn running_mut(&mut self) -> Option<&mut RunningStatistics<C, B>> {
        self.running.as_mut()
    }

    /// Renormalizes by other limits from the next training pass on, as a
    /// [`RenormalizationSchedule`](crate::RenormalizationSchedule) has them; not at all with `None`. (Where ranks are
    /// [synchronized](crate::SyncBatchNorm), all of them set the same.)
    ///
    /// # Errors
    /// [`crate::Error::Value`] for limits that are not finite, r_max below 1 or d_max below 0, and for a layer without running
    /// statistics; then nothing has changed.
    pub fn set_renormalization(
        &mut self,
        limits: impl Into<Option<Renormalization>>,
    ) -> Result<()> {
        let config = self.config.renormalization(limits);
        config.validate()?;
        self.config = config;
        Ok(())
    }

    /// What the next batch is renormalized against, if it is.
    pub(crate) fn reference(&self) -> Result<Option<Reference<C, B>>> {
        match &self.running {
            Some(running) => Reference::of(&self.config, running),
            None => Ok(None),
        }
    }

    /// Room for the output of an input, which must be as large as it says.
    pub(crate) fn output_for<T, X>(&self, x: &X) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let (View { shape, .. }, _) = lent_batch(x)?;
        check_input_channels(&self.config, &shape)?;
        Tensor::unspecified(&self.backend, shape)
    }

    /// A forward pass over an input of this shape.
    pub(crate) fn forward_of<'r, T: Element<Compute = C>>(
        &'r self,
        shape: &Shape,
        residual: Option<&'r dyn Data<B, Element = T>>,
    ) -> Result<Forward<'r, T, B>> {
        self.without_running().forward(shape.into(), residual)
    }

    /// What a pass reads.
    fn without_running(&self) -> WithoutRunning<'_, B, C> {
        WithoutRunning {
            backend: &self.backend,
            config: &self.config,
            gamma: &self.gamma,
            beta: &self.beta,
        }
    }

    /// What a training pass reads, and what follows it.
    fn apart_from_running(
        &mut self,
    ) -> (
        WithoutRunning<'_, B, C>,
        Option<&mut RunningStatistics<C, B>>,
    ) {
        let without_running = WithoutRunning {
            backend: &self.backend,
            config: &self.config,
            gamma: &self.gamma,
            beta: &self.beta,
        };
        (without_running, self.running.as_mut())
    }
}

/// Its settings, such as `BatchNorm(64, epsilon=1e-5, momentum=0.1, relu)`.
impl<B: Backend, C: Compute> fmt::Display for BatchNorm<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchNorm({})", self.config)
    }
}

/// What a pass reads of a layer: all of it but the running statistics, which a training pass changes.
#[derive(Debug)]
struct WithoutRunning<'a, B: Backend, C: Compute> {
    backend: &'a B,
    config: &'a BatchNormConfig,
    gamma: &'a ChannelArray<C, B>,
    beta: &'a ChannelArray<C, B>,
}

impl<'a, B: Backend, C: Compute> WithoutRunning<'a, B, C> {
    /// A forward pass over an input of this shape.
    fn forward<'r, T: Element<Compute = C>>(
        &self,
        Batch { shape, kept }: Batch<'_>,
        residual: Option<&'r dyn Data<B, Element = T>>,
    ) -> Result<Forward<'r, T, B>>
    where
        'a: 'r,
    {
        check_input_channels(self.config, shape)?;
        Ok(Forward {
            backend: self.backend,
            config: self.config,
            shape: *shape,
            kept: kept.cloned(),
            gamma: self.gamma.slice(),
            beta: self.beta.slice(),
            residual: residual_slice(shape, residual)?,
            reference: None,
            keeps_output: false,
        })
    }
}
