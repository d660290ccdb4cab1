//! The arrays of one layer on a GPU, and the work that is done on them: for the tests here and for the benchmark on GPUs.

use batchnorm::backend::{
    Activation, ActivationBackward, Affine, Backend, Epilogue, GradientSumsMut, InOut, Memory,
    Normalization, SavedActivation, StatisticsMut, StatisticsSource,
};
use batchnorm::cuda::{CudaBuffer, CudaMask, CudaMemory};
use batchnorm::{Compute, Cuda, Element, Result, Shape};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Everything that goes into a pass and comes out of it.
#[derive(Debug)]
pub struct Arrays<T: Element> {
    pub shape: Shape,
    pub x: CudaBuffer<T>,
    pub dy: CudaBuffer<T>,
    pub y: CudaBuffer<T>,
    pub dx: CudaBuffer<T>,
    pub residual: CudaBuffer<T>,
    pub dresidual: CudaBuffer<T>,
    mask: CudaMask,
    pub gamma: CudaBuffer<T::Compute>,
    pub beta: CudaBuffer<T::Compute>,
    /// mean, mean_low, variance, inv_std
    pub statistics: [CudaBuffer<T::Compute>; 4],
    pub dgamma: CudaBuffer<T::Compute>,
    pub dbeta: CudaBuffer<T::Compute>,
}

/// One call of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    ForwardTraining,
    Inference,
    ForwardAddRelu,
    BackwardTraining,
    BackwardFrozen,
    BackwardAddRelu,
}

/// So many random values, with mean 1 and deviation 2: a million of them, again and again.
pub fn random<T: Element>(gpu: &Cuda, len: usize, seed: u64) -> Result<CudaBuffer<T>> {
    const PERIOD: usize = (1 << 20) + 7;
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let values: Vec<T> = (0..len.min(PERIOD))
        .map(|_| T::from_f64(1.0 + 2.0 * 12f64.sqrt() * (uniform() - 0.5)))
        .collect();
    if len <= PERIOD {
        return gpu.upload(&values);
    }
    let period = gpu.upload(&values)?;
    let mut array = gpu.zeros(len)?;
    for start in (0..len).step_by(PERIOD) {
        let end = len.min(start + PERIOD);
        let (from, mut to) = (period.slice(..end - start), array.slice_mut(start..end));
        gpu.copy::<T>((&from).into(), (&mut to).into())?;
    }
    Ok(array)
}

impl<T: Element> Arrays<T> {
    /// Random inputs, and outputs of zeros.
    pub fn new(gpu: &Cuda, shape: Shape, seed: u64) -> Result<Self> {
        let (len, channels) = (shape.len(), shape.channels());
        let per_channel = || gpu.zeros::<T::Compute>(channels);
        Ok(Self {
            shape,
            x: random(gpu, len, seed)?,
            dy: random(gpu, len, seed + 1)?,
            residual: random(gpu, len, seed + 2)?,
            gamma: random(gpu, channels, seed + 3)?,
            beta: random(gpu, channels, seed + 4)?,
            y: gpu.zeros(len)?,
            dx: gpu.zeros(len)?,
            dresidual: gpu.zeros(len)?,
            mask: gpu.mask::<T>(&shape)?,
            statistics: [
                per_channel()?,
                per_channel()?,
                per_channel()?,
                per_channel()?,
            ],
            dgamma: per_channel()?,
            dbeta: per_channel()?,
        })
    }
}

impl Work {
    /// Puts the work into the backend's stream.
    pub fn start<T: Element>(self, gpu: &Cuda, arrays: &mut Arrays<T>) -> Result<()> {
        match self {
            Work::ForwardTraining | Work::ForwardAddRelu => self.forward(gpu, arrays),
            Work::Inference => inference(gpu, arrays),
            Work::BackwardTraining | Work::BackwardFrozen | Work::BackwardAddRelu => {
                self.backward(gpu, arrays)
            }
        }
    }

    fn forward<T: Element>(self, gpu: &Cuda, arrays: &mut Arrays<T>) -> Result<()> {
        let epilogue = if self == Work::ForwardAddRelu {
            Epilogue {
                saved: SavedActivation::Mask(&mut arrays.mask),
                ..Epilogue::of(Activation::Relu).with_residual((&arrays.residual).into())
            }
        } else {
            Epilogue::of(Activation::None)
        };
        let affine = Affine {
            gamma: (&arrays.gamma).into(),
            beta: (&arrays.beta).into(),
            epsilon: 1e-5,
        };
        let [mean, mean_low, variance, inv_std] = &mut arrays.statistics;
        let out = StatisticsMut {
            mean: mean.into(),
            mean_low: mean_low.into(),
            variance: variance.into(),
            inv_std: inv_std.into(),
            running: None,
        };
        let (x, y) = ((&arrays.x).into(), (&mut arrays.y).into());
        gpu.forward_training::<T>(&arrays.shape, x, affine, epilogue, y, out)
    }

    fn backward<T: Element>(self, gpu: &Cuda, arrays: &mut Arrays<T>) -> Result<()> {
        let with = normalization(&arrays.statistics, &arrays.gamma, &arrays.beta);
        let (activation, dresidual) = if self == Work::BackwardAddRelu {
            (
                ActivationBackward {
                    activation: Activation::Relu,
                    saved: SavedActivation::Mask(&arrays.mask),
                },
                Some((&mut arrays.dresidual).into()),
            )
        } else {
            (ActivationBackward::of(Activation::None), None)
        };
        let source = if self == Work::BackwardFrozen {
            StatisticsSource::Running
        } else {
            StatisticsSource::Batch
        };
        let out = GradientSumsMut {
            gamma: (&mut arrays.dgamma).into(),
            beta: (&mut arrays.dbeta).into(),
        };
        let (x, dy_to_dx) = (
            (&arrays.x).into(),
            InOut::Separate((&arrays.dy).into(), (&mut arrays.dx).into()),
        );
        gpu.backward::<T>(
            &arrays.shape,
            dy_to_dx,
            x,
            with,
            source,
            activation,
            dresidual,
            out,
        )
    }
}

fn inference<T: Element>(gpu: &Cuda, arrays: &mut Arrays<T>) -> Result<()> {
    let with = normalization(&arrays.statistics, &arrays.gamma, &arrays.beta);
    let x_to_y = InOut::Separate((&arrays.x).into(), (&mut arrays.y).into());
    gpu.normalize::<T>(&arrays.shape, x_to_y, with, Epilogue::of(Activation::None))
}

fn normalization<'a, C: Compute>(
    [mean, mean_low, _, inv_std]: &'a [CudaBuffer<C>; 4],
    gamma: &'a CudaBuffer<C>,
    beta: &'a CudaBuffer<C>,
) -> Normalization<CudaMemory<'a, C>> {
    Normalization {
        mean: mean.into(),
        mean_low: mean_low.into(),
        inv_std: inv_std.into(),
        gamma: gamma.into(),
        beta: beta.into(),
    }
}
