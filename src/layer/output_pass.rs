//! A pass that keeps its output instead of its input.

use std::fmt;

use crate::arrays::lent::{lent, output_slice, residual_slice};
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::config::BatchNormConfig;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::layer::checkpointed::CheckpointedPass;
use crate::layer::gradients::{Gradients, ParameterGradients, asked_for, dresidual_slice};
use crate::layer::saved::Saved;
use crate::statistics::batch::BatchStatistics;

type ComputeOf<Y, B> = <<Y as Data<B>>::Element as Element>::Compute;

/// A forward pass that keeps y where a [`Pass`](crate::Pass) keeps x, made by
/// [`forward_training_in_place`](crate::BatchNorm::forward_training_in_place) and its likes. y is what the next layer keeps anyway, so
/// batch norm and activation keep no array of their own.
///
/// The gradients are those of [`Pass::backward`](crate::Pass::backward), in which v and x̂ are found from y: for leaky ReLU with slope a
/// and for ELU with alpha α
///
/// ```text
/// v = y,  y > 0;    y/a (leaky ReLU),  ln(1 + y/α) (ELU),  elsewhere
/// activation'(v) = 1,  y > 0;    a,  y + α,  elsewhere
/// x̂ = (v − residual − β)/γ
/// ```
///
/// y was rounded when it was stored, by u = 2⁻²⁴ (`f32`), 2⁻¹¹ (`f16`), 2⁻⁸ (`bf16`) or 2⁻⁵³ (`f64`) of itself, so that x̂ is off by
/// up to `u·(|x̂| + |β/γ|)`, where no activation or leaky ReLU came before; with a residual by `u·|residual/γ|` more. Largest error of dx
/// beside the largest dx, by |β/γ|, of dy that is correlated with x:
///
/// | y's type | 0 | 1 | 10 | 100 |
/// |---|---|---|---|---|
/// | `f32` | 4e-8 | 6e-8 | 2e-7 | 2e-6 |
/// | `f16` | 3e-4 | 5e-4 | 2e-3 | 1.5e-2 |
/// | `bf16` | 2e-3 | 3e-3 | 1.4e-2 | 1.2e-1 |
///
/// beside what the arithmetic of the type that is computed in is off by, and rounding dx to `f16` or `bf16`, 5e-4 or 4e-3 at most: halves
/// are harmless as long as |β/γ| is not above 3 or so. ELU flattens: its v is off by `u·exp(−v)` times |y| below zero, and of a y that was
/// rounded to −α no more is known than that v was below ln(u/2), which is taken for it. What y lost beyond its type's range, infinities or
/// zeros, dx shows.
///
/// Source: Rota Bulò, Porzi & Kontschieder 2018, *In-place activated BatchNorm for memory-optimized training of DNNs*. (Where γ is
/// zero the authors take |γ| for more, which is another function; here it is an error.)
pub struct OutputPass<Y: Data<B>, B: Backend> {
    y: Y,
    /// All but y.
    rest: CheckpointedPass<Y::Element, B>,
}

impl<Y: Data<B>, B: Backend> OutputPass<Y, B> {
    pub(super) fn new(
        backend: &B,
        config: &BatchNormConfig,
        y: Y,
        saved: Saved<Y::Element, B>,
    ) -> Self {
        let rest = CheckpointedPass::new(backend, config, saved);
        Self { y, rest }
    }

    /// As [`Pass::statistics`](crate::Pass::statistics).
    pub fn statistics(&self) -> &[BatchStatistics<ComputeOf<Y, B>, B>] {
        self.rest.statistics()
    }

    /// y.
    pub fn output(&self) -> &Y {
        &self.y
    }

    /// Gives y back.
    pub fn into_output(self) -> Y {
        self.y
    }

    /// All gradients, from the gradient dy of y.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if dy's memory is not that of y; [`Error::Residual`] if the forward pass had a residual.
    pub fn backward<T: Element>(&self, dy: &impl Data<B, Element = T>) -> Result<Gradients<T, B>>
    where
        Y: Data<B, Element = T>,
    {
        self.gradients(None, dy)
    }

    /// [`backward`](Self::backward) where the forward pass had a residual, which is given once more.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), for the residual too; [`Error::Residual`] if there was none.
    pub fn backward_add<T: Element>(
        &self,
        residual: &impl Data<B, Element = T>,
        dy: &impl Data<B, Element = T>,
    ) -> Result<Gradients<T, B>>
    where
        Y: Data<B, Element = T>,
    {
        self.gradients(Some(residual), dy)
    }

    /// [`backward`](Self::backward) into memory of the caller's, with the residual that the forward pass had, if it had one; the residual's
    /// gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward) and [`backward_add`](Self::backward_add), and if a residual's gradient is asked for where there was
    /// none.
    pub fn backward_into<T: Element>(
        &self,
        residual: Option<&dyn Data<B, Element = T>>,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        Y: Data<B, Element = T>,
    {
        let (dy, shape) = (lent("dy", dy)?, self.rest.saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let dx = output_slice(shape, "dx", dx)?;
        self.run(residual, InOut::Separate(dy.values, dx), dresidual)
    }

    /// [`backward_into`](Self::backward_into) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward_into`](Self::backward_into).
    pub fn backward_in_place<T: Element>(
        &self,
        residual: Option<&dyn Data<B, Element = T>>,
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        Y: Data<B, Element = T>,
    {
        let both = output_slice(self.rest.saved.shape(), "dy", dy)?;
        self.run(residual, InOut::InPlace(both), dresidual)
    }

    fn gradients<T: Element>(
        &self,
        residual: Option<&dyn Data<B, Element = T>>,
        dy: &impl Data<B, Element = T>,
    ) -> Result<Gradients<T, B>>
    where
        Y: Data<B, Element = T>,
    {
        self.check_residual(residual.is_some())?;
        let mut room = self.rest.room()?;
        let (dx, dresidual) = (&mut room.0, asked_for(&mut room.1));
        let of_parameters = self.backward_into(residual, dy, dx, dresidual)?;
        Ok(Gradients::of(room, of_parameters))
    }

    fn run<T: Element>(
        &self,
        residual: Option<&dyn Data<B, Element = T>>,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        Y: Data<B, Element = T>,
    {
        self.check_residual(residual.is_some())?;
        let CheckpointedPass { backend, saved, .. } = &self.rest;
        let shape = saved.shape();
        let residual = residual_slice(shape, residual)?;
        let dresidual = dresidual_slice(shape, dresidual)?;
        let y = lent("y", &self.y)?;
        shape.check_same("y", &y.shape)?;
        let gradients = saved.backward_with(backend, y.values, residual, dy_to_dx, dresidual)?;
        Ok(self.rest.of_parameters(gradients))
    }

    fn check_residual(&self, is_given: bool) -> Result<()> {
        let (found, needed) = match (is_given, self.rest.saved.has_residual()) {
            (true, false) => ("a residual was given", "the forward pass had none"),
            (false, true) => (
                "no residual was given",
                "the forward pass had one, which a pass that keeps y is given once more",
            ),
            _ => return Ok(()),
        };
        Err(Error::Residual { found, needed })
    }
}

/// y's shape, and no values.
impl<Y: Data<B>, B: Backend> fmt::Debug for OutputPass<Y, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputPass({})", self.rest.saved)
    }
}
