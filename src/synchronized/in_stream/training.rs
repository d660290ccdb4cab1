//! The training pass forward, in the stream: statistics of the part, their gather, the merge, y.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::memory::Memory;
use crate::backend::operands::StatisticsSource;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;
use crate::gpu::merge::{Gathered, STATISTICS_OF_PART};
use crate::layer::part_pass::PartPass;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::synchronized::SyncBatchNorm;
use crate::synchronized::in_stream::pass::{StreamOutput, StreamPass};
use crate::synchronized::in_stream::side_by_side::side_by_side;
use crate::synchronized::in_stream::split::Split;
use crate::synchronized::in_stream::transport::StreamTransport;

impl<D, R, C> SyncBatchNorm<Gpu<D>, R, C>
where
    D: Driver,
    R: StreamTransport<Gpu<D>> + Clone,
    C: Compute,
{
    /// [`forward_training`](Self::forward_training) of which the host waits for nothing, with the same bits: the ranks' statistics are
    /// gathered in the stream, and merged by a kernel. A collective of the devices: all ranks put it into their streams, each with its
    /// part of a split that they have [agreed on](Self::agree_on_split).
    ///
    /// What a rank is refused here is its own error, of an operand before anything is in its stream: the others are not told, and wait on the
    /// device. A part of another size than agreed is such an error, so that with the same program on all ranks little is left that can
    /// be one. (Batches that are [renormalized](crate::Renormalization) are so on the host, which waits.)
    ///
    /// # Errors
    /// As [`BatchNorm::forward_training`](crate::BatchNorm::forward_training), but that a part may be empty or have one value; and
    /// [`crate::Error::Value`] for a part of another size than agreed.
    pub fn forward_training_in_stream<T, X>(
        &mut self,
        x: X,
        split: &Split<D>,
    ) -> Result<StreamOutput<T, X, D, R>>
    where
        T: Element<Compute = C>,
        X: Data<Gpu<D>, Element = T>,
    {
        let mut y: Tensor<T, _> = self.layer.output_for(&x)?;
        let pass = self.forward_training_in_stream_into(x, None, &mut y, split)?;
        Ok((y, pass))
    }

    /// [`forward_training_in_stream`](Self::forward_training_in_stream) into memory of the caller's, and with a residual that is added
    /// before the activation. With [`StreamPass::backward_into`] it can be captured in a CUDA graph: the pass and what it gave must be
    /// dropped before the capture ends, and what is to be kept of them copied to memory of the caller's. (How many batches the running
    /// statistics have followed the host counts, once a capture.)
    ///
    /// # Errors
    /// As [`forward_training_in_stream`](Self::forward_training_in_stream), and [`crate::Error::ShapeMismatch`].
    pub fn forward_training_in_stream_into<T, X>(
        &mut self,
        x: X,
        residual: Option<&dyn Data<Gpu<D>, Element = T>>,
        y: &mut impl DataMut<Gpu<D>, Element = T>,
        split: &Split<D>,
    ) -> Result<StreamPass<X, D, R>>
    where
        T: Element<Compute = C>,
        X: Data<Gpu<D>, Element = T>,
    {
        split.check_part(&lent("x", &x)?.shape)?;
        if self.is_alone() {
            let pass = self.layer.forward_training_into(x, residual, y)?;
            return Ok(StreamPass::alone(pass));
        }
        let part = self.forward_part_in_stream(x, residual, y, split)?;
        self.layer.follow(part.statistics())?;
        Ok(StreamPass::of_part(
            part,
            &self.ranks,
            self.sums_gradients,
            split,
        ))
    }

    fn forward_part_in_stream<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<Gpu<D>, Element = T>>,
        y: &mut impl DataMut<Gpu<D>, Element = T>,
        split: &Split<D>,
    ) -> Result<PartPass<X, Gpu<D>>>
    where
        T: Element<Compute = C>,
        X: Data<Gpu<D>, Element = T>,
    {
        self.check_agreed()?;
        self.agreed.check_epsilon_for_batch_statistics()?;
        let View { shape, values } = lent("x", &x)?;
        let forward = self.layer.forward_of(&shape, residual)?;
        let forward = forward.against(self.layer.reference()?);
        output_slice(&shape, "y", y)?;
        let room = forward.room_for_given(StatisticsSource::Batch)?;
        let statistics = self.statistics_in_stream::<T>(&shape, values, split)?;
        self.layer.normalize_part(x, &forward, y, statistics, room)
    }

    /// The statistics of all ranks' parts together.
    fn statistics_in_stream<T: Element<Compute = C>>(
        &self,
        shape: &Shape,
        x: D::Slice<'_, T>,
        split: &Split<D>,
    ) -> Result<BatchStatistics<C, Gpu<D>>> {
        let (gpu, channels) = (self.layer.backend(), self.agreed.channels());
        let mut whole =
            BatchStatistics::room_for(gpu, channels, (split.total(), split.total() as f64))?;
        if split.total() == 0 {
            return Ok(whole);
        }
        let values = STATISTICS_OF_PART * channels;
        let mut received = gpu.unspecified::<C>(values * self.ranks.world())?;
        let mut part = BatchStatistics::room(gpu, shape.into())?;
        if !shape.is_empty() {
            // Next to no ε: what `1 / sqrt(variance)` knows more than a variance beyond the type.
            let epsilon = f64::MIN_POSITIVE;
            gpu.statistics::<T>(shape, x, epsilon, part.view_mut(None))?;
        }
        let view = part.view();
        let arrays = [view.mean, view.mean_low, view.variance, view.inv_std];
        let send = side_by_side::<C, D>(gpu, &arrays)?;
        self.ranks.all_gather_in_stream::<C>(
            gpu,
            D::as_slice(&send),
            D::as_slice_mut(&mut received),
        )?;
        let gathered = Gathered {
            arrays: D::as_slice(&received),
            counts: split.counts(),
            total: split.total(),
        };
        let epsilon = self.agreed.epsilon_value();
        gpu.merge_statistics::<C>(gathered, epsilon, whole.view_mut(None))?;
        Ok(whole)
    }
}
