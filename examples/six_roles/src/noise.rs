//! Noise in batch norm, after Santurkar et al. 2018: the distributions that it has made stable are made unstable again, to
//! see whether the stability was what sped up the training.

use candle_core::{Result, Tensor};
use digits_data::random::Random;

/// A unit's shift is drawn from -SHIFT to SHIFT,
const SHIFT: f32 = 2.0;
/// its scale from 1 to SCALE,
const SCALE: f32 = 1.25;
/// and each value is shifted and scaled by up to so much more or less.
const JITTER: f32 = 0.1;

pub(crate) struct Noise(Random);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// x of the shape (N, channels) with noise that is never the same.
    pub(crate) fn apply(&mut self, x: &Tensor) -> Result<Tensor> {
        let (samples, channels) = x.dims2()?;
        let random = &mut self.0;
        let units: Vec<_> = (0..channels)
            .map(|_| {
                let shift = SHIFT * random.symmetric();
                let scale = 1.0 + (SCALE - 1.0) * 0.5 * (1.0 + random.symmetric());
                (shift, scale)
            })
            .collect();
        let (mut shifts, mut scales) = (Vec::new(), Vec::new());
        for _ in 0..samples {
            for &(shift, scale) in &units {
                shifts.push(shift + JITTER * random.symmetric());
                scales.push(scale + JITTER * random.symmetric());
            }
        }
        let shape = (samples, channels);
        let scales = Tensor::from_vec(scales, shape, x.device())?;
        (x * scales)? + Tensor::from_vec(shifts, shape, x.device())?
    }
}
