//! Batch normalization synchronized over ranks: several have a part of every batch, and normalize it as one.

pub(crate) mod exchange;
mod fixed;
pub(crate) mod handshake;
#[cfg(feature = "__gpu")]
pub(crate) mod in_stream;
pub(crate) mod message;
#[cfg(feature = "nccl")]
pub(crate) mod nccl;
pub(crate) mod parts;
pub(crate) mod pass;
pub(crate) mod threads;
pub(crate) mod together;
mod training;
pub(crate) mod transport;

use std::fmt;

use crate::backend::Backend;
use crate::config::BatchNormConfig;
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::layer::BatchNorm;
use crate::statistics::batch::BatchStatistics;
use crate::synchronized::handshake::shake_hands;
use crate::synchronized::transport::Transport;

/// A batch normalization layer of which each rank has one, and a part of every batch: the parts are normalized as one batch, as if they
/// stood one after the other in a single array. Ranks are threads ([`ThreadRank`](crate::ThreadRank)), processes, or whatever a
/// [`Transport`] connects.
///
/// With the parts' counts nᵣ, means and Σ(x − meanᵣ)² as m2ᵣ, and M = Σ nᵣ,
///
/// ```text
/// mean = Σ nᵣ·meanᵣ / M,   variance = (Σ m2ᵣ + Σ nᵣ·(meanᵣ − mean)²) / M
/// dx   = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)     with sums over all ranks
/// ```
///
/// in two collectives a step, one forward and one backward. The passes are those of [`BatchNorm`], for all types, layouts, activations
/// and residuals; parts may be of any size, and empty. γ and β are each rank's own: dγ and dβ are those of its part, which a
/// data-parallel optimizer adds up with all other gradients, or of the whole batch
/// ([`with_summed_gradients`](Self::with_summed_gradients)). Frozen and inference passes use the running statistics, and no collective;
/// without running statistics ([`Averaging::Off`](crate::Averaging::Off)) they are synchronized too.
///
/// A batch that is [renormalized](crate::Renormalization) is so as a whole, against running statistics that are the same on all ranks, by
/// limits that all ranks change alike.
///
/// **Bits.** Statistics and running statistics are the same on all ranks, and for every order of the ranks: sums are rounded once. One
/// rank has the bits of [`BatchNorm`]. Another split of the batch agrees to the rounding of the compute type.
///
/// **Errors.** A rank whose input is refused takes part nevertheless: all ranks return [`Error::RankFailed`](crate::Error::RankFailed), which names it and says why,
/// and no running statistics have changed. What a device refuses once the statistics are known is that rank's own error, and only its
/// own running statistics stay as they were. Where ranks are not in the same call, or one does not come, it is [`Error::Transport`](crate::Error::Transport), if
/// the transport can tell.
///
/// ```
/// use std::{thread, time::Duration};
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, SyncBatchNorm, Tensor, ThreadRank};
///
/// let parts = [&[0.0f32, 1.0][..], &[5.0]];
/// thread::scope(|scope| {
///     let ranks = ThreadRank::connect(2, Duration::from_secs(60));
///     for (rank, values) in ranks.into_iter().zip(parts) {
///         scope.spawn(move || -> batchnorm::Result<()> {
///             let cpu = Cpu::new();
///             let mut layer = SyncBatchNorm::new(BatchNorm::new(&cpu, BatchNormConfig::new(1))?, &rank)?;
///             let x = Tensor::new(&cpu, Shape::channels_first(&[values.len(), 1])?, values)?;
///             let (_y, pass) = layer.forward_training(&x)?;
///             assert_eq!(pass.statistics()[0].mean().to_vec()?, [2.0]);
///             let gradients = pass.backward(&x)?; // .input, .gamma, .beta
///             assert_eq!(gradients.beta.unwrap().to_vec()?, [values.iter().sum::<f32>()]);
///             Ok(())
///         });
///     }
/// });
/// ```
///
/// Source: Ioffe & Szegedy 2015 of the whole batch; Chan, Golub & LeVeque 1979 for the merge; PyTorch's `SyncBatchNorm`, of which this
/// has the meaning.
pub struct SyncBatchNorm<B: Backend, R: Transport, C: Compute = f32> {
    layer: BatchNorm<B, C>,
    /// The settings that all ranks have said they have.
    agreed: BatchNormConfig,
    ranks: R,
    sums_gradients: bool,
}

