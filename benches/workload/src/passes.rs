//! The passes that are measured: what each must read and write, and how it is called.

use batchnorm::backend::{
    Activation, ActivationBackward, Backend, Epilogue, InOut, SavedActivation, StatisticsSource,
};
use batchnorm::{Cpu, CpuMask, Element, Result, Shape};

use crate::problem::{Arrays, Channels};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The batch's statistics, and y.
    ForwardTraining,
    ForwardTrainingRelu,
    ForwardTrainingAdd,
    /// A mask is written, too.
    ForwardTrainingAddRelu,
    /// dγ, dβ and dx.
    Backward,
    /// ReLU is recomputed from x.
    BackwardRelu,
    /// A mask is read, and the residual's gradient written.
    BackwardAddRelu,
    /// dγ, dβ and dx of running statistics.
    BackwardFrozen,
    /// dx alone, which then takes no x: γ and β are frozen, too.
    BackwardFrozenInput,
    /// y of known statistics.
    Inference,
    InferenceRelu,
    InferenceAddRelu,
}

impl Pass {
    pub const ALL: [Self; 12] = [
        Self::ForwardTraining,
        Self::ForwardTrainingRelu,
        Self::ForwardTrainingAdd,
        Self::ForwardTrainingAddRelu,
        Self::Backward,
        Self::BackwardRelu,
        Self::BackwardAddRelu,
        Self::BackwardFrozen,
        Self::BackwardFrozenInput,
        Self::Inference,
        Self::InferenceRelu,
        Self::InferenceAddRelu,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ForwardTraining => "forward_training",
            Self::ForwardTrainingRelu => "forward_training_relu",
            Self::ForwardTrainingAdd => "forward_training_add",
            Self::ForwardTrainingAddRelu => "forward_training_add_relu",
            Self::Backward => "backward",
            Self::BackwardRelu => "backward_relu",
            Self::BackwardAddRelu => "backward_add_relu",
            Self::BackwardFrozen => "backward_frozen",
            Self::BackwardFrozenInput => "backward_frozen_input",
            Self::Inference => "inference",
            Self::InferenceRelu => "inference_relu",
            Self::InferenceAddRelu => "inference_add_relu",
        }
    }

    /// How many arrays of x's shape must be read or written, however clever the pass.
    pub fn arrays(self) -> usize {
        match self {
            Self::ForwardTraining
            | Self::ForwardTrainingRelu
            | Self::Inference
            | Self::InferenceRelu
            | Self::BackwardFrozenInput => 2,
            Self::ForwardTrainingAdd
            | Self::ForwardTrainingAddRelu
            | Self::InferenceAddRelu
            | Self::Backward
            | Self::BackwardRelu
            | Self::BackwardFrozen => 3,
            Self::BackwardAddRelu => 4,
        }
    }

    /// The bytes that must be read and written: those arrays, and one bit a value of a mask.
    pub fn bytes<T: Element>(self, shape: &Shape) -> usize {
        let mask = match self {
            Self::ForwardTrainingAddRelu | Self::BackwardAddRelu => shape.len().div_ceil(8),
            _ => 0,
        };
        self.arrays() * shape.len() * size_of::<T>() + mask
    }

    /// Runs it once.
    pub fn run<T: Element>(
        self,
        cpu: &Cpu,
        shape: &Shape,
        arrays: &mut Arrays<T>,
        channels: &mut Channels<T::Compute>,
    ) -> Result<()> {
        let Arrays {
            x,
            dy,
            out,
            second,
            mask,
        } = arrays;
        let (running, batch) = (StatisticsSource::Running, StatisticsSource::Batch);
        let (source, activation, dresidual) = match self {
            Self::ForwardTraining => {
                return train(cpu, shape, x, Epilogue::of(Activation::None), out, channels);
            }
            Self::ForwardTrainingRelu => {
                return train(cpu, shape, x, Epilogue::of(Activation::Relu), out, channels);
            }
            Self::ForwardTrainingAdd => {
                return train(
                    cpu,
                    shape,
                    x,
                    Epilogue::of(Activation::None).with_residual(second.as_slice()),
                    out,
                    channels,
                );
            }
            Self::ForwardTrainingAddRelu => {
                let epilogue = Epilogue {
                    saved: SavedActivation::Mask(mask),
                    ..Epilogue::of(Activation::Relu).with_residual(second.as_slice())
                };
                return train(cpu, shape, x, epilogue, out, channels);
            }
            Self::Inference => {
                return infer(cpu, shape, x, Epilogue::of(Activation::None), out, channels);
            }
            Self::InferenceRelu => {
                return infer(cpu, shape, x, Epilogue::of(Activation::Relu), out, channels);
            }
            Self::InferenceAddRelu => {
                return infer(
                    cpu,
                    shape,
                    x,
                    Epilogue::of(Activation::Relu).with_residual(second.as_slice()),
                    out,
                    channels,
                );
            }
            Self::BackwardFrozenInput => {
                let (with, _) = channels.backward();
                let dy_to_dx = InOut::Separate(dy.as_slice(), out.as_mut_slice());
                return cpu.backward_input(
                    shape,
                    dy_to_dx,
                    x,
                    with,
                    ActivationBackward::of(Activation::None),
                    None,
                    None,
                );
            }
            Self::BackwardFrozen => (running, ActivationBackward::of(Activation::None), None),
            Self::Backward => (batch, ActivationBackward::of(Activation::None), None),
            Self::BackwardRelu => (batch, ActivationBackward::of(Activation::Relu), None),
            Self::BackwardAddRelu => (
                batch,
                ActivationBackward {
                    activation: Activation::Relu,
                    saved: SavedActivation::Mask(&*mask),
                },
                Some(second.as_mut_slice()),
            ),
        };
        let (with, sums) = channels.backward();
        let dy_to_dx = InOut::Separate(dy.as_slice(), out.as_mut_slice());
        cpu.backward(
            shape, dy_to_dx, x, with, source, activation, dresidual, sums,
        )
    }
}

fn train<T: Element>(
    cpu: &Cpu,
    shape: &Shape,
    x: &[T],
    epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
    y: &mut [T],
    channels: &mut Channels<T::Compute>,
) -> Result<()> {
    let (affine, out) = channels.training();
    cpu.forward_training(shape, x, affine, epilogue, y, out)
}

fn infer<T: Element>(
    cpu: &Cpu,
    shape: &Shape,
    x: &[T],
    epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
    y: &mut [T],
    channels: &mut Channels<T::Compute>,
) -> Result<()> {
    let (with, _) = channels.backward();
    cpu.normalize(shape, InOut::Separate(x, y), with, epilogue)
}
