//! Passes with the running statistics, which all ranks have alike: nothing is exchanged, unless there are none.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::config::averaging::Averaging;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::part_pass::PartPass;
use crate::synchronized::SyncBatchNorm;
use crate::synchronized::pass::{Output, SyncPass};
use crate::synchronized::training::{check_output, with_output};
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
        with_output(self.layer.output_for(&x), |y| self.freeze(x, None, y))
    }

    /// [`forward_frozen`](Self::forward_frozen) of x, with the residual added before the activation.
    ///
    /// # Errors
    /// As [`forward_frozen`](Self::forward_frozen), and [`crate::Error::ShapeMismatch`].
    pub fn forward_frozen_add<T, X>(
        &self,
        x: X,
        residual: &impl Data<B, Element = T>,
    ) -> Result<Output<T, X, B, R>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let y = self.layer.output_for(&x);
        with_output(y, |y| self.freeze(x, Some(residual), y))
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
        let pass = if self.needs_nobody()? {
            let pass = self.layer.forward_frozen_into(x, residual, y?)?;
            if self.is_alone() || !self.sums_gradients {
                return Ok(SyncPass::alone(pass));
            }
            PartPass::of(pass)
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
        let (y, ()) = with_output(self.layer.output_for(x), |y| self.infer(x, None, y))?;
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
        let y = self.layer.output_for(x);
        let (y, ()) = with_output(y, |y| self.infer(x, Some(residual), y))?;
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
        self.infer(x, residual, Ok(y))
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
        if self.needs_nobody()? {
            return self.layer.forward_inference_in_place(x, residual);
        }
        let (forward, statistics) = self.statistics_of_all(|layer| {
            let forward = self.tell_part(layer, x, residual)?;
            output_slice(&forward.shape, "x", x)?;
            Ok(forward)
        })?;
        let both = output_slice(&forward.shape, "x", x)?;
        forward.inference(InOut::InPlace(both), &statistics)
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
        if self.needs_nobody()? {
            return self.layer.forward_inference_into(x, residual, y?);
        }
        let (forward, statistics) = self.statistics_of_all(|layer| {
            let forward = self.tell_part(layer, x, residual)?;
            check_output(&forward.shape, &mut y)?;
            Ok(forward)
        })?;
        let View { shape, values } = lent("x", x)?;
        let y = output_slice(&shape, "y", y?)?;
        forward.inference(InOut::Separate(values, y), &statistics)
    }

    /// Whether this rank knows by itself the statistics of a pass that follows no batch. (Where it does not, the others are told if its
    /// layer is another.)
    fn needs_nobody(&self) -> Result<bool> {
        if self.is_alone() {
            return Ok(true);
        }
        if self.agreed.averaging_kind() == Averaging::Off {
            return Ok(false);
        }
        self.check_agreed()?;
        Ok(true)
    }
}
