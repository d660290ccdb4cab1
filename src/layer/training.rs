//! The training pass: the batch's own statistics, which the running ones follow.

use crate::arrays::lent::{lent_batch, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::operands::InOut;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::forward::check_input_channels;
use crate::layer::pass::Pass;
use crate::layer::renormalization::Reference;
use crate::layer::{BatchNorm, WithoutRunning};
use crate::statistics::batch::BatchStatistics;
use crate::statistics::running::RunningStatistics;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Normalizes with the batch's statistics; the running ones follow at once.
    ///
    /// `x` may be lent (`&x`), given (`x`) or shared (`Arc`): the pass keeps it for its backward.
    ///
    /// # Errors
    /// [`crate::Error::Channels`], [`crate::Error::TooFewValues`] for one value per channel, [`crate::Error::Epsilon`] for ε = 0, and what
    /// the memory of `x` is refused for. An empty batch is none: it gives an empty y, counts as a batch (except
    /// under [`crate::Averaging::Cumulative`]), and leaves the running statistics alone.
    pub fn forward_training<T, X>(&mut self, x: X) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.output_for(&x)?;
        let pass = self.forward_training_into(x, None, &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_training`](Self::forward_training) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training), and [`crate::Error::ShapeMismatch`].
    pub fn forward_training_add<T, X>(
        &mut self,
        x: X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.output_for(&x)?;
        let pass = self.forward_training_into(x, Some(residual), &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_training`](Self::forward_training) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training), and [`crate::Error::ShapeMismatch`].
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
        let (ghost_batch, reference) = (self.config.ghost_batch_size(), self.reference()?);
        let (without_running, running) = self.apart_from_running();
        without_running.forward_batch(x, residual, y, ghost_batch, reference, running)
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
        let mut y = self.output_for(&x)?;
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
        let (ghost_batch, reference) = (self.config.ghost_batch_size(), self.reference()?);
        self.without_running()
            .forward_batch(x, residual, y, ghost_batch, reference, None)
    }

    /// Has the running statistics follow those of a batch, and counts it; of several, one after the other. (A pass with
    /// [ghost batches](crate::BatchNormConfig::ghost_batch) has those of each group.)
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for statistics of another layer's, [`crate::Error::TooFewValues`] for those of one value
    /// per channel, which has no variance; then none has been followed.
    pub fn follow(
        &mut self,
        batches: &(impl AsRef<[BatchStatistics<C, B>]> + ?Sized),
    ) -> Result<()> {
        match &mut self.running {
            Some(running) => running.follow(&self.backend, &self.config, batches.as_ref()),
            None => Ok(()),
        }
    }

    /// The statistics of a batch, and nothing else: to be pooled over a data set ([`crate::PooledStatistics`]).
    ///
    /// # Errors
    /// [`crate::Error::Channels`], [`crate::Error::Epsilon`] for ε = 0.
    pub fn batch_statistics<T, X>(&self, x: &X) -> Result<BatchStatistics<C, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let (View { shape, values }, kept) = lent_batch(x)?;
        check_input_channels(&self.config, &shape)?;
        let epsilon = self.config.epsilon_value();
        BatchStatistics::of::<T>(&self.backend, (&shape, kept).into(), values, epsilon)
    }
}

impl<B: Backend, C: Compute> WithoutRunning<'_, B, C> {
    /// Normalizes with the statistics of the batch, or of groups of it, renormalized if there is a reference, which the running ones
    /// follow if they are given.
    pub(super) fn forward_batch<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        ghost_batch: Option<usize>,
        reference: Option<Reference<C, B>>,
        running: Option<&mut RunningStatistics<C, B>>,
    ) -> Result<Pass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let (View { shape, values }, kept) = lent_batch(&x)?;
        let batch = Batch::from((&shape, kept));
        let forward = self.forward(batch, residual)?.against(reference);
        let y = output_slice(&shape, "y", y)?;
        let saved = forward.training(InOut::Separate(values, y), ghost_batch, running)?;
        Ok(Pass::new(self.backend, self.config, x, saved))
    }
}
