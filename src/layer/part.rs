//! A part of a batch, forward: one of several who have the batch together tells the statistics of its part, and normalizes it with
//! those of the whole, put together by whatever means they have.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::{InOut, StatisticsSource};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::BatchNorm;
use crate::layer::forward::{Forward, GivenRoom, check_input_channels};
use crate::layer::part_pass::PartPass;
use crate::layer::pass::Pass;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::pooled::PooledStatistics;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// The exact statistics of a part of a batch, to be [merged](PooledStatistics::merge) with those of the other parts. Those of
    /// an empty part are of no values.
    ///
    /// # Errors
    /// [`crate::Error::Channels`]; when the device fails or has no room.
    pub fn part_statistics<T, X>(&self, x: &X) -> Result<PooledStatistics>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = lent("x", x)?;
        check_input_channels(&self.config, &shape)?;
        let mut statistics = PooledStatistics::room(shape.channels(), shape.values_per_channel())?;
        if !shape.is_empty() {
            self.backend
                .statistics_in_f64::<T>(&shape, values, statistics.view_mut())?;
        }
        Ok(statistics)
    }

    /// Normalizes a part of a batch with the statistics of the whole, which several have put together: each calls this with its
    /// own part and the same statistics. The running statistics stay, until the caller has them [`follow`](Self::follow)
    /// [`PartPass::statistics`].
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, PooledGradients, PooledStatistics, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
    /// let part = |values: &[f32]| Tensor::new(&cpu, Shape::channels_first(&[values.len(), 1])?, values);
    /// let (a, b) = (part(&[0.0, 1.0])?, part(&[5.0])?);
    ///
    /// let mut whole = PooledStatistics::new(1);
    /// whole.merge(&[layer.part_statistics(&a)?, layer.part_statistics(&b)?])?;
    /// let (y, pass_a) = layer.forward_part(&a, whole.to_batch(&cpu, 1e-5)?)?;
    /// let (_, pass_b) = layer.forward_part(&b, whole.to_batch(&cpu, 1e-5)?)?;
    /// layer.follow(pass_a.statistics())?;
    /// assert!((y.to_vec()?[0] + 0.9258).abs() < 1e-4); // (0 − 2) / sqrt(14/3)
    ///
    /// let (dy_a, dy_b) = (part(&[1.0, 0.0])?, part(&[0.0])?);
    /// let mut sums = PooledGradients::new(1)?;
    /// sums.merge(&[pass_a.gradient_sums(&dy_a)?, pass_b.gradient_sums(&dy_b)?])?;
    /// let gradients = pass_a.backward(&dy_a, &sums)?;
    /// assert_eq!(gradients.beta.unwrap().to_vec()?, [1.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Channels`], [`crate::Error::TooFewValues`] for statistics of one value per channel, or of fewer than x has, and
    /// what the memory of `x` is refused for. ε is that of the statistics.
    pub fn forward_part<T, X>(
        &self,
        x: X,
        statistics: BatchStatistics<C, B>,
    ) -> Result<(Tensor<T, B>, PartPass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.output_for(&x)?;
        let pass = self.forward_part_into(x, None, &mut y, statistics)?;
        Ok((y, pass))
    }

    /// [`forward_part`](Self::forward_part) into memory of the caller's, and with a residual that is added before the activation.
    ///
    /// # Errors
    /// As [`forward_part`](Self::forward_part), and [`crate::Error::ShapeMismatch`].
    pub fn forward_part_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        statistics: BatchStatistics<C, B>,
    ) -> Result<PartPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let View { shape, .. } = lent("x", &x)?;
        let forward = self
            .forward_of(&shape, residual)?
            .against(self.reference()?);
        check_whole(&shape, &statistics)?;
        let room = forward.room_for_given(StatisticsSource::Batch)?;
        self.normalize_part(x, &forward, y, statistics, room)
    }

    /// The pass of a part for which there is room.
    pub(crate) fn normalize_part<T, X>(
        &self,
        x: X,
        forward: &Forward<'_, T, B>,
        y: &mut impl DataMut<B, Element = T>,
        statistics: BatchStatistics<C, B>,
        room: GivenRoom<T, B>,
    ) -> Result<PartPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let View { shape, values } = lent("x", &x)?;
        let y = output_slice(&shape, "y", y)?;
        let saved = forward.given(InOut::Separate(values, y), statistics, room)?;
        Ok(PartPass::of(Pass::new(
            &self.backend,
            &self.config,
            x,
            saved,
        )))
    }
}

/// That statistics can be those of a batch that this is a part of.
fn check_whole<C: Compute, B: Backend>(part: &Shape, whole: &BatchStatistics<C, B>) -> Result<()> {
    if whole.mean.len() != part.channels() {
        return Err(Error::Channels {
            found: whole.mean.len(),
            needed: part.channels(),
        });
    }
    if whole.count >= part.values_per_channel() && whole.count != 1 {
        return Ok(());
    }
    Err(Error::TooFewValues {
        found: whole.count,
        shape: format!("of statistics for a part {part}"),
    })
}
