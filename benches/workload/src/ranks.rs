//! What ranks cost each other: passes of a synchronized layer as one of its ranks sees them, whatever connects it to the others.

use std::time::{Duration, Instant};

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Result, Shape, SyncBatchNorm, Tensor, Transport};

use crate::shapes::values;

/// Channels of the networks that people train, few to many.
pub const CHANNELS: [usize; 3] = [64, 256, 2048];

/// A pass forward and one backward.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub forward: Duration,
    pub backward: Duration,
}

/// The part of a rank where nearly all is the exchange and the merge: two values per channel.
pub fn small_part(channels: usize) -> Result<Shape> {
    Shape::channels_first(&[2, channels, 1])
}

/// The part of a rank that trains a network.
pub fn large_part(channels: usize) -> Result<Shape> {
    let size = if channels > 256 { 7 } else { 56 };
    Shape::channels_first(&[32, channels, size, size])
}

/// Medians over so many passes over a part, on one thread. On one rank they are the layer's own passes.
pub fn passes(rank: &impl Transport, part: Shape, passes: usize) -> Result<Times> {
    let cpu = Cpu::with_threads(1)?;
    let layer = BatchNorm::new(&cpu, BatchNormConfig::new(part.channels()))?;
    let mut layer = SyncBatchNorm::new(layer, rank)?;
    let x = Tensor::new(&cpu, part, &values::<f32>(part.len(), 1))?;
    let (mut y, mut dx) = (Tensor::zeros(&cpu, part)?, Tensor::zeros(&cpu, part)?);
    let (mut forward, mut backward) = (vec![], vec![]);
    for _ in 0..passes {
        let begin = Instant::now();
        let pass = layer.forward_training_into(&x, None, &mut y)?;
        let middle = Instant::now();
        pass.backward_into(&y, &mut dx, None)?;
        forward.push(middle - begin);
        backward.push(middle.elapsed());
    }
    Ok(Times {
        forward: median(forward),
        backward: median(backward),
    })
}

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// In microseconds.
pub fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
