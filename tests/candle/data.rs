//! Reproducible values, and layers of either kind with the same parameters.

use batchnorm::candle::BatchNorm;
use batchnorm::{Layout, Shape};
use candle_core::{Device, Result, Tensor, Var};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Values around `center`, spread like a normal distribution, the same on every machine.
pub(crate) fn values(count: usize, center: f32, seed: u64) -> Vec<f32> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut uniform = || (random.next_u64() >> 40) as f32 / (1u32 << 24) as f32;
    (0..count)
        .map(|_| center + (0..4).map(|_| uniform()).sum::<f32>() * 1.7 - 3.4)
        .collect()
}

/// A tensor of logical axes (N, C, spatial...) in the memory order of the shape.
pub(crate) fn tensor(shape: &Shape, center: f32, seed: u64) -> Result<Tensor> {
    let memory = Tensor::from_vec(
        values(shape.len(), center, seed),
        shape.dims(),
        &Device::Cpu,
    )?;
    logical(&memory, shape)
}

/// A tensor in memory order with its axes in logical order.
pub(crate) fn logical(memory: &Tensor, shape: &Shape) -> Result<Tensor> {
    match shape.layout() {
        Layout::ChannelsFirst => Ok(memory.clone()),
        Layout::ChannelsLast => {
            let mut axes: Vec<usize> = (0..memory.rank()).collect();
            axes[1..].rotate_right(1);
            memory.permute(axes)
        }
    }
}

/// γ and β that are neither 1 nor 0.
pub(crate) fn affine(channels: usize) -> Result<(Var, Var)> {
    let gamma = values(channels, 1.5, 11);
    let beta = values(channels, -0.5, 12);
    Ok((
        Var::from_vec(gamma, channels, &Device::Cpu)?,
        Var::from_vec(beta, channels, &Device::Cpu)?,
    ))
}

/// candle's layer and this crate's, with variables of their own and the same values.
pub(crate) struct Both {
    pub(crate) candle: candle_nn::BatchNorm,
    pub(crate) ours: BatchNorm,
}

impl Both {
    pub(crate) fn new(channels: usize, eps: f64, momentum: f64) -> Result<Self> {
        let (gamma, beta) = affine(channels)?;
        let mean = Tensor::from_vec(values(channels, 0.3, 13), channels, &Device::Cpu)?;
        let variance = Tensor::from_vec(values(channels, 0.0, 14), channels, &Device::Cpu)?
            .sqr()?
            .affine(1., 0.5)?;
        let copy = |t: &Tensor| {
            Ok::<_, candle_core::Error>(Var::from_tensor(&t.copy()?.detach())?.into_inner())
        };
        let candle = candle_nn::BatchNorm::new_with_momentum(
            channels,
            mean.copy()?,
            variance.copy()?,
            copy(&gamma)?,
            copy(&beta)?,
            eps,
            momentum,
        )?;
        let ours = BatchNorm::new_with_momentum(
            channels,
            mean,
            variance,
            gamma.into_inner(),
            beta.into_inner(),
            eps,
            momentum,
        )?;
        Ok(Self { candle, ours })
    }
}

/// The largest difference relative to the largest value of `b`.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
    let largest = b.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
    assert!(largest.is_finite() && difference.is_finite());
    Ok(difference / largest.max(1e-6))
}
