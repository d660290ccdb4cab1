//! Passes that keep y instead of x, and may write it over x.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::BatchNorm;
use crate::layer::output_pass::OutputPass;
use crate::layer::saved::Saved;
use crate::shape::Shape;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// [`forward_training`](Self::forward_training) over its input: y stands where x was, and is all that the pass keeps of that size. For no
    /// activation, leaky ReLU and ELU, whose v can be found again from y: [`OutputPass`] says how, and what it costs.
    ///
    /// x is given (`x`, and y is [`OutputPass::output`]) or lent (`&mut x`). A residual is added before the activation, and given to the
    /// backward pass once more. x is read twice, where [`forward_training`](Self::forward_training) reads it once if a channel stays in
    /// cache. On the processor only: a GPU has no kernel for this yet.
    ///
    /// ```
    /// use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let config = BatchNormConfig::new(1).activation(Activation::LeakyRelu { slope: 0.01 });
    /// let mut layer = BatchNorm::new(&cpu, config)?;
    /// let shape = Shape::channels_first(&[4, 1])?;
    /// let x = Tensor::new(&cpu, shape, &[1.0f32, 2.0, 3.0, 6.0])?;
    /// let dy = Tensor::new(&cpu, shape, &[1.0f32, 0.0, -1.0, 2.0])?;
    ///
    /// let (_, pass) = layer.forward_training(&x)?;
    /// let from_x = pass.backward(&dy)?.input;
    /// let pass = layer.forward_training_in_place(x, None)?; // x is y from here on
    /// assert!((pass.output().slice()[0] + 0.0107).abs() < 1e-4);
    /// let from_y = pass.backward(&dy)?.input;
    /// for (a, b) in from_x.slice().iter().zip(from_y.slice()) {
    ///     assert!((a - b).abs() < 1e-6);
    /// }
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward_training_into`](Self::forward_training_into), and [`crate::Error::Value`] for an activation
    /// [without an inverse](crate::Activation::has_inverse); for a γ that is zero or subnormal, or whose inverse is, and where γ·inv_std
    /// could be beyond the parameters' type (inv_std is up to 1/sqrt(ε)), both with the channel; and on a GPU. Then x is as it was.
    pub fn forward_training_in_place<T, X>(
        &mut self,
        mut x: X,
        residual: Option<&dyn Data<B, Element = T>>,
    ) -> Result<OutputPass<X, B>>
    where
        T: Element<Compute = C>,
        X: DataMut<B, Element = T>,
    {
        let View { shape, .. } = lent("x", &x)?;
        let both = InOut::InPlace(output_slice(&shape, "x", &mut x)?);
        let saved = self.keep_output_of_batch(&shape, both, residual)?;
        Ok(OutputPass::new(&self.backend, &self.config, x, saved))
    }

    /// [`forward_training_in_place`](Self::forward_training_in_place) with y in other memory than x, which is left alone and not kept.
    ///
    /// # Errors
    /// As [`forward_training_in_place`](Self::forward_training_in_place).
    pub fn forward_training_keeping_output<T, Y>(
        &mut self,
        x: &(impl Data<B, Element = T> + ?Sized),
        residual: Option<&dyn Data<B, Element = T>>,
        mut y: Y,
    ) -> Result<OutputPass<Y, B>>
    where
        T: Element<Compute = C>,
        Y: DataMut<B, Element = T>,
    {
        let View { shape, values } = lent("x", x)?;
        let x_to_y = InOut::Separate(values, output_slice(&shape, "y", &mut y)?);
        let saved = self.keep_output_of_batch(&shape, x_to_y, residual)?;
        Ok(OutputPass::new(&self.backend, &self.config, y, saved))
    }

    /// [`forward_frozen`](Self::forward_frozen) over its input, as [`forward_training_in_place`](Self::forward_training_in_place) is.
    ///
    /// # Errors
    /// As [`forward_frozen_add`](Self::forward_frozen_add) and [`forward_training_in_place`](Self::forward_training_in_place), with the inv_std
    /// that is known.
    pub fn forward_frozen_in_place<T, X>(
        &self,
        mut x: X,
        residual: Option<&dyn Data<B, Element = T>>,
    ) -> Result<OutputPass<X, B>>
    where
        T: Element<Compute = C>,
        X: DataMut<B, Element = T>,
    {
        let View { shape, .. } = lent("x", &x)?;
        let both = InOut::InPlace(output_slice(&shape, "x", &mut x)?);
        let saved = self.keep_output_frozen(&shape, both, residual)?;
        Ok(OutputPass::new(&self.backend, &self.config, x, saved))
    }

    /// [`forward_frozen_in_place`](Self::forward_frozen_in_place) with y in other memory than x, which is left alone and not kept.
    ///
    /// # Errors
    /// As [`forward_frozen_in_place`](Self::forward_frozen_in_place).
    pub fn forward_frozen_keeping_output<T, Y>(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        residual: Option<&dyn Data<B, Element = T>>,
        mut y: Y,
    ) -> Result<OutputPass<Y, B>>
    where
        T: Element<Compute = C>,
        Y: DataMut<B, Element = T>,
    {
        let View { shape, values } = lent("x", x)?;
        let x_to_y = InOut::Separate(values, output_slice(&shape, "y", &mut y)?);
        let saved = self.keep_output_frozen(&shape, x_to_y, residual)?;
        Ok(OutputPass::new(&self.backend, &self.config, y, saved))
    }

    fn keep_output_of_batch<T: Element<Compute = C>>(
        &mut self,
        shape: &Shape,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        residual: Option<&dyn Data<B, Element = T>>,
    ) -> Result<Saved<T, B>> {
        let (ghost_batch, reference) = (self.config.ghost_batch_size(), self.reference()?);
        let (without_running, running) = self.apart_from_running();
        let forward = without_running
            .forward(shape.into(), residual)?
            .against(reference);
        let forward = forward.keeping_output(None)?;
        forward.training(x_to_y, ghost_batch, running)
    }

    fn keep_output_frozen<T: Element<Compute = C>>(
        &self,
        shape: &Shape,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        residual: Option<&dyn Data<B, Element = T>>,
    ) -> Result<Saved<T, B>> {
        let forward = self.forward_of(shape, residual)?;
        let Some(running) = &self.running else {
            return forward.keeping_output(None)?.training(x_to_y, None, None);
        };
        let statistics = running.as_batch(&self.backend, self.config.epsilon_value())?;
        let forward = forward.keeping_output(Some(&statistics))?;
        forward.frozen(x_to_y, statistics)
    }
}
