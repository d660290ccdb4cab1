//! A pass that does not keep its input: the caller computes that once more, for the backward pass.

use std::fmt;

use crate::arrays::lent::{lent, lent_batch, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::config::BatchNormConfig;
use crate::element::Element;
use crate::error::Result;
use crate::layer::backward::ChannelGradients;
use crate::layer::gradients::{
    GradientRoom, Gradients, ParameterGradients, asked_for, dresidual_slice,
};
use crate::layer::saved::Saved;
use crate::statistics::batch::BatchStatistics;

/// A [`Pass`](crate::Pass) without x, made by [`Pass::without_input`](crate::Pass::without_input): x may be freed, and is given anew
/// when the gradients are computed (checkpointing). It keeps the statistics, γ and β as they were, a few numbers of each channel; of
/// an activation after a residual what [`Activation::saves`](crate::Activation::saves) says; and no other array of x's size.
///
/// x must be computed again to the bit, as everything in this crate is from the same inputs. A layer on the way to it is passed a
/// second time by [`forward_training_deferred`](crate::BatchNorm::forward_training_deferred), whose running statistics are not followed
/// again, so that no batch counts twice.
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
/// let cpu = Cpu::new();
/// let shape = Shape::channels_first(&[4, 1])?;
/// let x = Tensor::new(&cpu, shape, &[1.0f32, 2.0, 3.0, 6.0])?;
/// let mut layers = [(); 2].map(|()| BatchNorm::new(&cpu, BatchNormConfig::new(1)).unwrap());
///
/// let (between, _) = layers[0].forward_training(&x)?;
/// let (y, pass) = layers[1].forward_training(between)?;
/// let pass = pass.without_input(); // what is between the layers is freed
///
/// let (between, first) = layers[0].forward_training_deferred(&x)?; // and here it is again
/// let gradients = pass.backward(&between, &y)?;
/// first.backward(&gradients.input)?;
/// assert_eq!(layers[0].running().unwrap().num_batches_tracked(), 1);
/// # Ok::<(), batchnorm::Error>(())
/// ```
pub struct CheckpointedPass<T: Element, B: Backend> {
    pub(super) backend: B,
    pub(super) saved: Saved<T, B>,
    pub(super) has_gamma: bool,
    pub(super) has_beta: bool,
}

impl<T: Element, B: Backend> CheckpointedPass<T, B> {
    pub(super) fn new(backend: &B, config: &BatchNormConfig, saved: Saved<T, B>) -> Self {
        Self {
            backend: backend.clone(),
            saved,
            has_gamma: config.has_gamma(),
            has_beta: config.has_beta(),
        }
    }

    /// As [`Pass::statistics`](crate::Pass::statistics).
    pub fn statistics(&self) -> &[BatchStatistics<T::Compute, B>] {
        self.saved.statistics()
    }

    /// [`Pass::backward`](crate::Pass::backward) with x given anew: the same bits.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if x's or dy's memory is not that of the x before; [`crate::Error::DeviceMismatch`] for memory
    /// elsewhere.
    pub fn backward(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        dy: &impl Data<B, Element = T>,
    ) -> Result<Gradients<T, B>> {
        let (mut input, mut residual) = self.room()?;
        let dresidual = asked_for(&mut residual);
        let parameters = self.backward_into(x, dy, &mut input, dresidual)?;
        Ok(Gradients::of((input, residual), parameters))
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and [`crate::Error::Residual`] if a residual's gradient is asked for where there was
    /// none.
    pub fn backward_into(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>> {
        let (dy, shape) = (lent("dy", dy)?, self.saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let dx = output_slice(shape, "dx", dx)?;
        self.run(x, InOut::Separate(dy.values, dx), dresidual)
    }

    /// [`backward`](Self::backward) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward_into`](Self::backward_into).
    pub fn backward_in_place(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>> {
        let both = output_slice(self.saved.shape(), "dy", dy)?;
        self.run(x, InOut::InPlace(both), dresidual)
    }

    /// Room for dx, and for the residual's gradient where there was one.
    pub(super) fn room(&self) -> Result<GradientRoom<T, B>> {
        let array = || Tensor::unspecified(&self.backend, *self.saved.shape());
        let residual = self.saved.has_residual().then(array).transpose()?;
        Ok((array()?, residual))
    }

    fn run(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>> {
        let dresidual = dresidual_slice(self.saved.shape(), dresidual)?;
        let (View { shape, values: x }, kept) = lent_batch(x)?;
        self.saved.shape().check_same("x", &shape)?;
        self.saved.check_same_is_kept(kept)?;
        let gradients = self.saved.backward(&self.backend, x, dy_to_dx, dresidual)?;
        Ok(self.of_parameters(gradients))
    }

    /// Those of the parameters that the layer has.
    pub(super) fn of_parameters(
        &self,
        ChannelGradients { gamma, beta }: ChannelGradients<T::Compute, B>,
    ) -> ParameterGradients<T::Compute, B> {
        ParameterGradients {
            gamma: self.has_gamma.then_some(gamma),
            beta: self.has_beta.then_some(beta),
        }
    }
}

/// x's shape, and no values.
impl<T: Element, B: Backend> fmt::Debug for CheckpointedPass<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointedPass({})", self.saved)
    }
}
