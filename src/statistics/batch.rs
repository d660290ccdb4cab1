//! The statistics of one batch.

use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::operands::{RunningMut, Statistics, StatisticsMut};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};

/// Mean and variance of each channel of one batch. Cloned, it is an independent copy.
#[derive(Debug, Clone)]
pub struct BatchStatistics<C: Compute, B: Backend> {
    pub(crate) mean: ChannelArray<C, B>,
    pub(crate) mean_low: ChannelArray<C, B>,
    pub(crate) variance: ChannelArray<C, B>,
    pub(crate) inv_std: ChannelArray<C, B>,
    pub(crate) count: usize,
    /// What the values weigh: their number, where they are not weighted.
    pub(crate) weight: f64,
}

impl<C: Compute, B: Backend> BatchStatistics<C, B> {
    /// Zeros of an empty batch, which no step writes; of any other, room for a step to write.
    pub(crate) fn room(backend: &B, batch: Batch<'_>) -> Result<Self> {
        let of = (batch.count(), batch.weight());
        Self::room_for(backend, batch.shape.channels(), of)
    }

    /// The same, of so many values that weigh so much.
    pub(crate) fn room_for(
        backend: &B,
        channels: usize,
        (count, weight): (usize, f64),
    ) -> Result<Self> {
        if count == 0 {
            return Self::empty(backend, channels);
        }
        let array = || ChannelArray::unspecified(backend, channels);
        Ok(Self {
            mean: array()?,
            mean_low: array()?,
            variance: array()?,
            inv_std: array()?,
            count,
            weight,
        })
    }

    /// Those of no values.
    pub(crate) fn empty(backend: &B, channels: usize) -> Result<Self> {
        let array = || ChannelArray::zeros(backend, channels);
        Ok(Self {
            mean: array()?,
            mean_low: array()?,
            variance: array()?,
            inv_std: array()?,
            count: 0,
            weight: 0.0,
        })
    }

    pub(crate) fn of<T: Element<Compute = C>>(
        backend: &B,
        batch: Batch<'_>,
        x: B::Slice<'_, T>,
        epsilon: f64,
    ) -> Result<Self> {
        crate::config::checks::check_training_epsilon(epsilon)?;
        let mut statistics = Self::room(backend, batch)?;
        if batch.count() > 0 {
            backend.statistics::<T>(batch, x, epsilon, statistics.view_mut(None))?;
        }
        Ok(statistics)
    }

    /// As the operand of a step.
    pub(crate) fn view(&self) -> Statistics<B::Slice<'_, C>> {
        Statistics {
            mean: self.mean.slice(),
            mean_low: self.mean_low.slice(),
            variance: self.variance.slice(),
            inv_std: self.inv_std.slice(),
        }
    }

    /// To be written by a step, which these running statistics follow.
    pub(crate) fn view_mut<'a>(
        &'a mut self,
        running: Option<RunningMut<B::SliceMut<'a, C>>>,
    ) -> StatisticsMut<B::SliceMut<'a, C>> {
        StatisticsMut {
            mean: self.mean.slice_mut(),
            mean_low: self.mean_low.slice_mut(),
            variance: self.variance.slice_mut(),
            inv_std: self.inv_std.slice_mut(),
            running,
        }
    }

    /// Σx / M (C,).
    pub fn mean(&self) -> &ChannelArray<C, B> {
        &self.mean
    }

    /// What [`mean`](Self::mean) rounds away (C,).
    pub fn mean_low(&self) -> &ChannelArray<C, B> {
        &self.mean_low
    }

    /// Σ(x − mean)² / M (C,).
    pub fn variance(&self) -> &ChannelArray<C, B> {
        &self.variance
    }

    /// `1 / sqrt(variance + ε)` (C,).
    pub fn inv_std(&self) -> &ChannelArray<C, B> {
        &self.inv_std
    }

    /// The same statistics, with memory of their own.
    ///
    /// # Errors
    /// When the device has no room, where `clone` panics.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            mean: self.mean.try_clone()?,
            mean_low: self.mean_low.try_clone()?,
            variance: self.variance.try_clone()?,
            inv_std: self.inv_std.try_clone()?,
            count: self.count,
            weight: self.weight,
        })
    }

    /// M, the values per channel; where not all were [`Kept`](crate::Kept), the number of those that were.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What they weigh: M, where they are not weighted.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// One batch as a list of batches.
impl<C: Compute, B: Backend> AsRef<[Self]> for BatchStatistics<C, B> {
    fn as_ref(&self) -> &[Self] {
        std::slice::from_ref(self)
    }
}

/// Checks all of them before any is followed.
pub(crate) fn check_same_channels<C: Compute, B: Backend>(
    batches: &[BatchStatistics<C, B>],
    needed: usize,
) -> Result<()> {
    match batches.iter().find(|batch| batch.mean.len() != needed) {
        Some(other) => Err(Error::Channels {
            found: other.mean.len(),
            needed,
        }),
        None => Ok(()),
    }
}
