//! The statistics of many batches together.

use std::fmt;

use crate::allocate::{collected, filled, reserved};
use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::config::checks::check_training_epsilon;
use crate::cpu::simd::floating_point_mode::DefaultMode;
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::statistics::batch::{BatchStatistics, check_same_channels};

/// The exact statistics of many batches together, each weighted by its number of values: for precise batch norm, and
/// for batches whose gradients are gathered.
///
/// Merged by Chan's formula in `f64`, so that the result is that of one large batch.
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, PooledStatistics, RunningVariance, Shape, Tensor};
/// let cpu = Cpu::new();
/// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
/// let mut pooled = PooledStatistics::new(1);
/// for batch in [&[1.0f32, 2.0][..], &[3.0]] {
///     let x = Tensor::new(&cpu, Shape::channels_first(&[batch.len(), 1])?, batch)?;
///     pooled.add(&layer.batch_statistics(&x)?)?;
/// }
/// layer.running_mut().unwrap().adopt(&pooled, RunningVariance::Unbiased)?;
/// assert_eq!(layer.running().unwrap().mean().to_vec()?, [2.0]);
/// assert_eq!(layer.running().unwrap().variance().to_vec()?, [1.0]);
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Clone)]
pub struct PooledStatistics {
    channels: usize,
    /// Empty until a batch has been added.
    mean: Vec<f64>,
    /// As the mean.
    m2: Vec<f64>,
    count: usize,
}

impl PooledStatistics {
    /// Of no values of so many channels.
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            mean: Vec::new(),
            m2: Vec::new(),
            count: 0,
        }
    }

    /// Adds a batch, or several: all of them, or after an error none.
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for another number of channels; when the device fails; when there is no room.
    pub fn add<C: Compute, B: Backend>(
        &mut self,
        batches: &(impl AsRef<[BatchStatistics<C, B>]> + ?Sized),
    ) -> Result<()> {
        let _mode = DefaultMode::enter();
        check_same_channels(batches.as_ref(), self.channels)?;
        let mut downloaded = reserved(batches.as_ref().len())?;
        for batch in batches.as_ref().iter().filter(|batch| batch.count > 0) {
            downloaded.push(Downloaded::of(batch)?);
        }
        if self.mean.is_empty() {
            let (mean, m2) = (filled(self.channels, 0.0)?, filled(self.channels, 0.0)?);
            (self.mean, self.m2) = (mean, m2);
        }
        for batch in &downloaded {
            self.add_one(batch);
        }
        Ok(())
    }

    fn add_one<C: Compute>(&mut self, batch: &Downloaded<C>) {
        let (before, added) = (self.count as f64, batch.count as f64);
        let total = before + added;
        for c in 0..self.channels {
            let mean = batch.mean[c].to_f64() + batch.mean_low[c].to_f64();
            let delta = mean - self.mean[c];
            self.mean[c] += delta * (added / total);
            self.m2[c] +=
                batch.variance[c].to_f64() * added + delta * delta * (before * added / total);
        }
        self.count += batch.count;
    }

    /// The mean of each channel.
    ///
    /// # Errors
    /// [`Error::TooFewValues`] where nothing has been added: no values have no mean.
    pub fn mean(&self) -> Result<&[f64]> {
        self.check_not_empty()?;
        Ok(&self.mean)
    }

    /// The biased variance of each channel.
    ///
    /// # Errors
    /// [`Error::TooFewValues`] where nothing has been added: no values have no variance.
    pub fn variance(&self) -> Result<impl ExactSizeIterator<Item = f64>> {
        self.check_not_empty()?;
        Ok((self.m2.iter()).map(|m2| DefaultMode::number(|| m2 / self.count as f64)))
    }

    fn check_not_empty(&self) -> Result<()> {
        if self.count > 0 {
            return Ok(());
        }
        Err(Error::TooFewValues {
            found: 0,
            shape: "of pooled batches".to_owned(),
        })
    }

    /// The values per channel.
    pub fn count(&self) -> usize {
        self.count
    }

    /// As the statistics of one batch, which a layer can [`follow`](crate::BatchNorm::follow). Where nothing has been
    /// added they are those of an empty batch.
    ///
    /// # Errors
    /// [`Error::Epsilon`] unless ε is finite and above zero, as for any batch; when the device has no room.
    pub fn to_batch<C: Compute, B: Backend>(
        &self,
        backend: &B,
        epsilon: f64,
    ) -> Result<BatchStatistics<C, B>> {
        let _mode = DefaultMode::enter();
        check_training_epsilon(epsilon)?;
        if self.count == 0 {
            return BatchStatistics::room(backend, self.channels, 0);
        }
        let array = |value: &dyn Fn(usize) -> f64| {
            let values = collected((0..self.channels).map(|c| C::from_f64(value(c))))?;
            ChannelArray::new(backend, &values)
        };
        let variance = |c: usize| self.m2[c] / self.count as f64;
        Ok(BatchStatistics {
            mean: array(&|c| self.mean[c])?,
            mean_low: array(&|c| self.mean[c] - C::from_f64(self.mean[c]).to_f64())?,
            variance: array(&variance)?,
            inv_std: array(&|c| 1.0 / (variance(c) + epsilon).sqrt())?,
            count: self.count,
        })
    }
}

/// How many channels and values, and not their statistics.
impl fmt::Debug for PooledStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channels, count, ..
        } = self;
        write!(f, "PooledStatistics({channels} channels of {count} values)")
    }
}

/// What is added of a batch.
struct Downloaded<C> {
    mean: Vec<C>,
    mean_low: Vec<C>,
    variance: Vec<C>,
    count: usize,
}

impl<C: Compute> Downloaded<C> {
    fn of<B: Backend>(batch: &BatchStatistics<C, B>) -> Result<Self> {
        Ok(Self {
            mean: batch.mean.to_vec()?,
            mean_low: batch.mean_low.to_vec()?,
            variance: batch.variance.to_vec()?,
            count: batch.count,
        })
    }
}
