//! The running statistics, and how they follow those of batches.

use crate::allocate::{collected, filled};
use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::operands::RunningMut;
use crate::config::BatchNormConfig;
use crate::config::averaging::{Averaging, RunningVariance};
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::narrowed::narrowed;
use crate::statistics::batch::{BatchStatistics, check_same_channels};
use crate::statistics::pooled::{PooledStatistics, check_each};

/// What inference normalizes with: averages over the batches of training. Cloned, it is an independent copy.
#[derive(Debug, Clone)]
pub struct RunningStatistics<C: Compute, B: Backend> {
    mean: ChannelArray<C, B>,
    variance: ChannelArray<C, B>,
    batches: u64,
    /// As the layer's configuration has it, which is never changed.
    averaging: Averaging,
}

impl<C: Compute, B: Backend> RunningStatistics<C, B> {
    pub(crate) fn new(backend: &B, config: &BatchNormConfig) -> Result<Self> {
        Ok(Self {
            mean: ChannelArray::filled(backend, config.channels(), 0.0)?,
            variance: ChannelArray::filled(backend, config.channels(), 1.0)?,
            batches: 0,
            averaging: config.averaging_kind(),
        })
    }

    /// Copies of these arrays, of no batches.
    #[cfg(feature = "candle")]
    pub(crate) fn copied(
        backend: &B,
        config: &BatchNormConfig,
        mean: B::Slice<'_, C>,
        variance: B::Slice<'_, C>,
    ) -> Result<Self> {
        Ok(Self {
            mean: ChannelArray::copied(backend, mean)?,
            variance: ChannelArray::copied(backend, variance)?,
            batches: 0,
            averaging: config.averaging_kind(),
        })
    }

    /// Mean and variance.
    #[cfg(feature = "candle")]
    pub(crate) fn into_buffers(self) -> (B::Buffer<C>, B::Buffer<C>) {
        (self.mean.into_buffer(), self.variance.into_buffer())
    }

    /// The running mean (C,).
    pub fn mean(&self) -> &ChannelArray<C, B> {
        &self.mean
    }

    /// The running variance (C,).
    pub fn variance(&self) -> &ChannelArray<C, B> {
        &self.variance
    }

