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

/// Random values with mean 1 and deviation 2, on the GPU and on the processor: made once, and then copied for every array.
#[derive(Debug)]
pub struct Random<T: Element> {
    values: Vec<T>,
    on_gpu: CudaBuffer<T>,
}

impl<T: Element> Random<T> {
    /// As many as arrays of `len` values need, or a million: longer arrays repeat them.
    pub fn new(gpu: &Cuda, len: usize) -> Result<Self> {
        const FEWEST: usize = 4099;
        const MOST: usize = (1 << 20) + 7;
        let mut random = SplitMix64::seed_from_u64(0);
        let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let values: Vec<T> = (0..len.clamp(FEWEST, MOST))
            .map(|_| T::from_f64(1.0 + 2.0 * 12f64.sqrt() * (uniform() - 0.5)))
            .collect();
        let on_gpu = gpu.upload(&values)?;
        Ok(Self { values, on_gpu })
    }

    /// Where the array of a seed begins.
    fn start(&self, seed: u64) -> usize {
        let period = self.values.len() as u64;
        let start = (seed % period) * 7919 % period;
        usize::try_from(start).expect("below the number of values")
    }

    /// The array of a seed.
    pub fn array(&self, gpu: &Cuda, len: usize, seed: u64) -> Result<CudaBuffer<T>> {
        let mut array = gpu.zeros(len)?;
        let (mut first, mut done) = (self.start(seed), 0);
        while done < len {
            let count = (self.values.len() - first).min(len - done);
            let from = self.on_gpu.slice(first..first + count);
            let mut to = array.slice_mut(done..done + count);
            gpu.copy::<T>((&from).into(), (&mut to).into())?;
            (first, done) = (0, done + count);
        }
        Ok(array)
    }

    /// One value of the array of a seed.
    pub fn value(&self, seed: u64, index: usize) -> f64 {
        let period = self.values.len();
        self.values[(self.start(seed) + index % period) % period].to_f64()
    }
}

/// What the arrays of a layer are copied from.
#[derive(Debug)]
pub struct Inputs<T: Element> {
    pub values: Random<T>,
    pub per_channel: Random<T::Compute>,
}

impl<T: Element> Inputs<T> {
    /// For arrays of up to so many values without repeats.
    pub fn new(gpu: &Cuda, len: usize) -> Result<Self> {
        Ok(Self {
            values: Random::new(gpu, len)?,
            per_channel: Random::new(gpu, 0)?,
        })
    }
}

/// What is added to the seed of a layer's arrays for each of them.
pub mod seed {
    pub const X: u64 = 0;
    pub const DY: u64 = 1;
    pub const RESIDUAL: u64 = 2;
    pub const GAMMA: u64 = 3;
    pub const BETA: u64 = 4;
}

impl<T: Element> Arrays<T> {
    /// Random inputs, and outputs of zeros.
    pub fn new(gpu: &Cuda, shape: Shape, seed: u64) -> Result<Self> {
        Self::copied(gpu, &Inputs::new(gpu, shape.len())?, shape, seed)
    }

    /// The same with inputs copied from values that are there.
    pub fn copied(gpu: &Cuda, inputs: &Inputs<T>, shape: Shape, seed: u64) -> Result<Self> {
        let (len, channels) = (shape.len(), shape.channels());
        let values = |which| inputs.values.array(gpu, len, seed + which);
        let given = |which| inputs.per_channel.array(gpu, channels, seed + which);
        let per_channel = || gpu.zeros::<T::Compute>(channels);
        Ok(Self {
            shape,
            x: values(seed::X)?,
            dy: values(seed::DY)?,
            residual: values(seed::RESIDUAL)?,
            gamma: given(seed::GAMMA)?,
            beta: given(seed::BETA)?,
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
