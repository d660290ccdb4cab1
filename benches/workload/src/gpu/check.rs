//! Whether a row's results are right: every output written, and some values of it as the textbook has them, in f64 from the
//! values that x and dy were copied from. How near they must be is the contract suite's subject; this sees a kernel that went
//! wrong at a size that the suite does not have.

use batchnorm::cuda::CudaBuffer;
use batchnorm::{DType, Element, Result, Shape};
use cuda_machine::arrays::{Arrays, Inputs, Work, seed};
use cuda_machine::machine::Machine;
use rayon::prelude::*;

use crate::gpu::own_kernels::MemoryKernels;

/// As the passes are called.
const EPSILON: f64 = 1e-5;
/// Values of a channel that are looked at, spread over all of it.
const PLACES: usize = 24;
/// Of sums over a channel, relative to how many values it has.
const TOLERANCE_OF_SUMS: f64 = 1.0 / 65536.0;
/// Nearer to zero than this, the sign of v may be another in a pass's own arithmetic, and with it what ReLU does.
const NEAR_ZERO: f64 = 0.02;

/// The textbook's numbers of one channel.
struct Channel<'a, T: Element> {
    inputs: &'a Inputs<T>,
    shape: Shape,
    seed: u64,
    index: usize,
    mean: f64,
    inv_std: f64,
    gamma: f64,
    beta: f64,
    /// Means of dy and of dy times x_hat: behind nothing, and behind the addition and ReLU.
    gradients: [[f64; 2]; 2],
}

impl<'a, T: Element> Channel<'a, T> {
    fn new(inputs: &'a Inputs<T>, shape: Shape, seed: u64, channel: usize) -> Self {
        let given = |which| inputs.per_channel.value(seed + which, channel);
        let mut this = Self {
            inputs,
            shape,
            seed,
            index: channel,
            mean: 0.0,
            inv_std: 0.0,
            gamma: given(seed::GAMMA),
            beta: given(seed::BETA),
            gradients: [[0.0; 2]; 2],
        };
        let count = shape.values_per_channel() as f64;
        let mean = |of: &dyn Fn(usize) -> f64| this.indices().map(of).sum::<f64>() / count;
        let center = mean(&|at| this.given(seed::X, at));
        let variance = mean(&|at| (this.given(seed::X, at) - center).powi(2));
        this.mean = center;
        this.inv_std = 1.0 / (variance + EPSILON).sqrt();
        for behind_relu in [false, true] {
            let mut sums = [0.0; 2];
            for at in this.indices() {
                let dy = this.dy(at, behind_relu);
                sums[0] += dy;
                sums[1] += dy * this.x_hat(at);
            }
            this.gradients[usize::from(behind_relu)] = sums.map(|sum| sum / count);
        }
        this
    }

    /// Where its values are.
    fn indices(&self) -> impl Iterator<Item = usize> + use<T> {
        let (shape, channel) = (self.shape, self.index);
        (0..shape.batch())
            .flat_map(move |n| (0..shape.spatial()).map(move |s| shape.index(n, channel, s)))
    }

    fn given(&self, which: u64, at: usize) -> f64 {
        self.inputs.values.value(self.seed + which, at)
    }

    fn x_hat(&self, at: usize) -> f64 {
        (self.given(seed::X, at) - self.mean) * self.inv_std
    }

    /// What ReLU is given.
    fn v(&self, at: usize) -> f64 {
        self.gamma * self.x_hat(at) + self.beta + self.given(seed::RESIDUAL, at)
    }

    fn dy(&self, at: usize, behind_relu: bool) -> f64 {
        if behind_relu && self.v(at) <= 0.0 {
            0.0
        } else {
            self.given(seed::DY, at)
        }
    }

    fn dx(&self, at: usize, behind_relu: bool, of_batch: bool) -> f64 {
        let dy = self.dy(at, behind_relu);
        let [mean_dy, mean_dy_x_hat] = self.gradients[usize::from(behind_relu)];
        let through_statistics = if of_batch {
            mean_dy + self.x_hat(at) * mean_dy_x_hat
        } else {
            0.0
        };
        self.gamma * self.inv_std * (dy - through_statistics)
    }
}

/// Poisons what a pass writes, and looks at it afterwards.
pub(crate) struct Check<'a, T: Element> {
    machine: &'a Machine,
    kernels: &'a MemoryKernels<'a>,
    channels: Vec<Channel<'a, T>>,
}

impl<'a, T: Element> Check<'a, T> {
    /// Of the arrays of one seed.
    pub(crate) fn new(
        machine: &'a Machine,
        kernels: &'a MemoryKernels<'a>,
        inputs: &'a Inputs<T>,
        shape: Shape,
        seed: u64,
    ) -> Self {
        let mut which = vec![0, shape.channels() / 2, shape.channels() - 1];
        which.dedup();
        let channels = which.into_par_iter();
        let channels = channels.map(|channel| Channel::new(inputs, shape, seed, channel));
        Self {
            machine,
            kernels,
            channels: channels.collect(),
        }
    }

