//! A layer of which each of several ranks has one, and a part of every batch.

use std::sync::Arc;

use candle_core::Result;

use crate::candle::config::settings_of;
use crate::candle::layer::BatchNorm;
use crate::candle::ranks::Ranks;
use crate::candle::value::compute_type;
use crate::synchronized::transport::Transport;

impl BatchNorm {
    /// The same layer, synchronized with those that the other ranks call this with at the same time: in training their parts of a batch
    /// are normalized as one, with one exchange in each pass forward and one in each backward. Gradients of weight and bias are those of
    /// the rank's part, which a data-parallel optimizer adds up. Evaluation and a [frozen](Self::freeze) layer exchange nothing.
    ///
    /// All ranks go forward and backward through the same layers in the same order, as they do through the same model. Definitions, bits
    /// and errors are those of [`crate::SyncBatchNorm`].
    ///
    /// ```
    /// use std::{sync::Arc, thread, time::Duration};
    /// use batchnorm::{ThreadRank, candle::batch_norm};
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_nn::{ModuleT, VarBuilder, VarMap};
    ///
    /// thread::scope(|scope| {
    ///     for (rank, value) in ThreadRank::connect(2, Duration::from_secs(60)).into_iter().zip([1f32, 3.]) {
    ///         scope.spawn(move || -> candle_core::Result<()> {
    ///             let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    ///             let layer = batch_norm(1, 1e-5, vb)?.synchronized(Arc::new(rank))?;
    ///             let y = layer.forward_t(&Tensor::new(&[[value]], &Device::Cpu)?, true)?; // the mean is 2
    ///             assert!((y.to_vec2::<f32>()?[0][0] - (value - 2.)).abs() < 1e-4);
    ///             Ok(())
    ///         });
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::RanksDiffer`] where the ranks' layers do not have the same settings, data type and version of this crate;
    /// [`crate::Error::RankFailed`] where one is refused, as with ghost batches; [`crate::Error::Transport`] where the ranks cannot be
    /// reached. A pass gives these on all ranks whatever one of them is refused.
    pub fn synchronized(mut self, ranks: Arc<dyn Transport + Send + Sync>) -> Result<Self> {
        let config = settings_of(&self.config, self.running_mean().elem_count())?;
        let dtype = compute_type("running_mean", self.running_mean().dtype())?;
        let described = format!("candle's BatchNorm({config}) of {dtype:?}");
        self.ranks = Some(Ranks::connect(ranks, &config, &described)?);
        Ok(self)
    }
}
