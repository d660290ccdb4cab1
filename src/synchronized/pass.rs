//! The backward pass of a rank's part.

use std::fmt;

use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::element::Element;
use crate::error::Result;
use crate::layer::gradients::{GradientRoom, Gradients, ParameterGradients, asked_for};
use crate::layer::part_pass::PartPass;
use crate::layer::pass::Pass;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::gradients::PooledGradients;
use crate::synchronized::exchange::exchange;
use crate::synchronized::message::{Call, Messages, OfLayer};
use crate::synchronized::parts::{RankSums, merged_sums, tell_sums};
use crate::synchronized::transport::Transport;

/// y, and the pass that it came of.
pub(super) type Output<T, X, B, R> = (Tensor<T, B>, SyncPass<X, B, R>);

/// A rank's forward pass, which can go backward: as [`Pass`], with sums over the parts of all ranks where dx needs them. It has no second
/// derivatives.
pub struct SyncPass<X: Data<B>, B: Backend, R: Transport>(Form<X, B, R>);

pub(super) enum Form<X: Data<B>, B: Backend, R: Transport> {
    /// It needs nothing of the others.
    Alone(Pass<X, B>),
    Shared(SharedPass<X, B, R>),
}

/// The pass of a part, whose backward pass needs the sums over all parts.
pub(super) struct SharedPass<X: Data<B>, B: Backend, R: Transport> {
    pub(super) part: PartPass<X, B>,
    pub(super) ranks: R,
    sums_gradients: bool,
}

impl<X: Data<B>, B: Backend, R: Transport + Clone> SyncPass<X, B, R> {
    pub(super) fn alone(pass: Pass<X, B>) -> Self {
        Self(Form::Alone(pass))
    }

    pub(super) fn of_part(part: PartPass<X, B>, ranks: &R, sums_gradients: bool) -> Self {
        Self(Form::Shared(SharedPass {
            part,
            ranks: ranks.clone(),
            sums_gradients,
        }))
    }

    pub(super) fn form(&self) -> &Form<X, B, R> {
        &self.0
    }

    /// The statistics that x was normalized with: those of the whole batch, or the running ones.
    pub fn statistics(&self) -> &[BatchStatistics<<X::Element as Element>::Compute, B>] {
        match &self.0 {
            Form::Alone(pass) => pass.statistics(),
            Form::Shared(shared) => shared.part.statistics(),
        }
    }

    /// The input.
    pub fn input(&self) -> &X {
        match &self.0 {
            Form::Alone(pass) => pass.input(),
            Form::Shared(shared) => shared.part.input(),
        }
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        match self.0 {
            Form::Alone(pass) => pass.into_input(),
            Form::Shared(shared) => shared.part.into_input(),
        }
    }

    /// The gradients of this rank's part, from the gradient dy of its y: `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)` with sums over
    /// all ranks; dγ and dβ are sums over the part, or on request over all ranks. A collective, except after frozen passes whose dγ and
    /// dβ are local.
    ///
    /// # Errors
    /// On all ranks [`Error::RankFailed`](crate::Error::RankFailed) where one of them is refused what [`Pass::backward`] refuses.
    pub fn backward<T: Element>(&self, dy: &impl Data<B, Element = T>) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let shared = match &self.0 {
            Form::Alone(pass) => return pass.backward(dy),
            Form::Shared(shared) => shared,
        };
        let (outputs, sums) = shared.sums_of_all(|layer| {
            let local = shared.tell(layer, dy)?;
            Ok((shared.part.room()?, local))
        })?;
        shared.backward(dy, outputs, &sums)
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        mut dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let shared = match &self.0 {
            Form::Alone(pass) => return pass.backward_into(dy, dx, dresidual),
            Form::Shared(shared) => shared,
        };
        let ((), sums) = shared.sums_of_all(|layer| {
            let asked_for = dresidual.as_deref_mut();
            shared.part.check_outputs("dx", dx, asked_for)?;
            Ok(((), shared.tell(layer, dy)?))
        })?;
        let gradients = shared.parameter_gradients(&sums)?;
        shared.part.input_into(dy, dx, dresidual, &sums.whole)?;
        Ok(gradients)
    }

    /// [`backward`](Self::backward) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_in_place<T: Element>(
        &self,
        dy: &mut impl DataMut<B, Element = T>,
        mut dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let shared = match &self.0 {
            Form::Alone(pass) => return pass.backward_in_place(dy, dresidual),
            Form::Shared(shared) => shared,
        };
        let ((), sums) = shared.sums_of_all(|layer| {
            let asked_for = dresidual.as_deref_mut();
            shared.part.check_outputs("dy", dy, asked_for)?;
            Ok(((), shared.tell(layer, &*dy)?))
        })?;
        let gradients = shared.parameter_gradients(&sums)?;
        shared.part.input_in_place(dy, dresidual, &sums.whole)?;
        Ok(gradients)
    }
}

impl<X: Data<B>, B: Backend, R: Transport> SharedPass<X, B, R> {
    /// The sums over this rank's part, which `work` tells the others, and over all.
    fn sums_of_all<W>(
        &self,
        work: impl FnOnce(OfLayer<'_>) -> Result<(W, PooledGradients)>,
    ) -> Result<(W, RankSums)> {
        let channels = [self.part.channels()];
        let ((done, local), messages) =
            exchange(&self.ranks, Call::Backward, &channels, |message| {
                work(message.layer(0))
            })?;
        Ok((done, self.with_whole(local, &messages, 0)?))
    }

    /// Tells the others the sums over this rank's part.
    pub(super) fn tell<T: Element>(
        &self,
        layer: OfLayer<'_>,
        dy: &impl Data<B, Element = T>,
    ) -> Result<PooledGradients>
    where
        X: Data<B, Element = T>,
    {
        let local = self.part.gradient_sums(dy)?;
        tell_sums(layer, &local);
        Ok(local)
    }

    /// These sums, and what the ranks have told of a layer, this one, together.
    pub(super) fn with_whole(
        &self,
        local: PooledGradients,
        messages: &Messages<'_>,
        index: usize,
    ) -> Result<RankSums> {
        let whole = merged_sums(messages, index, self.part.channels())?;
        Ok(RankSums { local, whole })
    }

    /// All gradients, into memory that there is.
    pub(super) fn backward<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        (mut dx, mut residual): GradientRoom<T, B>,
        sums: &RankSums,
    ) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let parameters = self.parameter_gradients(sums)?;
        let dresidual = asked_for(&mut residual);
        (self.part).input_into(dy, &mut dx, dresidual, &sums.whole)?;
        Ok(Gradients::of((dx, residual), parameters))
    }

    /// dγ and dβ as the layer has them on each rank.
    fn parameter_gradients<T: Element>(
        &self,
        sums: &RankSums,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let of_rank = if self.sums_gradients {
            &sums.whole
        } else {
            &sums.local
        };
        self.part.parameter_gradients(of_rank)
    }
}

/// x's shape, and no values.
impl<X: Data<B>, B: Backend, R: Transport> fmt::Debug for SyncPass<X, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Alone(pass) => write!(f, "SyncPass({pass:?})"),
            Form::Shared(SharedPass { part, ranks, .. }) => {
                let (rank, world) = (ranks.rank(), ranks.world());
                write!(f, "SyncPass({part:?}, rank {rank} of {world})")
            }
        }
    }
}
