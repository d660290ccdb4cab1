//! What a forward pass leaves behind for its backward pass.

use std::fmt;

use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::config::BatchNormConfig;
use crate::element::Element;
use crate::error::Result;
use crate::layer::checkpointed::CheckpointedPass;
use crate::layer::gradients::{GradientRoom, Gradients, ParameterGradients};
use crate::layer::saved::Saved;
use crate::statistics::batch::BatchStatistics;

type ComputeOf<X, B> = <<X as Data<B>>::Element as Element>::Compute;

/// A forward pass that can go backward. It holds everything the gradients need: x (lent, given or shared), the
/// statistics, γ and β as they were, and what the activation saves. So a backward pass through another layer, with
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
    pub(super) x: X,
    /// All but x.
    pub(super) rest: CheckpointedPass<X::Element, B>,
}

/// x's shape, and no values.
impl<X: Data<B>, B: Backend> fmt::Debug for Pass<X, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({})", self.rest.saved)
    }
}

impl<X: Data<B>, B: Backend> Pass<X, B> {
    pub(crate) fn new(
        backend: &B,
        config: &BatchNormConfig,
        x: X,
        saved: Saved<X::Element, B>,
    ) -> Self {
        let rest = CheckpointedPass::new(backend, config, saved);
        Self { x, rest }
    }

    /// The statistics that x was normalized with: one of the whole batch, or with ghost batches
    /// ([`BatchNormConfig::ghost_batch`]) one of each group, in order.
    pub fn statistics(&self) -> &[BatchStatistics<ComputeOf<X, B>, B>] {
        self.rest.statistics()
    }

    /// The input.
    pub fn input(&self) -> &X {
        &self.x
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.x
    }

    /// The pass without x, which is given anew when the gradients are computed: no array of x's size is kept, but what an activation after
    /// a residual saves.
    pub fn without_input(self) -> CheckpointedPass<X::Element, B> {
        self.rest
    }

    /// All gradients, from the gradient dy of y.
    ///
    /// With x̂ = (x − mean)·inv_std and dv = dy·activation'(v):
    /// dβ = Σ dv, dγ = Σ dv·x̂, the residual's is dv, and `dx = γ·inv_std·(dv − dβ/M − x̂·dγ/M)` in training,
    /// `γ·inv_std·dv` with frozen statistics. With ghost batches M, x̂ and the sums in dx are each group's own, and dγ and
    /// dβ the sums over all of them. Of a batch that was renormalized see [`Renormalization`](crate::Renormalization).
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x.
    pub fn backward<T: Element>(&self, dy: &impl Data<B, Element = T>) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        self.rest.backward(&self.x, dy)
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
        self.rest.backward_into(&self.x, dy, dx, dresidual)
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
        self.rest.backward_in_place(&self.x, dy, dresidual)
    }

    /// Room for dx, and for the residual's gradient where there was one.
    pub(super) fn room<T: Element>(&self) -> Result<GradientRoom<T, B>>
    where
        X: Data<B, Element = T>,
    {
        self.rest.room()
    }
}
