//! What the layers of several ranks tell each other, on candle's tensors.

use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::backend::Backend;
use crate::candle::error::{error_of, wrap};
use crate::candle::memory::{Borrowed, device_of};
use crate::candle::value::Value;
use crate::config::BatchNormConfig;
use crate::layer::forward::check_input_channels;
use crate::shape::Shape;
use crate::statistics::gradients::PooledGradients;
use crate::statistics::pooled::PooledStatistics;
use crate::synchronized::exchange::exchange;
use crate::synchronized::handshake::shake_hands;
use crate::synchronized::message::{Call, Message, Messages, OfLayer};
use crate::synchronized::parts::{
    RankSums, merged_statistics, merged_sums, tell_statistics, tell_sums,
};
use crate::synchronized::transport::Transport;

/// This rank's connection to the others.
#[derive(Clone)]
pub(super) struct Ranks(Arc<dyn Transport + Send + Sync>);

impl Ranks {
    /// Those that all make the same layer at the same time.
    pub(super) fn connect(
        ranks: Arc<dyn Transport + Send + Sync>,
        config: &BatchNormConfig,
        described: &str,
    ) -> Result<Self> {
        shake_hands(&ranks, config, described).map_err(wrap)?;
        Ok(Self(ranks))
    }

    /// The statistics of all ranks' parts together, of which `work` gives this rank's.
    pub(super) fn statistics_of_all<W>(
        &self,
        channels: usize,
        work: impl FnOnce() -> Result<(W, PooledStatistics)>,
    ) -> Result<(W, PooledStatistics)> {
        let layers = [channels];
        let (done, messages) = self.exchange(Call::Forward, &layers, |layer| {
            let (done, part) = work()?;
            tell_statistics(layer, &part);
            Ok(done)
        })?;
        let whole = merged_statistics(&messages, 0, channels).map_err(wrap)?;
        Ok((done, whole))
    }

    /// The gradient sums of all ranks' parts together, of which `work` gives this rank's.
    pub(super) fn sums_of_all(
        &self,
        channels: usize,
        work: impl FnOnce() -> Result<PooledGradients>,
    ) -> Result<RankSums> {
        let layers = [channels];
        let (local, messages) = self.exchange(Call::Backward, &layers, |layer| {
            let part = work()?;
            tell_sums(layer, &part);
            Ok(part)
        })?;
        let whole = merged_sums(&messages, 0, channels).map_err(wrap)?;
        Ok(RankSums { local, whole })
    }

    fn exchange<'c, W>(
        &self,
        call: Call,
        layers: &'c [usize],
        work: impl FnOnce(OfLayer<'_>) -> Result<W>,
    ) -> Result<(W, Messages<'c>)> {
        let work = |message: &mut Message<'_>| work(message.layer(0)).map_err(Refused);
        exchange(&self.0, call, layers, work).map_err(wrap)
    }
}

/// Why a rank could not do its part, without what candle says around it.
#[derive(Debug)]
struct Refused(candle_core::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match error_of(&self.0) {
            Some(error) => error.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Which rank it is.
impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.0.rank(), self.0.world())
    }
}

/// The statistics of a rank's part, a tensor of one run of memory.
pub(super) fn part_statistics<T: Value<Compute: Value>>(
    config: &BatchNormConfig,
    shape: &Shape,
    x: &Tensor,
) -> Result<PooledStatistics> {
    let device = device_of(x.device())?;
    let x = Borrowed::of(x);
    let values = x.slice::<T>()?;
    let of_part = || {
        config.check_epsilon_for_batch_statistics()?;
        check_input_channels(config, shape)?;
        let mut part = PooledStatistics::room(shape.channels(), shape.values_per_channel())?;
        if !shape.is_empty() {
            device.statistics_in_f64::<T>(shape, values, part.view_mut())?;
        }
        Ok(part)
    };
    of_part().map_err(wrap)
}
