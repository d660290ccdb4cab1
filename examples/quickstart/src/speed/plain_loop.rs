//! Batch norm as one writes it down: a loop over the channels, one thread, no vectors. Channels first, f32.

use std::ops::Range;

use batchnorm::Shape;

/// N, C, and the values of an image in one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dims {
    batch: usize,
    channels: usize,
    spatial: usize,
}

/// What the backward loop needs of the forward loop: of each channel, mean and 1/√(variance + ε).
pub(super) type Saved = Vec<(f32, f32)>;

impl Dims {
    pub(super) fn of(shape: &Shape) -> Self {
        Self {
            batch: shape.batch(),
            channels: shape.channels(),
            spatial: shape.spatial(),
        }
    }

    /// Where a channel's values are: a range for each image.
    fn ranges(self, channel: usize) -> impl Iterator<Item = Range<usize>> + Clone {
        (0..self.batch).map(move |image| {
            let start = (image * self.channels + channel) * self.spatial;
            start..start + self.spatial
        })
    }

    fn values_per_channel(self) -> f32 {
        (self.batch * self.spatial) as f32
    }
}

pub(super) fn forward(
    dims: Dims,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    y: &mut [f32],
) -> Saved {
    let count = dims.values_per_channel();
    let mut saved = Vec::with_capacity(dims.channels);
    for channel in 0..dims.channels {
        let values = || dims.ranges(channel).flat_map(|range| &x[range]);
        let mean = values().sum::<f32>() / count;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
        let inv_std = 1.0 / (variance + epsilon).sqrt();
        for range in dims.ranges(channel) {
            for i in range {
                y[i] = gamma[channel] * (x[i] - mean) * inv_std + beta[channel];
            }
        }
        saved.push((mean, inv_std));
    }
    saved
}

/// dx, and of each channel dγ and dβ.
pub(super) fn backward(
    dims: Dims,
    x: &[f32],
    dy: &[f32],
    gamma: &[f32],
    saved: &Saved,
    dx: &mut [f32],
) -> Vec<(f32, f32)> {
    let count = dims.values_per_channel();
    let mut gradients = Vec::with_capacity(dims.channels);
    for (channel, &(mean, inv_std)) in saved.iter().enumerate() {
        let (mut dgamma, mut dbeta) = (0.0, 0.0);
        for i in dims.ranges(channel).flatten() {
            dgamma += dy[i] * (x[i] - mean) * inv_std;
            dbeta += dy[i];
        }
        for range in dims.ranges(channel) {
            for i in range {
                let normalized = (x[i] - mean) * inv_std;
                let centred = dy[i] - dbeta / count - normalized * dgamma / count;
                dx[i] = gamma[channel] * inv_std * centred;
            }
        }
        gradients.push((dgamma, dbeta));
    }
    gradients
}
