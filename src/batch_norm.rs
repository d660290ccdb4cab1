//! The layer: the order of the steps, once, for every backend.

use crate::backend::{
    Affine, Backend, Epilogue, InOut, Normalization, StatisticsMut, StatisticsSource,
};
use crate::pass::{Kept, Pass, PassGate};
use crate::running::{BatchStatistics, RunningStatistics};
use crate::tensor::{ChannelArray, Data, DataMut, Tensor, View};
use crate::{Activation, Averaging, BatchNormConfig, Compute, Element, Error, Result, Shape};

/// A batch normalization layer.
///
/// With the mean and the biased variance of each channel over its M = N·S values,
///
/// ```text
/// y = γ · (x − mean) / sqrt(variance + ε) + β
/// ```
///
/// then, by configuration, ReLU, and by the call, the addition of a residual before it. Three passes:
///
/// | pass | statistics | running statistics | gradients |
/// |---|---|---|---|
/// | [`forward_training`](Self::forward_training) | the batch's | follow the batch | through the statistics |
/// | [`forward_frozen`](Self::forward_frozen) | the running ones | stay | statistics are constants |
/// | [`forward_inference`](Self::forward_inference) | the running ones | stay | none |
///
/// A layer without running statistics ([`Averaging::Off`]) uses the batch's in all three, as PyTorch does.
/// x is (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W), or channels last; of `f32`, `f16`, `bf16` (for `C = f32`) or
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
#[derive(Debug)]
pub struct BatchNorm<B: Backend, C: Compute = f32> {
    backend: B,
    config: BatchNormConfig,
    /// Ones where the layer has none: a backend always has γ and β.
    gamma: ChannelArray<C, B>,
    /// Zeros where the layer has none.
    beta: ChannelArray<C, B>,
    running: Option<RunningStatistics<C, B>>,
}

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// A layer with γ = 1, β = 0, running mean 0 and running variance 1.
    ///
    /// # Errors
    /// What [`BatchNormConfig::validate`] refuses, and when the device has no room.
    pub fn new(backend: &B, config: BatchNormConfig) -> Result<Self> {
        config.validate()?;
        let channels = config.channels();
        let running = match config.averaging_kind() {
            Averaging::Off => None,
            _ => Some(RunningStatistics::new(backend, channels)?),
        };
        Ok(Self {
            backend: backend.clone(),
            config,
            gamma: ChannelArray::filled(backend, channels, 1.0)?,
            beta: ChannelArray::filled(backend, channels, 0.0)?,
            running,
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

    /// Normalizes with the batch's statistics; the running ones follow at once.
    ///
    /// `x` may be lent (`&x`), given (`x`) or shared (`Arc`): the pass keeps it for its backward.
    ///
    /// # Errors
    /// [`Error::Channels`], [`Error::TooFewValues`] for one value per channel, [`Error::Epsilon`] for ε = 0, and what
    /// the memory of `x` is refused for. An empty batch is none: it gives an empty y, counts as a batch, and leaves the
    /// running statistics alone.
    pub fn forward_training<T, X>(&mut self, x: X) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let (y, pass) = self.forward_training_deferred(x)?;
        self.follow(pass.statistics())?;
        Ok((y, pass))
    }

    /// [`forward_training`](Self::forward_training) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training), and [`Error::ShapeMismatch`].
    pub fn forward_training_add<T, X>(
        &mut self,
        x: X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = Tensor::zeros(&self.backend, x.lend()?.shape)?;
        let pass = self.forward_training_into(x, Some(residual), &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_training`](Self::forward_training) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training), and [`Error::ShapeMismatch`].
    pub fn forward_training_into<T, X>(
        &mut self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<Pass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let pass = self.forward_training_deferred_into(x, residual, y)?;
        self.follow(pass.statistics())?;
        Ok(pass)
    }

    /// Normalizes with the batch's statistics and leaves the running ones alone, until the caller has them
    /// [`follow`](Self::follow) [`Pass::statistics`]: for activations that are computed a second time (checkpointing)
    /// and for gradients gathered over several batches.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_training_deferred<T, X>(&self, x: X) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = Tensor::zeros(&self.backend, x.lend()?.shape)?;
        let pass = self.forward_training_deferred_into(x, None, &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_training_deferred`](Self::forward_training_deferred) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_training_into`](Self::forward_training_into).
    pub fn forward_training_deferred_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<Pass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let view = x.lend()?;
        let shape = view.shape;
        self.check(&shape)?;
        shape.check_batch_statistics()?;
        self.config.check_epsilon_for_batch_statistics()?;
        let (residual_values, mut y_values) = (
            lend_residual(&shape, residual)?,
            lend_output(&shape, "y", y)?,
        );
        let mut statistics = BatchStatistics::zeros(
            &self.backend,
            self.config.channels(),
            shape.values_per_channel(),
        )?;
        let mut gate = self.gate(&shape, residual.is_some())?;
        let kept = Kept::affine(&self.gamma, &self.beta)?;
        if !shape.is_empty() {
            let affine = Affine {
                gamma: self.gamma.slice(),
                beta: self.beta.slice(),
                epsilon: self.config.epsilon_value(),
            };
            let epilogue = self.epilogue(residual_values, Some(&mut gate));
            let out = StatisticsMut {
                mean: statistics.mean.slice_mut(),
                mean_low: statistics.mean_low.slice_mut(),
                variance: statistics.variance.slice_mut(),
                inv_std: statistics.inv_std.slice_mut(),
            };
            let y = B::relend_mut(&mut y_values);
            self.backend
                .forward_training::<T>(&shape, view.values, affine, epilogue, y, out)?;
        }
        drop(view);
        Ok(Pass::new(
            &self.backend,
            &self.config,
            x,
            shape,
            kept,
            statistics,
            StatisticsSource::Batch,
            gate,
            residual.is_some(),
        ))
    }

    /// Has the running statistics follow those of a batch, and counts it.
    ///
    /// # Errors
    /// [`Error::Channels`] for statistics of another layer's.
    pub fn follow(&mut self, batch: &BatchStatistics<C, B>) -> Result<()> {
        match &mut self.running {
            Some(running) => running.follow(&self.backend, &self.config, batch),
            None => Ok(()),
        }
    }

    /// The statistics of a batch, and nothing else: to be pooled over a data set ([`crate::PooledStatistics`]).
    ///
    /// # Errors
    /// [`Error::Channels`], [`Error::Epsilon`] for ε = 0.
    pub fn batch_statistics<T, X>(&self, x: &X) -> Result<BatchStatistics<C, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = x.lend()?;
        self.check(&shape)?;
        let epsilon = self.config.epsilon_value();
        BatchStatistics::of::<T>(&self.backend, &shape, values, epsilon)
    }

    /// Normalizes with the running statistics, with gradients: for layers that are fine-tuned with frozen statistics.
    ///
    /// # Errors
    /// [`Error::Channels`], and what the memory of `x` is refused for.
    pub fn forward_frozen<T, X>(&self, x: X) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = Tensor::zeros(&self.backend, x.lend()?.shape)?;
        let pass = self.forward_frozen_into(x, None, &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_frozen`](Self::forward_frozen) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_frozen`](Self::forward_frozen), and [`Error::ShapeMismatch`].
    pub fn forward_frozen_add<T, X>(
        &self,
        x: X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = Tensor::zeros(&self.backend, x.lend()?.shape)?;
        let pass = self.forward_frozen_into(x, Some(residual), &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_frozen`](Self::forward_frozen) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_frozen_add`](Self::forward_frozen_add).
    pub fn forward_frozen_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<Pass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let Some(running) = &self.running else {
            return self.forward_training_deferred_into(x, residual, y);
        };
        let view = x.lend()?;
        let shape = view.shape;
        self.check(&shape)?;
        let (residual_values, mut y_values) = (
            lend_residual(&shape, residual)?,
            lend_output(&shape, "y", y)?,
        );
        let statistics = running.as_batch(&self.backend, self.config.epsilon_value())?;
        let mut gate = self.gate(&shape, residual.is_some())?;
        let kept = Kept::affine(&self.gamma, &self.beta)?;
        let epilogue = self.epilogue(residual_values, Some(&mut gate));
        let x_to_y = InOut::Separate(view.values, B::relend_mut(&mut y_values));
        self.backend
            .normalize::<T>(&shape, x_to_y, kept.normalization(&statistics), epilogue)?;
        drop(view);
        Ok(Pass::new(
            &self.backend,
            &self.config,
            x,
            shape,
            kept,
            statistics,
            StatisticsSource::Running,
            gate,
            residual.is_some(),
        ))
    }

    /// Normalizes with the running statistics. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Channels`], and what the memory of `x` is refused for.
    pub fn forward_inference<T, X>(&self, x: &X) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = Tensor::zeros(&self.backend, x.lend()?.shape)?;
        self.forward_inference_into(x, None, &mut y)?;
        Ok(y)
    }

    /// [`forward_inference`](Self::forward_inference) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_inference`](Self::forward_inference), and [`Error::ShapeMismatch`].
    pub fn forward_inference_add<T, X>(
        &self,
        x: &X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = Tensor::zeros(&self.backend, x.lend()?.shape)?;
        self.forward_inference_into(x, Some(residual), &mut y)?;
        Ok(y)
    }

    /// [`forward_inference`](Self::forward_inference) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_inference_add`](Self::forward_inference_add).
    pub fn forward_inference_into<T, X>(
        &self,
        x: &X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<()>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = x.lend()?;
        self.check(&shape)?;
        let y_values = lend_output(&shape, "y", y)?;
        let statistics = self.inference_statistics::<T>(&shape, values)?;
        let epilogue = self.epilogue(lend_residual(&shape, residual)?, None);
        self.normalize::<T>(
            &shape,
            InOut::Separate(values, y_values),
            &statistics,
            epilogue,
        )
    }

    /// [`forward_inference`](Self::forward_inference) over its input.
    ///
    /// # Errors
    /// As [`forward_inference_add`](Self::forward_inference_add).
    pub fn forward_inference_in_place<T>(
        &self,
        x: &mut impl DataMut<B, Element = T>,
        residual: Option<&dyn Data<B, Element = T>>,
    ) -> Result<()>
    where
        T: Element<Compute = C>,
    {
        let View { shape, values } = x.lend()?;
        self.check(&shape)?;
        let residual = lend_residual(&shape, residual)?;
        let statistics = self.inference_statistics::<T>(&shape, values)?;
        let epilogue = self.epilogue(residual, None);
        let both = x.lend_mut()?.values;
        self.normalize::<T>(&shape, InOut::InPlace(both), &statistics, epilogue)
    }

    /// The running statistics, or where there are none the batch's.
    fn inference_statistics<T: Element<Compute = C>>(
        &self,
        shape: &Shape,
        x: B::Slice<'_, T>,
    ) -> Result<BatchStatistics<C, B>> {
        let epsilon = self.config.epsilon_value();
        match &self.running {
            Some(running) => running.as_batch(&self.backend, epsilon),
            None => {
                shape.check_batch_statistics()?;
                BatchStatistics::of::<T>(&self.backend, shape, x, epsilon)
            }
        }
    }

    fn normalize<T: Element<Compute = C>>(
        &self,
        shape: &Shape,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        statistics: &BatchStatistics<C, B>,
        epilogue: Epilogue<'_, B, T>,
    ) -> Result<()> {
        let with = Normalization {
            mean: statistics.mean.slice(),
            mean_low: statistics.mean_low.slice(),
            inv_std: statistics.inv_std.slice(),
            gamma: self.gamma.slice(),
            beta: self.beta.slice(),
        };
        self.backend.normalize::<T>(shape, x_to_y, with, epilogue)
    }

    fn check(&self, shape: &Shape) -> Result<()> {
        if shape.channels() == self.config.channels() {
            return Ok(());
        }
        Err(Error::Channels {
            found: shape.channels(),
            needed: self.config.channels(),
        })
    }

    /// What a pass must remember of the activation.
    fn gate(&self, shape: &Shape, has_residual: bool) -> Result<PassGate<B>> {
        Ok(match (self.config.activation_kind(), has_residual) {
            (Activation::None, _) => PassGate::Open,
            (Activation::Relu, false) => PassGate::Relu,
            (Activation::Relu, true) => PassGate::Mask(self.backend.mask(shape)?),
        })
    }

    fn epilogue<'a, T: Element>(
        &self,
        residual: Option<B::Slice<'a, T>>,
        gate: Option<&'a mut PassGate<B>>,
    ) -> Epilogue<'a, B, T> {
        match (self.config.activation_kind(), residual) {
            (Activation::None, None) => Epilogue::None,
            (Activation::None, Some(residual)) => Epilogue::Add(residual),
            (Activation::Relu, None) => Epilogue::Relu,
            (Activation::Relu, Some(residual)) => {
                Epilogue::AddRelu(residual, gate.and_then(PassGate::mask_mut))
            }
        }
    }
}

/// The residual's memory, which must be that of x.
fn lend_residual<'a, T: Element, B: Backend>(
    shape: &Shape,
    residual: Option<&'a dyn Data<B, Element = T>>,
) -> Result<Option<B::Slice<'a, T>>> {
    let Some(residual) = residual else {
        return Ok(None);
    };
    let view = residual.lend()?;
    shape.check_same("the residual", &view.shape)?;
    Ok(Some(view.values))
}

/// An output's memory, which must be that of x.
pub(crate) fn lend_output<'a, T: Element, B: Backend>(
    shape: &Shape,
    what: &'static str,
    output: &'a mut (impl DataMut<B, Element = T> + ?Sized),
) -> Result<B::SliceMut<'a, T>> {
    let view = output.lend_mut()?;
    shape.check_same(what, &view.shape)?;
    Ok(view.values)
}
