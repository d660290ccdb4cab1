//! The batch that a step goes over: its shape, and what of it is kept.

use crate::backend::kept::Kept;
use crate::error::Result;
use crate::shape::Shape;

/// The shape of a step's arrays, and what of them is [`Kept`], if not all. A `&Shape` is one, of which all is kept; of a `(&Shape,
/// &Kept)` that is.
///
/// ```
/// use batchnorm::backend::{Backend, StatisticsMut};
/// use batchnorm::{Cpu, Kept, Shape};
/// let (cpu, shape) = (Cpu::new(), Shape::channels_last(&[1, 3, 1])?);
/// let [mut mean, mut mean_low, mut variance, mut inv_std] = [[0.0f32]; 4];
/// let out = StatisticsMut {
///     mean: &mut mean[..],
///     mean_low: &mut mean_low[..],
///     variance: &mut variance[..],
///     inv_std: &mut inv_std[..],
///     running: None,
/// };
/// let kept = Kept::lengths(&shape, &[2])?;
/// cpu.statistics::<f32>((&shape, &kept), &[1.0, 3.0, f32::NAN], 1e-5, out)?;
/// assert_eq!((mean, variance), ([2.0], [1.0]));
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The shape of x.
    pub shape: &'a Shape,
    /// What of it is kept; all, where it is nothing else.
    pub kept: Option<&'a Kept>,
}

impl Batch<'_> {
    /// The values of each channel that are kept.
    pub fn count(&self) -> usize {
        match self.kept {
            Some(kept) => kept.count(),
            None => self.shape.values_per_channel(),
        }
    }

    /// What they weigh: W, or M.
    pub fn weight(&self) -> f64 {
        match self.kept {
            Some(kept) => kept.weight(),
            None => self.shape.values_per_channel() as f64,
        }
    }

    /// That batch statistics can be taken: of two values per channel, or of more weight than one, or of an empty batch.
    pub(crate) fn check_batch_statistics(&self) -> Result<()> {
        match self.kept {
            Some(kept) => kept.check_batch_statistics(self.shape),
            None => self.shape.check_batch_statistics(),
        }
    }
}

impl<'a> From<&'a Shape> for Batch<'a> {
    fn from(shape: &'a Shape) -> Self {
        Self { shape, kept: None }
    }
}

impl<'a> From<(&'a Shape, &'a Kept)> for Batch<'a> {
    fn from((shape, kept): (&'a Shape, &'a Kept)) -> Self {
        let kept = Some(kept);
        Self { shape, kept }
    }
}

impl<'a> From<(&'a Shape, Option<&'a Kept>)> for Batch<'a> {
    fn from((shape, kept): (&'a Shape, Option<&'a Kept>)) -> Self {
        Self { shape, kept }
    }
}
