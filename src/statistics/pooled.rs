//! The statistics of many batches together.

use crate::backend::Backend;
use crate::config::check_training_epsilon;
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::statistics::batch::{BatchStatistics, check_same_channels};
use crate::tensor::ChannelArray;

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
#[derive(Debug, Clone)]
pub struct PooledStatistics {
    mean: Vec<f64>,
    m2: Vec<f64>,
    count: usize,
}

impl PooledStatistics {
    /// Of no values of so many channels.
    pub fn new(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            m2: vec![0.0; channels],
            count: 0,
        }
    }

    /// Adds a batch, or several.
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for another number of channels; when the device fails.
    pub fn add<C: Compute, B: Backend>(
        &mut self,
        batches: &(impl AsRef<[BatchStatistics<C, B>]> + ?Sized),
    ) -> Result<()> {
        check_same_channels(batches.as_ref(), self.mean.len())?;
        batches
            .as_ref()
            .iter()
            .filter(|batch| batch.count > 0)
            .try_for_each(|batch| self.add_one(batch))
    }

    fn add_one<C: Compute, B: Backend>(&mut self, batch: &BatchStatistics<C, B>) -> Result<()> {
        let (mean, low, variance) = (
            batch.mean.to_vec()?,
            batch.mean_low.to_vec()?,
            batch.variance.to_vec()?,
        );
        let (before, added) = (self.count as f64, batch.count as f64);
        let total = before + added;
        for c in 0..self.mean.len() {
            let delta = mean[c].to_f64() + low[c].to_f64() - self.mean[c];
            self.mean[c] += delta * (added / total);
            self.m2[c] += variance[c].to_f64() * added + delta * delta * (before * added / total);
        }
        self.count += batch.count;
        Ok(())
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
    pub fn variance(&self) -> Result<impl Iterator<Item = f64>> {
        self.check_not_empty()?;
        Ok(self.m2.iter().map(|m2| m2 / self.count as f64))
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
        check_training_epsilon(epsilon)?;
        let array = |value: &dyn Fn(usize) -> f64| {
            let values: Vec<C> = (0..self.mean.len())
                .map(|c| C::from_f64(value(c)))
                .collect();
            ChannelArray::new(backend, &values)
        };
        let variance = |c: usize| self.m2[c] / self.count.max(1) as f64;
        Ok(BatchStatistics {
            mean: array(&|c| self.mean[c])?,
            mean_low: array(&|c| self.mean[c] - C::from_f64(self.mean[c]).to_f64())?,
            variance: array(&variance)?,
            inv_std: array(&|c| 1.0 / (variance(c) + epsilon).sqrt())?,
            count: self.count,
        })
    }
}
