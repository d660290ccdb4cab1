//! Activations, what is saved of them, and the residual, as `kernels/arguments.cuh` has them.

use crate::backend::activation::Activation;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::saved_activation::SavedActivation;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::gpu::GpuMask;
use crate::gpu::arguments::{ActivationCode, Saved, aligned};
use crate::gpu::driver::Driver;
use crate::gpu::launcher::Launcher;

impl<'a, D: Driver> Launcher<'a, D> {
    pub(super) fn epilogue<'longer: 'a, T: Element>(
        &mut self,
        epilogue: &'a mut Epilogue<D::Slice<'longer, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
    ) -> Result<()> {
        self.choose(epilogue.activation);
        if let Some(residual) = epilogue.residual {
            self.residual::<T>(residual)?;
        }
        match &mut epilogue.saved {
            SavedActivation::Nothing => {}
            SavedActivation::Mask(mask) => {
                let mask = self.write_reborrowed(D::as_slice_mut(&mut mask.memory))?;
                self.saved_mask(mask);
            }
            SavedActivation::PreActivation(values) => {
                let values = self.write::<T>(values)?;
                self.saved_values(values);
            }
            SavedActivation::Output(_) => return Err(no_kernel()),
        }
        Ok(())
    }

    pub(super) fn activation<'longer: 'a, T: Element>(
        &mut self,
        backward: ActivationBackward<&'a GpuMask<D>, D::Slice<'longer, T>>,
    ) -> Result<()> {
        self.choose(backward.activation);
        match backward.saved {
            SavedActivation::Nothing => {}
            SavedActivation::Mask(mask) => {
                let mask = self.read(D::as_slice(&mask.memory))?;
                self.saved_mask(mask);
            }
            SavedActivation::PreActivation(values) => {
                let values = self.read::<T>(values)?;
                self.saved_values(values);
            }
            SavedActivation::Output(_) => return Err(no_kernel()),
        }
        Ok(())
    }

    fn choose(&mut self, activation: Activation) {
        self.arguments.choices.activation = match activation {
            Activation::None => ActivationCode::None,
            Activation::Relu => ActivationCode::Relu,
            Activation::Relu6 => ActivationCode::Relu6,
            Activation::LeakyRelu { slope } => {
                self.arguments.numbers.parameter = slope;
                ActivationCode::LeakyRelu
            }
            Activation::Elu { alpha } => {
                self.arguments.numbers.parameter = alpha;
                ActivationCode::Elu
            }
            Activation::Hardswish => ActivationCode::Hardswish,
            Activation::Sigmoid => ActivationCode::Sigmoid,
            Activation::Tanh => ActivationCode::Tanh,
            Activation::Silu => ActivationCode::Silu,
            Activation::Gelu => ActivationCode::Gelu,
            Activation::GeluTanh => ActivationCode::GeluTanh,
        };
    }

    fn saved_mask(&mut self, mask: u64) {
        self.arguments.choices.saved = Saved::Mask;
        self.arguments.arrays.mask = mask;
    }

    fn saved_values(&mut self, values: u64) {
        self.arguments.choices.saved = Saved::PreActivation;
        self.arguments.arrays.preactivation = values;
        self.align(values, aligned::PREACTIVATION);
    }
}

/// Of a backward pass from y, which the forward pass is refused for.
pub(super) fn no_kernel() -> Error {
    Error::Value {
        what: "the device of a pass that keeps y instead of x",
        found: "a GPU".to_owned(),
        needed: "the processor: there is no GPU kernel for it yet",
    }
}
