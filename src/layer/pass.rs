//! What a forward pass leaves behind for its backward pass.

use std::fmt;

use crate::arrays::channel_array::ChannelArray;
use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::config::BatchNormConfig;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::saved::{AffineGradients, Saved};
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;

/// Room for dx, and for the residual's gradient where there was one.
pub(crate) type GradientRoom<T, B> = (Tensor<T, B>, Option<Tensor<T, B>>);

type ComputeOf<X, B> = <<X as Data<B>>::Element as Element>::Compute;

/// A forward pass that can go backward. It holds everything the gradients need: x (lent, given or shared), the
/// statistics, γ and β as they were, and which activations were cut off. So a backward pass through another layer, with
/// a changed γ, with another x or by the wrong formula cannot be written:
///
/// ```compile_fail,E0502
/// # use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
/// let cpu = Cpu::new();
/// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
/// let mut x = Tensor::new(&cpu, Shape::channels_first(&[2, 1])?, &[1.0f32, 2.0])?;
/// let (y, pass) = layer.forward_training(&x)?;
/// x.slice_mut()[0] = 5.0; // x is lent to the pass
/// pass.backward(&y)?;
/// # Ok::<(), batchnorm::Error>(())
/// ```
pub struct Pass<X: Data<B>, B: Backend> {
    pub(super) backend: B,
    pub(super) x: X,
    pub(super) saved: Saved<X::Element, B>,
    pub(super) has_gamma: bool,
    pub(super) has_beta: bool,
}

/// x's shape, and no values.
impl<X: Data<B>, B: Backend> fmt::Debug for Pass<X, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dtype, shape) = (X::Element::DTYPE, self.saved.shape());
        let groups = self.saved.groups();
        let plural = if groups == 1 { "" } else { "s" };
        write!(f, "Pass({dtype} {shape}, {groups} group{plural})")
    }
}

/// The gradients of one pass.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gradients<T: Element, B: Backend> {
    /// dx, of x's shape.
    pub input: Tensor<T, B>,
    /// The residual's, where there was one.
    pub residual: Option<Tensor<T, B>>,
    /// dγ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<T::Compute, B>>,
    /// dβ (C,), where the layer has β.
    pub beta: Option<ChannelArray<T::Compute, B>>,
}

impl<T: Element, B: Backend> Gradients<T, B> {
    /// What was written, and what was summed on the way.
    pub(crate) fn of(
        (input, residual): GradientRoom<T, B>,
        ParameterGradients { gamma, beta }: ParameterGradients<T::Compute, B>,
    ) -> Self {
        Self {
            input,
            residual,
            gamma,
            beta,
        }
    }
}

/// The gradients of the parameters.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ParameterGradients<C: Compute, B: Backend> {
    /// dγ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<C, B>>,
    /// dβ (C,), where the layer has β.
    pub beta: Option<ChannelArray<C, B>>,
}

impl<X: Data<B>, B: Backend> Pass<X, B> {
    pub(crate) fn new(
        backend: &B,
        config: &BatchNormConfig,
        x: X,
        saved: Saved<X::Element, B>,
    ) -> Self {
        Self {
            backend: backend.clone(),
            x,
            saved,
            has_gamma: config.has_gamma(),
            has_beta: config.has_beta(),
        }
    }

    /// The statistics that x was normalized with: one of the whole batch, or with ghost batches
    /// ([`BatchNormConfig::ghost_batch`]) one of each group, in order.
    pub fn statistics(&self) -> &[BatchStatistics<ComputeOf<X, B>, B>] {
        self.saved.statistics()
    }

    /// The input.
    pub fn input(&self) -> &X {
        &self.x
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.x
    }

    /// All gradients, from the gradient dy of y.
    ///
    /// With x̂ = (x − mean)·inv_std and dv = dy·activation'(v):
    /// dβ = Σ dv, dγ = Σ dv·x̂, the residual's is dv, and `dx = γ·inv_std·(dv − dβ/M − x̂·dγ/M)` in training,
    /// `γ·inv_std·dv` with frozen statistics. With ghost batches M, x̂ and the sums in dx are each group's own, and dγ and
    /// dβ the sums over all of them.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x.
    pub fn backward<T: Element>(&self, dy: &impl Data<B, Element = T>) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let (mut input, mut residual) = self.room()?;
        let dresidual = asked_for(&mut residual);
        let parameters = self.backward_into(dy, &mut input, dresidual)?;
        Ok(Gradients::of((input, residual), parameters))
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and [`crate::Error::Residual`] if a residual's gradient is asked for where there was
    /// none.
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let (dy, shape) = (lent("dy", dy)?, self.saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let dx = output_slice(shape, "dx", dx)?;
        self.run(InOut::Separate(dy.values, dx), dresidual)
    }

    /// [`backward`](Self::backward) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward_into`](Self::backward_into).
    pub fn backward_in_place<T: Element>(
        &self,
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let both = output_slice(self.saved.shape(), "dy", dy)?;
        self.run(InOut::InPlace(both), dresidual)
    }

    /// Room for dx, and for the residual's gradient where there was one.
    pub(super) fn room<T: Element>(&self) -> Result<GradientRoom<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let array = || Tensor::unspecified(&self.backend, *self.saved.shape());
        let residual = self.saved.has_residual().then(array).transpose()?;
        Ok((array()?, residual))
    }

    fn run<T: Element>(
        &self,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let dresidual = dresidual_slice(self.saved.shape(), dresidual)?;
        let View { shape, values: x } = lent("x", &self.x)?;
        self.saved.shape().check_same("x", &shape)?;
        let AffineGradients { gamma, beta } =
            self.saved.backward(&self.backend, x, dy_to_dx, dresidual)?;
        Ok(ParameterGradients {
            gamma: self.has_gamma.then_some(gamma),
            beta: self.has_beta.then_some(beta),
        })
    }
}

/// The residual's gradient as a pass is asked for it.
pub(crate) fn asked_for<T: Element, B: Backend>(
    residual: &mut Option<Tensor<T, B>>,
) -> Option<&mut dyn DataMut<B, Element = T>> {
    let residual = residual.as_mut();
    residual.map(|residual| residual as &mut dyn DataMut<B, Element = T>)
}

/// The memory for the residual's gradient, if it is asked for.
pub(super) fn dresidual_slice<'a, T: Element, B: Backend>(
    shape: &Shape,
    dresidual: Option<&'a mut (dyn DataMut<B, Element = T> + '_)>,
) -> Result<Option<B::SliceMut<'a, T>>> {
    let slice = |dresidual| output_slice(shape, "the residual's gradient", dresidual);
    dresidual.map(slice).transpose()
}
