//! The statistics of many batches, or of parts of one, together.

use std::fmt;

use crate::allocate::{collected, filled, reserved};
use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::operands::MomentsMut;
use crate::config::checks::check_training_epsilon;
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::finalized_channel::{FinalizedChannel, wide_variance};
use crate::floating_point_mode::DefaultMode;
use crate::narrowed::narrowed;
use crate::shape::check_len;
use crate::statistics::batch::{BatchStatistics, check_same_channels};
use crate::statistics::merge::{Part, merge, total_count};

/// The exact statistics of many batches together, each weighted by its number of values: for precise batch norm,
/// for batches whose gradients are gathered, and for the parts of a batch that several devices or processes have.
///
/// In `f64`. With the parts' counts nᵣ and n = Σ nᵣ, `mean = Σ nᵣ·meanᵣ / n` and
/// `variance = (Σ nᵣ·varianceᵣ + Σ nᵣ·(meanᵣ − mean)²) / n`, where each sum is rounded once: the result is that of one large batch, and
/// what is merged together has the same bits in any order. Source: Chan, Golub & LeVeque 1979, of any number of parts.
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
    /// What the mean rounds away.
    mean_low: Vec<f64>,
    /// Σ(x − mean)².
    m2: Vec<f64>,
    count: usize,
}

