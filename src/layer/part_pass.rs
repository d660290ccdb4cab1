//! A part of a batch, backward: the gradient sums of the part, and from those of the whole its gradients.

use std::fmt;

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::layer::checkpointed::CheckpointedPass;
use crate::layer::gradients::{
    GradientRoom, Gradients, ParameterGradients, asked_for, dresidual_slice,
};
use crate::layer::pass::Pass;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::gradients::PooledGradients;

/// The forward pass of a part of a batch, which can go backward in two steps: the sums of this part, and from those of all parts
/// together dx. Like [`Pass`], it holds x, the statistics, γ and β as they were, and what the activation needs.
pub struct PartPass<X: Data<B>, B: Backend>(pub(super) Pass<X, B>);

impl<X: Data<B>, B: Backend> PartPass<X, B> {
    /// A pass, of which the gradient sums are still to be merged with others'.
    pub(crate) fn of(pass: Pass<X, B>) -> Self {
        Self(pass)
    }

    /// The statistics of the whole batch, that x was normalized with.
    pub fn statistics(&self) -> &[BatchStatistics<<X::Element as Element>::Compute, B>] {
        self.0.statistics()
    }

    /// The input.
    pub fn input(&self) -> &X {
        self.0.input()
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.0.into_input()
    }

    /// Σ dv·x̂ and Σ dv over this part, to be [merged](PooledGradients::merge) with those of the other parts. They are dγ and dβ, but
    /// where the batch was [renormalized](crate::Renormalization): there [`backward`](Self::backward) makes dγ of both.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x; when the device fails or has no room.
    pub fn gradient_sums<T: Element>(
        &self,
        dy: &(impl Data<B, Element = T> + ?Sized),
    ) -> Result<PooledGradients>
    where
        X: Data<B, Element = T>,
    {
        let Pass { x, rest } = &self.0;
        let CheckpointedPass { backend, saved, .. } = rest;
        let (dy, shape) = (lent("dy", dy)?, saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let x = lent("x", x)?;
        shape.check_same("x", &x.shape)?;
        let mut sums = PooledGradients::room(shape.channels(), shape.values_per_channel())?;
        saved.gradient_sums(backend, x.values, dy.values, sums.view_mut())?;
        Ok(sums)
    }

    /// The gradients of this part, from its dy and the sums over all parts: `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`, with M the
    /// values of all parts. dγ and dβ are those sums (of a [renormalized](crate::Renormalization) batch R·Σ(dv·x̂) + D·Σdv, and Σdv).
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x; [`crate::Error::Value`] for sums over another number of values
    /// than the statistics.
    pub fn backward<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        sums: &PooledGradients,
    ) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let (mut input, mut residual) = self.0.room()?;
        let dresidual = asked_for(&mut residual);
        let parameters = self.backward_into(dy, &mut input, dresidual, sums)?;
        Ok(Gradients::of((input, residual), parameters))
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and [`crate::Error::Residual`] if a residual's gradient is asked for where there was none.
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let gradients = self.parameter_gradients(sums)?;
        self.input_into(dy, dx, dresidual, sums)?;
        Ok(gradients)
    }

    /// [`backward`](Self::backward) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward_into`](Self::backward_into).
    pub fn backward_in_place<T: Element>(
        &self,
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let gradients = self.parameter_gradients(sums)?;
        self.input_in_place(dy, dresidual, sums)?;
        Ok(gradients)
    }

    /// dx, and the residual's gradient, without those of the parameters.
    pub(crate) fn input_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let (dy, shape) = (lent("dy", dy)?, self.0.rest.saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let dx = output_slice(shape, "dx", dx)?;
        self.run(InOut::Separate(dy.values, dx), dresidual, sums)
    }

    /// [`input_into`](Self::input_into) with dx written over dy.
    pub(crate) fn input_in_place<T: Element>(
        &self,
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let both = output_slice(self.0.rest.saved.shape(), "dy", dy)?;
        self.run(InOut::InPlace(both), dresidual, sums)
    }

    /// C.
    pub(crate) fn channels(&self) -> usize {
        self.0.rest.saved.shape().channels()
    }

    /// Room for what [`backward`](Self::backward) writes.
    pub(crate) fn room<T: Element>(&self) -> Result<GradientRoom<T, B>>
    where
        X: Data<B, Element = T>,
    {
        self.0.room()
    }

    /// That the outputs of a backward pass are those of this one.
    pub(crate) fn check_outputs<T: Element>(
        &self,
        what: &'static str,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut (dyn DataMut<B, Element = T> + '_)>,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let saved = &self.0.rest.saved;
        output_slice(saved.shape(), what, dx)?;
        saved.check_residual_is_asked_for(dresidual.is_some())?;
        dresidual_slice(saved.shape(), dresidual).map(drop)
    }

    /// From these sums the gradients of the parameters that the layer has.
    pub(crate) fn parameter_gradients<T: Element>(
        &self,
        sums: &PooledGradients,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let Pass { rest, .. } = &self.0;
        let gradients = rest.saved.affine_gradients(&rest.backend, sums)?;
        Ok(rest.of_parameters(gradients))
    }

    fn run<T: Element>(
        &self,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let Pass { x, rest } = &self.0;
        let CheckpointedPass { backend, saved, .. } = rest;
        let dresidual = dresidual_slice(saved.shape(), dresidual)?;
        let x = lent("x", x)?;
        saved.shape().check_same("x", &x.shape)?;
        self.check_same_count(sums)?;
        saved.backward_input(backend, x.values, dy_to_dx, dresidual, sums.view())
    }

    /// That the sums are over the batch that the statistics are of.
    fn check_same_count(&self, sums: &PooledGradients) -> Result<()> {
        let of_statistics = self.statistics().iter().map(BatchStatistics::count);
        let needed = of_statistics.sum::<usize>();
        if !self.0.rest.saved.is_of_batch() || sums.count() == needed {
            return Ok(());
        }
        Err(Error::Value {
            what: "the count of gradient sums",
            found: format!("{}, of statistics over {needed} values", sums.count()),
            needed: "the number of values per channel of all parts",
        })
    }
}

/// x's shape, and no values.
impl<X: Data<B>, B: Backend> fmt::Debug for PartPass<X, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dtype, shape) = (X::Element::DTYPE, self.0.rest.saved.shape());
        let count: usize = self.statistics().iter().map(BatchStatistics::count).sum();
        write!(
            f,
            "PartPass({dtype} {shape}, of {count} values per channel)"
        )
    }
}
