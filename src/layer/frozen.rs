//! The frozen pass: running statistics, as constants, with gradients.

use crate::arrays::lent::{lent_batch, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::operands::InOut;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::BatchNorm;
use crate::layer::pass::Pass;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Normalizes with the running statistics, with gradients: for layers that are fine-tuned with frozen statistics.
    ///
    /// # Errors
    /// [`crate::Error::Channels`], and what the memory of `x` is refused for.
    pub fn forward_frozen<T, X>(&self, x: X) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.output_for(&x)?;
        let pass = self.forward_frozen_into(x, None, &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_frozen`](Self::forward_frozen) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_frozen`](Self::forward_frozen), and [`crate::Error::ShapeMismatch`].
    pub fn forward_frozen_add<T, X>(
        &self,
        x: X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<(Tensor<T, B>, Pass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.output_for(&x)?;
        let pass = self.forward_frozen_into(x, Some(residual), &mut y)?;
        Ok((y, pass))
    }

    /// [`forward_frozen`](Self::forward_frozen) into memory of the caller's.
    ///
    /// # Errors
    /// As [`forward_frozen_add`](Self::forward_frozen_add).
    pub fn forward_frozen_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<Pass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let Some(running) = &self.running else {
            return self
                .without_running()
                .forward_batch(x, residual, y, None, None, None);
        };
        let (View { shape, values }, kept) = lent_batch(&x)?;
        let statistics = running.as_batch(&self.backend, self.config.epsilon_value())?;
        let batch = Batch::from((&shape, kept));
        let forward = self.without_running().forward(batch, residual)?;
        let y = output_slice(&shape, "y", y)?;
        let saved = forward.frozen(InOut::Separate(values, y), statistics)?;
        Ok(Pass::new(&self.backend, &self.config, x, saved))
    }
}
