//! From moments to the statistics of a channel.

use crate::backend::operands::Normalization;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::moments::Moments;
use crate::finalized_channel::FinalizedChannel;
use crate::numeric::Real;

/// The statistics of some channels, as a backend returns them.
#[derive(Debug)]
pub struct Finalized<C: Real> {
    pub(crate) mean: Scratch<C>,
    pub(crate) mean_low: Scratch<C>,
    pub(crate) variance: Scratch<C>,
    pub(crate) inv_std: Scratch<C>,
}

impl<C: Real> Finalized<C> {
    /// Of so many channels, to be written.
    pub(crate) fn of_len(channels: usize) -> Self {
        let statistics = || Scratch::of_len(channels);
        Self {
            mean: statistics(),
            mean_low: statistics(),
            variance: statistics(),
            inv_std: statistics(),
        }
    }

    /// Writes those of the channels from `first` on.
    pub(crate) fn write_at(&mut self, first: usize, part: &Self) {
        let channels = first..first + part.mean.len();
        self.mean[channels.clone()].copy_from_slice(&part.mean);
        self.mean_low[channels.clone()].copy_from_slice(&part.mean_low);
        self.variance[channels.clone()].copy_from_slice(&part.variance);
        self.inv_std[channels].copy_from_slice(&part.inv_std);
    }

    /// What these channels are normalized with.
    pub(crate) fn normalization<'a>(
        &'a self,
        gamma: &'a [C],
        beta: &'a [C],
    ) -> Normalization<&'a [C]> {
        Normalization {
            mean: &self.mean,
            mean_low: &self.mean_low,
            inv_std: &self.inv_std,
            gamma,
            beta,
        }
    }
}

/// Finalizes moments.
pub(crate) fn finalize<C: Real>(moments: &Moments, epsilon: f64) -> Finalized<C> {
    let channels = moments.mean.len();
    let mut out = Finalized::of_len(channels);
    for c in 0..channels {
        let mean = [moments.mean[c], moments.mean_low[c]];
        let channel = FinalizedChannel::of(mean, moments.m2[c] / moments.count, epsilon);
        out.mean[c] = channel.mean;
        out.mean_low[c] = channel.mean_low;
        out.variance[c] = channel.variance;
        out.inv_std[c] = channel.inv_std;
    }
    out
}