impl<B: Backend, R: Transport + Clone, C: Compute> SyncBatchNorm<B, R, C> {
    /// This layer, synchronized with those that the other ranks call this with at the same time. Several layers share a connection that
    /// is lent (`&rank`) or shared (`Arc`).
    ///
    /// # Errors
    /// [`Error::RanksDiffer`](crate::Error::RanksDiffer) where the ranks' layers do not have the same settings, compute type and version of this crate;
    /// [`Error::RankFailed`](crate::Error::RankFailed) where one is refused, as with [ghost batches](crate::BatchNormConfig::ghost_batch);
    /// [`Error::Transport`](crate::Error::Transport) where the ranks cannot be reached.
    pub fn new(layer: BatchNorm<B, C>, ranks: R) -> Result<Self> {
        Self::synchronized(layer, ranks, false)
    }

    /// The same, with dγ and dβ of the whole batch on every rank: for optimizers that do not add gradients up themselves.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_summed_gradients(layer: BatchNorm<B, C>, ranks: R) -> Result<Self> {
        Self::synchronized(layer, ranks, true)
    }

    fn synchronized(layer: BatchNorm<B, C>, ranks: R, sums_gradients: bool) -> Result<Self> {
        let gradients = if sums_gradients { "summed" } else { "local" };
        let described = format!("{layer} of {}, gradients {gradients}", C::DTYPE);
        shake_hands(&ranks, layer.config(), &described)?;
        Ok(Self {
            agreed: *layer.config(),
            layer,
            ranks,
            sums_gradients,
        })
    }

    /// That the layer has the settings that the ranks have agreed on: another one can be put in its place.
    fn check_agreed(&self) -> Result<()> {
        // Limits of renormalization change from step to step, on all ranks alike.
        let limits = self.layer.config().renormalization_limits();
        if *self.layer.config() == self.agreed.renormalization(limits) {
            return Ok(());
        }
        Err(Error::Value {
            what: "a synchronized layer",
            found: self.layer.to_string(),
            needed: "the settings that the ranks agreed on when it was made",
        })
    }

    /// Has the running statistics follow those of a [deferred](Self::forward_training_deferred) pass, which are the same on all ranks.
    ///
    /// # Errors
    /// As [`BatchNorm::follow`].
    pub fn follow(
        &mut self,
        batches: &(impl AsRef<[BatchStatistics<C, B>]> + ?Sized),
    ) -> Result<()> {
        self.layer.follow(batches)
    }

    /// This rank's layer.
    pub fn layer(&self) -> &BatchNorm<B, C> {
        &self.layer
    }

    /// This rank's layer, to be changed: its γ and β, and the running statistics, which all ranks change alike. With a layer of other
    /// settings in its place a pass is an error, on all ranks if it is a collective. (A rank that is alone has nobody to differ from.)
    pub fn layer_mut(&mut self) -> &mut BatchNorm<B, C> {
        &mut self.layer
    }

    /// Gives the layer back.
    pub fn into_layer(self) -> BatchNorm<B, C> {
        self.layer
    }

    /// The connection to the other ranks.
    pub fn ranks(&self) -> &R {
        &self.ranks
    }

    /// Whether there is nobody to exchange anything with: the passes are the layer's.
    fn is_alone(&self) -> bool {
        self.ranks.world() == 1
    }
}

/// The layer, and which rank's it is.
impl<B: Backend, R: Transport, C: Compute> fmt::Debug for SyncBatchNorm<B, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rank, world) = (self.ranks.rank(), self.ranks.world());
        write!(f, "SyncBatchNorm({:?}, rank {rank} of {world})", self.layer)
    }
}
