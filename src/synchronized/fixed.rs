//! Passes with the running statistics, which all ranks have alike: nothing is exchanged, unless there are none.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::part::PartPass;
use crate::synchronized::SyncBatchNorm;
use crate::synchronized::pass::{Output, SyncPass};
use crate::synchronized::training::tell_statistics;
use crate::synchronized::transport::Transport;

impl<B: Backend, R: Transport + Clone, C: Compute> SyncBatchNorm<B, R, C> {
    /// Normalizes with the running statistics, with gradients. A collective only without running statistics: then it uses the batch's,
    /// of all ranks.
    ///
    /// # Errors
    /// As [`BatchNorm::forward_frozen`](crate::BatchNorm::forward_frozen); without running statistics as
    /// [`forward_training`](Self::forward_training).
    pub fn forward_frozen<T, X>(&self, x: X) -> Result<Output<T, X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.layer.output_for(&x);
        let pass = self.freeze(x, None, y.as_mut().map_err(|error| error.clone()))?;
        Ok((y?, pass))
    }

    /// [`forward_frozen`](Self::forward_frozen) into memory of the caller's, and with a residual that is added before the activation.
    ///
    /// # Errors
    /// As [`forward_frozen`](Self::forward_frozen), and [`crate::Error::ShapeMismatch`].
    pub fn forward_frozen_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
    ) -> Result<SyncPass<X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        self.freeze(x, residual, Ok(y))
    }

    fn freeze<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: Result<&mut impl DataMut<B, Element = T>>,
    ) -> Result<SyncPass<X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let pass = if self.layer.running().is_some() || self.is_alone() {
            let pass = self.layer.forward_frozen_into(x, residual, y?)?;
            if self.is_alone() || !self.sums_gradients {
                return Ok(SyncPass::alone(pass));
            }
            PartPass::of_frozen(pass)
        } else {
            self.forward_part(x, residual, y)?
        };
        Ok(SyncPass::of_part(pass, &self.ranks, self.sums_gradients))
    }

    /// Normalizes with the running statistics. Changes nothing. A collective only without running statistics: then it uses the batch's,
    /// of all ranks.
    ///
    /// # Errors
    /// As [`BatchNorm::forward_inference`](crate::BatchNorm::forward_inference); without running statistics as
    /// [`forward_training`](Self::forward_training).
    pub fn forward_inference<T, X>(&self, x: &X) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = self.layer.output_for(x);
        self.infer(x, None, y.as_mut().map_err(|error| error.clone()))?;
        y
    }

    /// [`forward_inference`](Self::forward_inference) into memory of the caller's, and with a residual that is added before the
    /// activation.
    ///
    /// # Errors
    /// As [`forward_inference`](Self::forward_inference), and [`crate::Error::ShapeMismatch`].
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
        self.infer(x, residual, Ok(y))
    }

    fn infer<T, X>(
        &self,
        x: &X,
        residual: Option<&dyn Data<B, Element = T>>,
        mut y: Result<&mut impl DataMut<B, Element = T>>,
    ) -> Result<()>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        if self.layer.running().is_some() || self.is_alone() {
            return self.layer.forward_inference_into(x, residual, y?);
        }
        let (forward, statistics) = self.statistics_of_all(|message| {
            let View { shape, .. } = lent("x", x)?;
            let forward = self.layer.forward_of(&shape, residual)?;
            output_slice(&shape, "y", *y.as_mut().map_err(|error| error.clone())?)?;
            tell_statistics(message, &self.layer.part_statistics(x)?);
            Ok(forward)
        })?;
        let View { shape, values } = lent("x", x)?;
        let y = output_slice(&shape, "y", y?)?;
        forward.inference(InOut::Separate(values, y), &statistics)
    }
}