    /// Whether every mean and every variance is finite. A batch with an infinity or a NaN can leave one that is not, which
    /// no later batch mends: see [`BatchNormConfig::keep_running_finite`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn is_finite(&self) -> Result<bool> {
        let are_finite = |values: Vec<C>| values.iter().all(|value| value.to_f64().is_finite());
        Ok(are_finite(self.mean.to_vec()?) && are_finite(self.variance.to_vec()?))
    }

    /// The number of batches followed: PyTorch's `num_batches_tracked`. Empty batches are counted, as PyTorch does,
    /// except by [`Averaging::Cumulative`], where the count is the weight of the average.
    pub fn num_batches_tracked(&self) -> u64 {
        self.batches
    }

    /// Replaces everything.
    ///
    /// # Errors
    /// [`Error::Length`] if either array has more or fewer values than channels, [`Error::Value`] for a variance that is
    /// below zero or NaN, and when the device has no room; then nothing has changed.
    pub fn set(&mut self, mean: &[C], variance: &[C], num_batches_tracked: u64) -> Result<()> {
        crate::shape::check_len("the running mean", mean.len(), self.mean.len())?;
        crate::shape::check_len("the running variance", variance.len(), self.variance.len())?;
        check_variances(variance)?;
        let mean = self.mean.of_same_backend(mean)?;
        let variance = self.variance.of_same_backend(variance)?;
        *self = Self {
            mean,
            variance,
            batches: num_batches_tracked,
            averaging: self.averaging,
        };
        Ok(())
    }

    /// Mean 0, variance 1, no batches.
    ///
    /// # Errors
    /// When the device fails.
    pub fn reset(&mut self) -> Result<()> {
        let channels = self.mean.len();
        let zeros = filled(channels, C::from_f64(0.0))?;
        let ones = filled(channels, C::from_f64(1.0))?;
        self.set(&zeros, &ones, 0)
    }

    /// Takes over the statistics of a whole data set, gathered batch by batch (precise batch norm). The number of
    /// batches tracked stays, and with it, under [`Averaging::Cumulative`], what the next batch weighs.
    ///
    /// # Errors
    /// [`Error::TooFewValues`] if fewer than two values per channel were pooled, [`Error::Length`] for another number
    /// of channels, [`Error::Value`] for a mean or a variance that is not finite or that the layer's type is too small
    /// for, and under [`Averaging::Cumulative`] where no batches are tracked, for the next one would replace what is adopted:
    /// [`adopt_as_batches`](Self::adopt_as_batches) is told their number. Then nothing has changed.
    pub fn adopt(&mut self, pooled: &PooledStatistics, estimate: RunningVariance) -> Result<()> {
        self.adopt_as_batches(pooled, estimate, self.batches)
    }

    /// [`adopt`](Self::adopt), as the statistics of so many batches: under [`Averaging::Cumulative`] each weighs as much as the
    /// next one will.
    ///
    /// ```
    /// use batchnorm::{
    ///     Averaging, BatchNorm, BatchNormConfig, Cpu, PooledStatistics, RunningVariance, Shape, Tensor,
    /// };
    /// let config = BatchNormConfig::new(1).averaging(Averaging::Cumulative);
    /// let mut layer = BatchNorm::new(&Cpu::new(), config)?;
    /// let of_three_batches = PooledStatistics::from_parts(96, &[8.0], &[1.0])?;
    /// let running = layer.running_mut().unwrap();
    /// running.adopt_as_batches(&of_three_batches, RunningVariance::Population, 3)?;
    /// let x = Tensor::new(&Cpu::new(), Shape::channels_first(&[2, 1])?, &[-1.0f32, 1.0])?;
    /// layer.forward_training(&x)?; // the fourth batch, of mean 0
    /// assert_eq!(layer.running().unwrap().mean().to_vec()?, [6.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`adopt`](Self::adopt).
    pub fn adopt_as_batches(
        &mut self,
        pooled: &PooledStatistics,
        estimate: RunningVariance,
        num_batches_tracked: u64,
    ) -> Result<()> {
        if pooled.count() < 2 {
            return Err(Error::TooFewValues {
                found: pooled.count(),
                shape: "of pooled batches".to_owned(),
            });
        }
        if self.averaging == Averaging::Cumulative && num_batches_tracked == 0 {
            return Err(Error::Value {
                what: "the number of batches that a cumulative average adopts",
                found: "0".to_owned(),
                needed: "at least 1, for the next batch replaces an average of none (adopt_as_batches takes the number)",
            });
        }
        let _mode = DefaultMode::enter();
        let correction = correction(estimate, pooled.count() as f64);
        let beyond = |what| {
            move |channel: usize, value: f64| Error::Value {
                what,
                found: format!("{value:?} in channel {channel}"),
                needed: "within the range of the layer's type",
            }
        };
        let mean = pooled.mean()?;
        let variance = collected(pooled.variance()?.map(|variance| variance * correction))?;
        check_each(mean, "a pooled mean", "finite", f64::is_finite)?;
        check_each(&variance, "a pooled variance", "finite", f64::is_finite)?;
        let mean = narrowed(mean.iter().copied(), beyond("a running mean"))?;
        let variance = narrowed(variance.into_iter(), beyond("a running variance"))?;
        self.set(&mean, &variance, num_batches_tracked)
    }

    /// Follows batches, one after the other.
    pub(crate) fn follow(
        &mut self,
        backend: &B,
        config: &BatchNormConfig,
        batches: &[BatchStatistics<C, B>],
    ) -> Result<()> {
        check_same_channels(batches, self.mean.len())?;
        check_variance_is_known(batches)?;
        if let [batch] = batches {
            return self.follow_one(backend, config, batch);
        }
        // A later batch can fail when earlier ones have been followed.
        let mut followed = self.try_clone()?;
        for batch in batches {
            followed.follow_one(backend, config, batch)?;
        }
        *self = followed;
        Ok(())
    }

    fn follow_one(
        &mut self,
        backend: &B,
        config: &BatchNormConfig,
        batch: &BatchStatistics<C, B>,
    ) -> Result<()> {
        if batch.count > 0 {
            let running = self.view_mut(config, batch.weight);
            backend.update_running::<C>(batch.view(), running)?;
        }
        self.count(config, batch.count);
        Ok(())
    }

    /// `(1 − weight)·running + weight·batch`, with the batch's variance as it is (÷M). These stay as they are.
    pub(crate) fn towards(
        &self,
        backend: &B,
        config: &BatchNormConfig,
        batch: &BatchStatistics<C, B>,
        weight: f64,
    ) -> Result<Self> {
        let mut between = self.try_clone()?;
        let running = RunningMut {
            mean: between.mean.slice_mut(),
            variance: between.variance.slice_mut(),
            factor: weight,
            correction: 1.0,
            only_finite: config.keeps_running_finite(),
        };
        backend.update_running::<C>(batch.view(), running)?;
        Ok(between)
    }

    /// The same statistics, with memory of their own.
    ///
    /// # Errors
    /// When the device has no room, where `clone` panics.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            mean: self.mean.try_clone()?,
            variance: self.variance.try_clone()?,
            batches: self.batches,
            averaging: self.averaging,
        })
    }

    /// To be written by a step that has them follow a batch of so many values per channel, or of values that weigh so much.
    pub(crate) fn view_mut(
        &mut self,
        config: &BatchNormConfig,
        weight: f64,
    ) -> RunningMut<B::SliceMut<'_, C>> {
        let factor = match config.averaging_kind() {
            Averaging::Exponential { momentum } => momentum,
            _ => DefaultMode::number(|| 1.0 / (self.batches as f64 + 1.0)),
        };
        let estimate = config.running_variance_kind();
        RunningMut {
            mean: self.mean.slice_mut(),
            variance: self.variance.slice_mut(),
            factor,
            correction: DefaultMode::number(|| correction(estimate, weight)),
            only_finite: config.keeps_running_finite(),
        }
    }

    /// Counts a batch of so many values per channel. An empty one counts too, as in PyTorch, except where the count is
    /// what the next batch is weighed by, which must be of those that were averaged.
    pub(crate) fn count(&mut self, config: &BatchNormConfig, values: usize) {
        if values > 0 || config.averaging_kind() != Averaging::Cumulative {
            self.batches = self.batches.saturating_add(1);
        }
    }

    /// As a pass normalizes with them.
    pub(crate) fn as_batch(&self, backend: &B, epsilon: f64) -> Result<BatchStatistics<C, B>> {
        self.try_clone()?.into_batch(backend, epsilon)
    }

    /// As a pass normalizes with them.
    pub(crate) fn into_batch(self, backend: &B, epsilon: f64) -> Result<BatchStatistics<C, B>> {
        let mut inv_std = ChannelArray::unspecified(backend, self.mean.len())?;
        backend.inverse_std::<C>(self.variance.slice(), epsilon, inv_std.slice_mut())?;
        Ok(BatchStatistics {
            mean_low: ChannelArray::zeros(backend, self.mean.len())?,
            mean: self.mean,
            variance: self.variance,
            inv_std,
            count: 0,
            weight: 0.0,
        })
    }
}

