//! The inference pass: running statistics, no gradients, nothing changed.

use crate::arrays::lent::{lent_batch, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::operands::InOut;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::BatchNorm;
use crate::layer::forward::check_input_channels;
use crate::statistics::batch::BatchStatistics;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Normalizes with the running statistics. Changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::Channels`], and what the memory of `x` is refused for.
    pub fn forward_inference<T, X>(&self, x: &X) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = self.output_for(x)?;
        self.forward_inference_into(x, None, &mut y)?;
        Ok(y)
    }

    /// [`forward_inference`](Self::forward_inference) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_inference`](Self::forward_inference), and [`crate::Error::ShapeMismatch`].
    pub fn forward_inference_add<T, X>(
        &self,
        x: &X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = self.output_for(x)?;
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
        let (View { shape, values }, kept) = lent_batch(x)?;
        check_input_channels(&self.config, &shape)?;
        let y = output_slice(&shape, "y", y)?;
        let batch = Batch::from((&shape, kept));
        let statistics = self.inference_statistics::<T>(batch, values)?;
        let forward = self.without_running().forward(batch, residual)?;
        forward.inference(InOut::Separate(values, y), &statistics)
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
        let (View { shape, values }, kept) = lent_batch(x)?;
        // The input itself will be borrowed, to be written over.
        let kept = kept.cloned();
        let batch = Batch::from((&shape, kept.as_ref()));
        let forward = self.without_running().forward(batch, residual)?;
        let statistics = self.inference_statistics::<T>(batch, values)?;
        let both = x.lend_mut()?.values;
        forward.inference(InOut::InPlace(both), &statistics)
    }

    /// The running statistics, or where there are none the batch's.
    pub(super) fn inference_statistics<T: Element<Compute = C>>(
        &self,
        batch: Batch<'_>,
        x: B::Slice<'_, T>,
    ) -> Result<BatchStatistics<C, B>> {
        let epsilon = self.config.epsilon_value();
        if let Some(running) = &self.running {
            return running.as_batch(&self.backend, epsilon);
        }
        batch.check_batch_statistics()?;
        BatchStatistics::of::<T>(&self.backend, batch, x, epsilon)
    }
}
