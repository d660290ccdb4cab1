//! The backward pass of a rank's part, in the stream.

use std::fmt;

use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut};
use crate::backend::memory::Memory;
use crate::backend::operands::{GradientSums, GradientSumsMut};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;
use crate::gpu::merge::{Gathered, SUMS_OF_PART};
use crate::layer::backward::ChannelGradients;
use crate::layer::gradients::{Gradients, ParameterGradients, asked_for};
use crate::layer::part_pass::PartPass;
use crate::layer::pass::Pass;
use crate::statistics::batch::BatchStatistics;
use crate::synchronized::in_stream::side_by_side::side_by_side;
use crate::synchronized::in_stream::split::Split;
use crate::synchronized::in_stream::transport::StreamTransport;
use crate::synchronized::transport::Transport;

/// y, and the pass that it came of.
pub(super) type StreamOutput<T, X, D, R> = (Tensor<T, Gpu<D>>, StreamPass<X, D, R>);

/// A rank's forward pass in a GPU's stream, which can go backward there: as [`SyncPass`](crate::SyncPass), with the same bits, and without
/// the host waiting for anything. It has no second derivatives.
pub struct StreamPass<X: Data<Gpu<D>>, D: Driver, R>(Form<X, D, R>);

enum Form<X: Data<Gpu<D>>, D: Driver, R> {
    /// It needs nothing of the others.
    Alone(Pass<X, Gpu<D>>),
    Shared(SharedPass<X, D, R>),
}

struct SharedPass<X: Data<Gpu<D>>, D: Driver, R> {
    part: PartPass<X, Gpu<D>>,
    ranks: R,
    sums_gradients: bool,
    split: Split<D>,
}

/// dγ and dβ over this rank's part, and over all.
struct StreamSums<C: Compute, D: Driver> {
    local: ChannelGradients<C, Gpu<D>>,
    whole: ChannelGradients<C, Gpu<D>>,
}

impl<C: Compute, D: Driver> StreamSums<C, D> {
    fn whole(&self, count: usize) -> GradientSums<D::Slice<'_, C>> {
        GradientSums {
            gamma: self.whole.gamma.slice(),
            beta: self.whole.beta.slice(),
            count,
        }
    }
}

impl<X: Data<Gpu<D>>, D: Driver, R: StreamTransport<Gpu<D>> + Clone> StreamPass<X, D, R> {
    pub(super) fn alone(pass: Pass<X, Gpu<D>>) -> Self {
        Self(Form::Alone(pass))
    }

    pub(super) fn of_part(
        part: PartPass<X, Gpu<D>>,
        ranks: &R,
        sums_gradients: bool,
        split: &Split<D>,
    ) -> Self {
        Self(Form::Shared(SharedPass {
            part,
            ranks: ranks.clone(),
            sums_gradients,
            split: split.clone(),
        }))
    }

    /// The statistics of the whole batch, that x was normalized with.
    pub fn statistics(&self) -> &[BatchStatistics<<X::Element as Element>::Compute, Gpu<D>>] {
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

    /// The gradients of this rank's part, as [`SyncPass::backward`](crate::SyncPass::backward) has them. A collective of the devices.
    ///
    /// # Errors
    /// As [`Pass::backward`], this rank's own, before anything is in its stream; and where the connection has ended, after the sums of its
    /// part are.
    pub fn backward<T: Element>(
        &self,
        dy: &impl Data<Gpu<D>, Element = T>,
    ) -> Result<Gradients<T, Gpu<D>>>
    where
        X: Data<Gpu<D>, Element = T>,
    {
        let (mut input, mut residual) = match &self.0 {
            Form::Alone(pass) => return pass.backward(dy),
            Form::Shared(shared) => shared.part.room()?,
        };
        let parameters = self.backward_into(dy, &mut input, asked_for(&mut residual))?;
        Ok(Gradients::of((input, residual), parameters))
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<Gpu<D>, Element = T>,
        dx: &mut impl DataMut<Gpu<D>, Element = T>,
        mut dresidual: Option<&mut dyn DataMut<Gpu<D>, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, Gpu<D>>>
    where
        X: Data<Gpu<D>, Element = T>,
    {
        let shared = match &self.0 {
            Form::Alone(pass) => return pass.backward_into(dy, dx, dresidual),
            Form::Shared(shared) => shared,
        };
        let asked_for = dresidual.as_deref_mut();
        shared.part.check_outputs("dx", dx, asked_for)?;
        let sums = shared.sums(dy)?;
        let whole = sums.whole(shared.split.total());
        shared.part.input_in_stream(dy, dx, dresidual, whole)?;
        let of_rank = if shared.sums_gradients {
            sums.whole
        } else {
            sums.local
        };
        shared.part.parameter_gradients_in_stream(of_rank)
    }
}

impl<X: Data<Gpu<D>>, D: Driver, R: StreamTransport<Gpu<D>>> SharedPass<X, D, R> {
    fn sums<T: Element>(
        &self,
        dy: &impl Data<Gpu<D>, Element = T>,
    ) -> Result<StreamSums<T::Compute, D>>
    where
        X: Data<Gpu<D>, Element = T>,
    {
        let (gpu, channels) = (self.part.backend(), self.part.channels());
        let values = SUMS_OF_PART * channels;
        let mut received = gpu.unspecified::<T::Compute>(values * self.ranks.world())?;
        let mut whole = ChannelGradients::room(gpu, channels)?;
        let local = self.part.gradient_sums_in_stream(dy)?;
        let send = side_by_side::<T::Compute, D>(gpu, &[local.gamma.slice(), local.beta.slice()])?;
        self.ranks.all_gather_in_stream::<T::Compute>(
            gpu,
            D::as_slice(&send),
            D::as_slice_mut(&mut received),
        )?;
        let gathered = Gathered {
            arrays: D::as_slice(&received),
            counts: self.split.counts(),
            total: self.split.total(),
        };
        let out = GradientSumsMut {
            gamma: whole.gamma.slice_mut(),
            beta: whole.beta.slice_mut(),
        };
        gpu.merge_gradients::<T::Compute>(gathered, out)?;
        Ok(StreamSums { local, whole })
    }
}

/// x's shape, and no values.
impl<X: Data<Gpu<D>>, D: Driver, R: Transport> fmt::Debug for StreamPass<X, D, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Alone(pass) => write!(f, "StreamPass({pass:?})"),
            Form::Shared(SharedPass { part, ranks, .. }) => {
                let (rank, world) = (ranks.rank(), ranks.world());
                write!(f, "StreamPass({part:?}, rank {rank} of {world})")
            }
        }
    }
}