    pub(crate) fn poison(&self, work: Work, arrays: &mut Arrays<T>) -> Result<()> {
        match work {
            Work::ForwardTraining | Work::Inference | Work::ForwardAddRelu => {
                self.kernels.poison(&mut arrays.y)
            }
            Work::BackwardTraining | Work::BackwardFrozen | Work::BackwardAddRelu => {
                self.kernels.poison(&mut arrays.dx)?;
                self.kernels.poison(&mut arrays.dgamma)?;
                self.kernels.poison(&mut arrays.dbeta)?;
                if work == Work::BackwardAddRelu {
                    self.kernels.poison(&mut arrays.dresidual)?;
                }
                Ok(())
            }
        }
    }

    /// What is wrong, in words.
    pub(crate) fn wrong(&self, work: Work, arrays: &Arrays<T>) -> Result<Option<String>> {
        let behind_relu = matches!(work, Work::ForwardAddRelu | Work::BackwardAddRelu);
        let of_batch = work != Work::BackwardFrozen;
        match work {
            Work::ForwardTraining | Work::Inference => self.wrong_in("y", &arrays.y, |of, at| {
                Some(of.gamma * of.x_hat(at) + of.beta)
            }),
            Work::ForwardAddRelu => self.wrong_in("y", &arrays.y, |of, at| Some(of.v(at).max(0.0))),
            Work::BackwardTraining | Work::BackwardFrozen | Work::BackwardAddRelu => {
                let certain = |of: &Channel<'_, T>, at| !behind_relu || of.v(at).abs() > NEAR_ZERO;
                let wrong = self.wrong_in("dx", &arrays.dx, |of, at| {
                    certain(of, at).then(|| of.dx(at, behind_relu, of_batch))
                })?;
                if wrong.is_some() {
                    return Ok(wrong);
                }
                if !behind_relu {
                    return self.wrong_in_sums(arrays);
                }
                // Signs near zero decide too much of the sums for these to be looked at.
                self.wrong_in("dresidual", &arrays.dresidual, |of, at| {
                    certain(of, at).then(|| of.dy(at, true))
                })
            }
        }
    }

    fn wrong_in(
        &self,
        name: &str,
        array: &CudaBuffer<T>,
        expected: impl Fn(&Channel<'_, T>, usize) -> Option<f64>,
    ) -> Result<Option<String>> {
        if let Some(unwritten) = self.unwritten(name, array)? {
            return Ok(Some(unwritten));
        }
        for channel in &self.channels {
            let step = (channel.shape.values_per_channel() / PLACES).max(1);
            for at in channel.indices().step_by(step) {
                let Some(expected) = expected(channel, at) else {
                    continue;
                };
                let found = self.value(array, at)?.to_f64();
                // NaN is near nothing.
                let near = (found - expected).abs() <= tolerance::<T>() * (expected.abs() + 1.0);
                if !near {
                    return Ok(Some(format!(
                        "{name} at {at}, channel {}, is {found}, the textbook has {expected}",
                        channel.index
                    )));
                }
            }
        }
        Ok(None)
    }

    /// In dγ and dβ, where no activation decides what is summed.
    fn wrong_in_sums(&self, arrays: &Arrays<T>) -> Result<Option<String>> {
        for (name, array, which) in [("dbeta", &arrays.dbeta, 0), ("dgamma", &arrays.dgamma, 1)] {
            if let Some(unwritten) = self.unwritten(name, array)? {
                return Ok(Some(unwritten));
            }
            for channel in &self.channels {
                let found = self.value(array, channel.index)?.to_f64();
                let count = channel.shape.values_per_channel() as f64;
                let expected = channel.gradients[0][which] * count;
                let near = (found - expected).abs() <= TOLERANCE_OF_SUMS * count;
                if !near {
                    return Ok(Some(format!(
                        "{name} of channel {} is {found}, the textbook has {expected}",
                        channel.index
                    )));
                }
            }
        }
        Ok(None)
    }

    fn unwritten<U: Element>(&self, name: &str, array: &CudaBuffer<U>) -> Result<Option<String>> {
        let words = self.kernels.count_unwritten(array)?;
        Ok((words > 0).then(|| format!("{words} words of {name} were not written")))
    }

    fn value<U: Element>(&self, array: &CudaBuffer<U>, at: usize) -> Result<U> {
        use batchnorm::backend::Memory;
        let one = array.slice(at..=at);
        let values = self.machine.gpu.download::<U>((&one).into())?;
        Ok(values[0])
    }
}

/// Two units in the last place of a half; more than f32 sums of any of the table's sizes lose.
fn tolerance<T: Element>() -> f64 {
    match T::DTYPE {
        DType::F16 => 2f64.powi(-9),
        DType::BF16 => 2f64.powi(-6),
        _ => 2f64.powi(-12),
    }
}