/// That running variances are none below zero or NaN: every place where a layer is given some asks here. Not asked are the
/// steps of `Backend`; candle's variables have a check of their own, in each pass.
pub(crate) fn check_variances<C: Compute>(variances: &[C]) -> Result<()> {
    let _mode = DefaultMode::enter();
    let wrong = |variance: &C| variance.to_f64().is_nan() || variance.to_f64() < 0.0;
    match variances.iter().position(wrong) {
        None => Ok(()),
        Some(channel) => Err(Error::Value {
            what: "a running variance",
            found: format!("{:?} in channel {channel}", variances[channel]),
            needed: "zero or more",
        }),
    }
}

/// One value is a mean, but has no variance to follow, and so are several that weigh no more. (No values are an empty batch.)
fn check_variance_is_known<C: Compute, B: Backend>(
    batches: &[BatchStatistics<C, B>],
) -> Result<()> {
    match (batches.iter()).find(|batch| batch.count > 0 && batch.weight <= 1.0) {
        None => Ok(()),
        Some(batch) => Err(Error::TooFewValues {
            found: usize::from(batch.weight == 1.0),
            shape: "of a batch that is to be followed".to_owned(),
        }),
    }
}

/// From the biased variance of values that weigh so much to the estimate that is followed.
fn correction(estimate: RunningVariance, weight: f64) -> f64 {
    match estimate {
        RunningVariance::Unbiased => weight / (weight - 1.0),
        RunningVariance::Population => 1.0,
    }
}
