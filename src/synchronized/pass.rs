//! The backward pass of a rank's part.

use std::fmt;

use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::backend::operands::GradientSums;
use crate::element::Element;
use crate::error::Result;
use crate::layer::part::PartPass;
use crate::layer::pass::{Gradients, ParameterGradients, Pass, asked_for};
use crate::statistics::batch::BatchStatistics;
use crate::statistics::gradients::PooledGradients;
use crate::synchronized::exchange::exchange;
use crate::synchronized::message::{Call, Message, Messages};
use crate::synchronized::transport::Transport;

/// y, and the pass that it came of.
pub(super) type Output<T, X, B, R> = (Tensor<T, B>, SyncPass<X, B, R>);

/// A rank's forward pass, which can go backward: as [`Pass`], with sums over the parts of all ranks where dx needs them.
pub struct SyncPass<X: Data<B>, B: Backend, R: Transport>(Form<X, B, R>);

enum Form<X: Data<B>, B: Backend, R: Transport> {
    /// It needs nothing of the others.
    Alone(Pass<X, B>),
    Together {
        part: PartPass<X, B>,
        ranks: R,
        sums_gradients: bool,
    },
}

impl<X: Data<B>, B: Backend, R: Transport + Clone> SyncPass<X, B, R> {
    pub(super) fn alone(pass: Pass<X, B>) -> Self {
        Self(Form::Alone(pass))
    }

    pub(super) fn of_part(part: PartPass<X, B>, ranks: &R, sums_gradients: bool) -> Self {
        Self(Form::Together {
            part,
            ranks: ranks.clone(),
            sums_gradients,
        })
    }

    /// The statistics that x was normalized with: those of the whole batch, or the running ones.
    pub fn statistics(&self) -> &[BatchStatistics<<X::Element as Element>::Compute, B>] {
        match &self.0 {
            Form::Alone(pass) => pass.statistics(),
            Form::Together { part, .. } => part.statistics(),
        }
    }

    /// The input.
    pub fn input(&self) -> &X {
        match &self.0 {
            Form::Alone(pass) => pass.input(),
            Form::Together { part, .. } => part.input(),
        }
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        match self.0 {
            Form::Alone(pass) => pass.into_input(),
            Form::Together { part, .. } => part.into_input(),
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
        let (part, ranks, sums_gradients) = match &self.0 {
            Form::Alone(pass) => return pass.backward(dy),
            Form::Together {
                part,
                ranks,
                sums_gradients,
            } => (part, ranks, *sums_gradients),
        };
        let ((local, outputs), whole) = sums_of_all(ranks, part, |message| {
            let outputs = part.room()?;
            Ok((tell_sums(message, part.gradient_sums(dy)?), outputs))
        })?;
        let (mut input, mut residual) = outputs;
        let summed = part.backward_into(dy, &mut input, asked_for(&mut residual), &whole)?;
        let of_rank = of_rank(part, sums_gradients, summed, &local)?;
        Ok(Gradients {
            input,
            residual,
            gamma: of_rank.gamma,
            beta: of_rank.beta,
        })
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
        let (part, ranks, sums_gradients) = match &self.0 {
            Form::Alone(pass) => return pass.backward_into(dy, dx, dresidual),
            Form::Together {
                part,
                ranks,
                sums_gradients,
            } => (part, ranks, *sums_gradients),
        };
        let (local, whole) = sums_of_all(ranks, part, |message| {
            part.check_outputs("dx", dx, dresidual.as_deref_mut())?;
            Ok(tell_sums(message, part.gradient_sums(dy)?))
        })?;
        let summed = part.backward_into(dy, dx, dresidual, &whole)?;
        of_rank(part, sums_gradients, summed, &local)
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
        let (part, ranks, sums_gradients) = match &self.0 {
            Form::Alone(pass) => return pass.backward_in_place(dy, dresidual),
            Form::Together {
                part,
                ranks,
                sums_gradients,
            } => (part, ranks, *sums_gradients),
        };
        let (local, whole) = sums_of_all(ranks, part, |message| {
            part.check_outputs("dy", dy, dresidual.as_deref_mut())?;
            Ok(tell_sums(message, part.gradient_sums(&*dy)?))
        })?;
        let summed = part.backward_in_place(dy, dresidual, &whole)?;
        of_rank(part, sums_gradients, summed, &local)
    }
}

/// The gradient sums of all ranks' parts together, of which `work` tells this rank's.
fn sums_of_all<X: Data<B>, B: Backend, W>(
    ranks: &impl Transport,
    part: &PartPass<X, B>,
    work: impl FnOnce(&mut Message) -> Result<W>,
) -> Result<(W, PooledGradients)> {
    let channels = part.channels();
    let (done, messages) = exchange(ranks, Call::Backward, channels, work)?;
    Ok((done, merged_sums(channels, &messages)?))
}

/// Writes a part's sums for the other ranks, and gives them back.
fn tell_sums(message: &mut Message, part: PooledGradients) -> PooledGradients {
    message.set_count(part.count());
    message.array_mut(0).copy_from_slice(part.gamma());
    message.array_mut(1).copy_from_slice(part.beta());
    part
}

fn merged_sums(channels: usize, messages: &Messages) -> Result<PooledGradients> {
    let parts: Vec<GradientSums<&[f64]>> = messages
        .each()
        .map(|message| GradientSums {
            gamma: message.array(0),
            beta: message.array(1),
            count: message.count(),
        })
        .collect();
    PooledGradients::of_parts(channels, &parts)
}

/// dγ and dβ as the layer has them on each rank.
fn of_rank<T: Element, X: Data<B, Element = T>, B: Backend>(
    part: &PartPass<X, B>,
    sums_gradients: bool,
    summed: ParameterGradients<T::Compute, B>,
    local: &PooledGradients,
) -> Result<ParameterGradients<T::Compute, B>> {
    if sums_gradients {
        Ok(summed)
    } else {
        part.parameter_gradients(local)
    }
}

/// x's shape, and no values.
impl<X: Data<B>, B: Backend, R: Transport> fmt::Debug for SyncPass<X, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Alone(pass) => write!(f, "SyncPass({pass:?})"),
            Form::Together { part, ranks, .. } => {
                let (rank, world) = (ranks.rank(), ranks.world());
                write!(f, "SyncPass({part:?}, rank {rank} of {world})")
            }
        }
    }
}
