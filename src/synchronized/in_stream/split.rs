//! How a batch is spread over the ranks, known to all of them beforehand.

use std::fmt;
use std::sync::Arc;

use crate::allocate::{collected, reserved};
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;
use crate::layer::forward::check_input_channels;
use crate::shape::Shape;
use crate::statistics::merge::total_count;
use crate::synchronized::SyncBatchNorm;
use crate::synchronized::exchange::exchange;
use crate::synchronized::message::{Call, ReceivedLayer};
use crate::synchronized::transport::Transport;

/// How many values per channel each rank has of a batch, as the ranks have told each other
/// ([`SyncBatchNorm::agree_on_split`]): passes in the stream need it, for then the host learns nothing of the others. It is of any layer
/// and any batch with as many values per channel on each rank. Cloned, it is the same.
pub struct Split<D: Driver> {
    /// This rank's.
    own: usize,
    total: usize,
    /// Each rank's, where the kernels find them.
    counts: Arc<D::Buffer<f64>>,
}

impl<D: Driver> Split<D> {
    /// The values per channel of all ranks together.
    pub fn total(&self) -> usize {
        self.total
    }

    pub(super) fn counts(&self) -> D::Slice<'_, f64> {
        D::as_slice(&self.counts)
    }

    /// That an input is this rank's part.
    pub(super) fn check_part(&self, shape: &Shape) -> Result<()> {
        let found = shape.values_per_channel();
        if found == self.own {
            return Ok(());
        }
        Err(Error::Value {
            what: "the values per channel of a part",
            found: found.to_string(),
            needed: "as many as the ranks have agreed on",
        })
    }
}

impl<D: Driver, R: Transport + Clone, C: Compute> SyncBatchNorm<Gpu<D>, R, C> {
    /// Has the ranks tell each other how many values per channel their parts have: once, for all batches that are spread like this one.
    /// A collective, for which the host waits.
    ///
    /// # Errors
    /// [`Error::RankFailed`] on all ranks where one of them is refused its part ([`Error::Channels`]); [`Error::TooFewValues`] for one
    /// value per channel in all; [`Error::Transport`]; when the device has no room.
    pub fn agree_on_split(&self, part: &Shape) -> Result<Split<D>> {
        let channels = [self.agreed.channels()];
        let own = part.values_per_channel();
        let ((), messages) = exchange(&self.ranks, Call::Split, &channels, |message| {
            self.check_agreed()?;
            check_input_channels(self.layer.config(), part)?;
            message.layer(0).set_count(own);
            Ok::<_, Error>(())
        })?;
        let told = messages.of_layer(0).map(ReceivedLayer::count);
        let mut counts = reserved(told.len())?;
        counts.extend(told);
        let total = total_count(counts.iter().copied())?;
        if total == 1 {
            return Err(Error::TooFewValues {
                found: 1,
                shape: "of all ranks together".to_owned(),
            });
        }
        let counts = collected(counts.iter().map(|&count| count as f64))?;
        let counts = Arc::new(self.layer.backend().driver().upload(&counts)?);
        Ok(Split { own, total, counts })
    }
}

// Derived ones would need D: Clone.
impl<D: Driver> Clone for Split<D> {
    fn clone(&self) -> Self {
        Self {
            own: self.own,
            total: self.total,
            counts: Arc::clone(&self.counts),
        }
    }
}

impl<D: Driver> fmt::Debug for Split<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, total, .. } = self;
        write!(f, "Split({own} of {total} values per channel)")
    }
}