impl PooledStatistics {
    /// Of no values of so many channels.
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            mean: Vec::new(),
            mean_low: Vec::new(),
            m2: Vec::new(),
            count: 0,
        }
    }

    /// Of `count` values per channel with these means and biased variances, both (C,), from wherever they are known.
    ///
    /// # Errors
    /// [`Error::NoChannels`], [`Error::Length`] for arrays of different lengths, [`Error::Value`] for a mean that is not finite, a
    /// variance that is negative or of which `count` are not finite, no values at all or 2⁵² and more; when there is no room.
    pub fn from_parts(count: usize, mean: &[f64], variance: &[f64]) -> Result<Self> {
        let _mode = DefaultMode::enter();
        if mean.is_empty() {
            return Err(Error::NoChannels);
        }
        check_len("the variance", variance.len(), mean.len())?;
        total_count([count].into_iter())?;
        if count == 0 {
            return Err(Error::Value {
                what: "the number of values per channel",
                found: "0".to_owned(),
                needed: "at least 1",
            });
        }
        check_each(mean, "a mean", "finite", f64::is_finite)?;
        let is_variance = |variance: f64| variance.is_finite() && variance >= 0.0;
        check_each(
            variance,
            "a variance",
            "finite and not negative",
            is_variance,
        )?;
        let m2 = collected(variance.iter().map(|variance| variance * count as f64))?;
        let what = "a variance times the number of values";
        check_each(&m2, what, "finite", f64::is_finite)?;
        Ok(Self {
            channels: mean.len(),
            mean: collected(mean.iter().copied())?,
            mean_low: filled(mean.len(), 0.0)?,
            m2,
            count,
        })
    }

    /// Of so many values, to be written.
    pub(crate) fn room(channels: usize, count: usize) -> Result<Self> {
        let array = || filled(channels, 0.0);
        Ok(Self {
            channels,
            mean: array()?,
            mean_low: array()?,
            m2: array()?,
            count,
        })
    }

    /// Of parts with as many channels.
    pub(crate) fn of_parts(channels: usize, parts: &[Part<'_>]) -> Result<Self> {
        let _mode = DefaultMode::enter();
        let count = total_count(parts.iter().map(|part| part.count))?;
        if count == 0 {
            return Ok(Self::new(channels));
        }
        let mut whole = Self::room(channels, count)?;
        merge(parts, count, whole.view_mut())?;
        Ok(whole)
    }

    /// To be written.
    pub(crate) fn view_mut(&mut self) -> MomentsMut<'_> {
        MomentsMut {
            mean: &mut self.mean,
            mean_low: &mut self.mean_low,
            m2: &mut self.m2,
        }
    }

    /// As what is merged.
    pub(crate) fn as_part(&self) -> Part<'_> {
        Part {
            count: self.count,
            mean: &self.mean,
            mean_low: &self.mean_low,
            m2: &self.m2,
        }
    }

    /// Adds a batch, or several: all of them, or after an error none.
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for another number of channels; [`crate::Error::Value`] for a batch with weights other than 0 and 1; when
    /// the device fails; when there is no room.
    pub fn add<C: Compute, B: Backend>(
        &mut self,
        batches: &(impl AsRef<[BatchStatistics<C, B>]> + ?Sized),
    ) -> Result<()> {
        let _mode = DefaultMode::enter();
        check_same_channels(batches.as_ref(), self.channels)?;
        let mut downloaded = reserved(batches.as_ref().len())?;
        for batch in batches.as_ref().iter().filter(|batch| batch.count > 0) {
            downloaded.push(Self::of_batch(batch)?);
        }
        self.merge(&downloaded)
    }

    fn of_batch<C: Compute, B: Backend>(batch: &BatchStatistics<C, B>) -> Result<Self> {
        if batch.weight != batch.count as f64 {
            return Err(Error::Value {
                what: "the weight of a batch that is pooled",
                found: format!("{} of {} values", batch.weight, batch.count),
                needed: "as many as there are values",
            });
        }
        let wide = |array: &ChannelArray<C, B>| {
            let values = array.to_vec()?;
            collected(values.iter().map(|value| value.to_f64()))
        };
        let (variance, inv_std) = (batch.variance.to_vec()?, batch.inv_std.to_vec()?);
        let variances = variance.iter().zip(&inv_std);
        let m2 = variances
            .map(|(variance, inv_std)| wide_variance(*variance, *inv_std) * batch.count as f64);
        Ok(Self {
            channels: variance.len(),
            mean: wide(&batch.mean)?,
            mean_low: wide(&batch.mean_low)?,
            m2: collected(m2)?,
            count: batch.count,
        })
    }

    /// Adds what others have: all of them, or after an error none. In whatever order they come, the bits are the same.
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for another number of channels; [`crate::Error::Value`] for 2⁵² values per channel and more; when
    /// there is no room.
    pub fn merge(&mut self, others: &[Self]) -> Result<()> {
        if let Some(other) = others.iter().find(|other| other.channels != self.channels) {
            return Err(Error::Channels {
                found: other.channels,
                needed: self.channels,
            });
        }
        let mut parts = reserved(others.len() + 1)?;
        parts.push(self.as_part());
        parts.extend(others.iter().map(Self::as_part));
        *self = Self::of_parts(self.channels, &parts)?;
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
    /// [`Error::Epsilon`] unless ε is finite and above zero, as for any batch; [`Error::Value`] for a mean beyond the range of `C`; when
    /// the device has no room.
    pub fn to_batch<C: Compute, B: Backend>(
        &self,
        backend: &B,
        epsilon: f64,
    ) -> Result<BatchStatistics<C, B>> {
        let _mode = DefaultMode::enter();
        check_training_epsilon(epsilon)?;
        if self.count == 0 {
            return BatchStatistics::empty(backend, self.channels);
        }
        // A variance beyond the type is known by inv_std, a mean by nothing.
        narrowed::<C>(self.mean.iter().copied(), |channel, mean| Error::Value {
            what: "a pooled mean",
            found: format!("{mean:e} in channel {channel}"),
            needed: "within the range of the layer's type",
        })?;
        let channel = |c: usize| {
            let variance = self.m2[c] / self.count as f64;
            FinalizedChannel::of([self.mean[c], self.mean_low[c]], variance, epsilon)
        };
        let channels = collected((0..self.channels).map(channel))?;
        let array = |value: &dyn Fn(&FinalizedChannel<C>) -> C| {
            ChannelArray::new(backend, &collected(channels.iter().map(value))?)
        };
        Ok(BatchStatistics {
            mean: array(&|channel| channel.mean)?,
            mean_low: array(&|channel| channel.mean_low)?,
            variance: array(&|channel| channel.variance)?,
            inv_std: array(&|channel| channel.inv_std)?,
            count: self.count,
            weight: self.count as f64,
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

/// Whether each value is one: the error names the first channel where it is not.
pub(super) fn check_each(
    values: &[f64],
    what: &'static str,
    needed: &'static str,
    is_one: impl Fn(f64) -> bool,
) -> Result<()> {
    match values.iter().position(|&value| !is_one(value)) {
        None => Ok(()),
        Some(channel) => Err(Error::Value {
            what,
            found: format!("{:?} in channel {channel}", values[channel]),
            needed,
        }),
    }
}
