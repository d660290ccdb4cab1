//! Passes with the statistics of the batch: those of all ranks' parts together.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::StatisticsSource;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::forward::Forward;
use crate::layer::part_pass::PartPass;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::synchronized::SyncBatchNorm;
use crate::synchronized::exchange::exchange;
use crate::synchronized::message::{Call, Messages, OfLayer};
use crate::synchronized::parts::{merged_statistics, tell_statistics};
use crate::synchronized::pass::{Output, SyncPass};
use crate::synchronized::transport::Transport;

impl<B: Backend, R: Transport + Clone, C: Compute> SyncBatchNorm<B, R, C> {
    /// Normalizes this rank's part with the statistics of the whole batch, which the running ones follow at once. A collective: all
    /// ranks call it.
    ///
    /// # Errors
    /// On all ranks [`crate::Error::RankFailed`] where one of them is refused what [`BatchNorm::forward_training`](crate::BatchNorm::forward_training)
    /// refuses, and [`crate::Error::TooFewValues`] where there is one value per channel in all. A part may be empty; where all are, it is an
    /// empty batch.
    pub fn forward_training<T, X>(&mut self, x: X) -> Result<Output<T, X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        with_output(self.layer.output_for(&x), |y| self.train(x, None, y))
    }

    /// [`forward_training`](Self::forward_training) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_training_add<T, X>(
        &mut self,
        x: X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<Output<T, X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let y = self.layer.output_for(&x);
        with_output(y, |y| self.train(x, Some(residual), y))
    }

    /// [`forward_training`](Self::forward_training) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_training_into<T, X>(
        &mut self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<SyncPass<X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        self.train(x, residual, Ok(y))
    }

    /// Normalizes with the statistics of the whole batch and leaves the running ones alone, until the caller has them
    /// [`follow`](Self::follow) [`SyncPass::statistics`], on every rank. A collective.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_training_deferred<T, X>(&self, x: X) -> Result<Output<T, X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        with_output(self.layer.output_for(&x), |y| self.defer(x, None, y))
    }

    /// [`forward_training_deferred`](Self::forward_training_deferred) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_training_deferred_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<SyncPass<X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        self.defer(x, residual, Ok(y))
    }

    fn train<T, X>(
        &mut self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: Result<&mut impl DataMut<B, Element = T>>,
    ) -> Result<SyncPass<X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        if self.is_alone() {
            let pass = self.layer.forward_training_into(x, residual, y?)?;
            return Ok(SyncPass::alone(pass));
        }
        let pass = self.forward_part(x, residual, y)?;
        self.layer.follow(pass.statistics())?;
        Ok(SyncPass::of_part(pass, &self.ranks, self.sums_gradients))
    }

    pub(super) fn defer<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: Result<&mut impl DataMut<B, Element = T>>,
    ) -> Result<SyncPass<X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        if self.is_alone() {
            let pass = self.layer.forward_training_deferred_into(x, residual, y?)?;
            return Ok(SyncPass::alone(pass));
        }
        let pass = self.forward_part(x, residual, y)?;
        Ok(SyncPass::of_part(pass, &self.ranks, self.sums_gradients))
    }

    /// The pass of this rank's part. Whatever can be refused is refused, and whatever takes memory has it, before the ranks exchange
    /// their statistics.
    pub(super) fn forward_part<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        mut y: Result<&mut impl DataMut<B, Element = T>>,
    ) -> Result<PartPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let ((forward, room), statistics) = self.statistics_of_all(|layer| {
            let forward = self.tell_part(layer, &x, residual)?;
            let forward = forward.against(self.layer.reference()?);
            check_output(&forward.shape, &mut y)?;
            let room = forward.room_for_given(StatisticsSource::Batch)?;
            Ok((forward, room))
        })?;
        self.layer.normalize_part(x, &forward, y?, statistics, room)
    }

    /// The statistics of all ranks' parts together, of which `work` tells this rank's.
    pub(super) fn statistics_of_all<W>(
        &self,
        work: impl FnOnce(OfLayer<'_>) -> Result<W>,
    ) -> Result<(W, BatchStatistics<C, B>)> {
        let channels = [self.agreed.channels()];
        let (done, messages) = exchange(&self.ranks, Call::Forward, &channels, |message| {
            work(message.layer(0))
        })?;
        Ok((done, self.whole_statistics(&messages, 0)?))
    }

    /// Tells the others this rank's part of the statistics, and gives the forward pass that they are for.
    pub(super) fn tell_part<'r, T, X>(
        &'r self,
        layer: OfLayer<'_>,
        x: &X,
        residual: Option<&'r dyn Data<B, Element = T>>,
    ) -> Result<Forward<'r, T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        self.check_agreed()?;
        self.agreed.check_epsilon_for_batch_statistics()?;
        let View { shape, .. } = lent("x", x)?;
        let forward = self.layer.forward_of(&shape, residual)?;
        tell_statistics(layer, &self.layer.part_statistics(x)?);
        Ok(forward)
    }

    /// What the ranks have told of a layer, this one, as the statistics of the whole batch.
    pub(super) fn whole_statistics(
        &self,
        messages: &Messages<'_>,
        index: usize,
    ) -> Result<BatchStatistics<C, B>> {
        let whole = merged_statistics(messages, index, self.agreed.channels())?;
        whole.to_batch(self.layer.backend(), self.agreed.epsilon_value())
    }
}

/// Refuses an output that there is no room for or that is of another shape.
pub(super) fn check_output<T: Element, B: Backend>(
    shape: &Shape,
    y: &mut Result<&mut impl DataMut<B, Element = T>>,
) -> Result<()> {
    let y = y.as_mut().map_err(|error| error.clone())?;
    output_slice(shape, "y", *y).map(drop)
}

/// A pass into an output of its own. Where there is no room for one the pass is told so: its rank takes part nevertheless.
pub(super) fn with_output<Y, P>(
    mut y: Result<Y>,
    pass: impl FnOnce(Result<&mut Y>) -> Result<P>,
) -> Result<(Y, P)> {
    let pass = pass(y.as_mut().map_err(|error| error.clone()))?;
    Ok((y?, pass))
}
