//! The steps on whatever the device is.

use crate::backend::checked::Checked;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, InOut, Normalization, RunningMut, Statistics,
    StatisticsMut, StatisticsSource,
};
use crate::backend::steps::Steps;
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::device::downcast::Downcast;
use crate::device::{Device, DeviceMask, DeviceSlice, DeviceSliceMut};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// Calls a step of whichever backend the device is, with its operands downcast, or fails with where they are.
macro_rules! on_its_backend {
    ($device:expr, $backend:ident, $to:ident => $step:expr) => {
        match $device {
            Device::Cpu($backend) => {
                use to_cpu as $to;
                $step
            }
            #[cfg(feature = "cuda")]
            Device::Cuda($backend) => {
                use to_cuda as $to;
                $step
            }
        }
    };
}

fn to_cpu<O: Downcast<Cpu>>(operand: O) -> Result<O::Concrete> {
    operand.downcast()
}

#[cfg(feature = "cuda")]
fn to_cuda<O: Downcast<Cuda>>(operand: O) -> Result<O::Concrete> {
    operand.downcast()
}

impl Steps for Device {
    type Mask = DeviceMask;

    fn new_mask<T: Element>(&self, shape: &Shape) -> Result<DeviceMask> {
        match self {
            Device::Cpu(cpu) => cpu.new_mask::<T>(shape).map(DeviceMask::Cpu),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.new_mask::<T>(shape).map(DeviceMask::Cuda),
        }
    }

    fn check_mask<T: Element>(shape: &Shape, mask: &DeviceMask) -> Result<()> {
        match mask {
            DeviceMask::Cpu(mask) => Cpu::check_mask::<T>(shape, mask),
            #[cfg(feature = "cuda")]
            DeviceMask::Cuda(mask) => Cuda::check_mask::<T>(shape, mask),
        }
    }

    fn run_statistics<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x: DeviceSlice<'_, T>,
        epsilon: f64,
        out: StatisticsMut<DeviceSliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_statistics::<T>(checked, shape, to(x)?, epsilon, to(out)?))
    }

    fn run_inverse_std<C: Compute>(
        &self,
        checked: Checked,
        variance: DeviceSlice<'_, C>,
        epsilon: f64,
        inv_std: DeviceSliceMut<'_, C>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_inverse_std::<C>(checked, to(variance)?, epsilon, to(inv_std)?))
    }

    fn run_update_running<C: Compute>(
        &self,
        checked: Checked,
        batch: Statistics<DeviceSlice<'_, C>>,
        running: RunningMut<DeviceSliceMut<'_, C>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_update_running::<C>(checked, to(batch)?, to(running)?))
    }

    fn run_normalize<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x_to_y: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        with: Normalization<DeviceSlice<'_, T::Compute>>,
        epilogue: Epilogue<DeviceSlice<'_, T>, &mut DeviceMask, DeviceSliceMut<'_, T>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_normalize::<T>(checked, shape, to(x_to_y)?, to(with)?, to(epilogue)?))
    }

    fn run_backward_reduce<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        dy: DeviceSlice<'_, T>,
        x: DeviceSlice<'_, T>,
        with: Normalization<DeviceSlice<'_, T::Compute>>,
        activation: ActivationBackward<&DeviceMask, DeviceSlice<'_, T>>,
        out: GradientSumsMut<DeviceSliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_backward_reduce::<T>(checked, shape,
            to(dy)?,
            to(x)?,
            to(with)?,
            to(activation)?,
            to(out)?,
        ))
    }

    fn run_backward_input<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        dy_to_dx: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        x: DeviceSlice<'_, T>,
        with: Normalization<DeviceSlice<'_, T::Compute>>,
        activation: ActivationBackward<&DeviceMask, DeviceSlice<'_, T>>,
        sums: Option<GradientSums<DeviceSlice<'_, T::Compute>>>,
        dresidual: Option<DeviceSliceMut<'_, T>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_backward_input::<T>(checked, shape,
            to(dy_to_dx)?,
            to(x)?,
            to(with)?,
            to(activation)?,
            to(sums)?,
            to(dresidual)?,
        ))
    }

    fn run_forward_training<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x: DeviceSlice<'_, T>,
        affine: Affine<DeviceSlice<'_, T::Compute>>,
        epilogue: Epilogue<DeviceSlice<'_, T>, &mut DeviceMask, DeviceSliceMut<'_, T>>,
        y: DeviceSliceMut<'_, T>,
        out: StatisticsMut<DeviceSliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_forward_training::<T>(checked, shape,
            to(x)?,
            to(affine)?,
            to(epilogue)?,
            to(y)?,
            to(out)?,
        ))
    }

    fn run_backward<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        dy_to_dx: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        x: DeviceSlice<'_, T>,
        with: Normalization<DeviceSlice<'_, T::Compute>>,
        source: StatisticsSource,
        activation: ActivationBackward<&DeviceMask, DeviceSlice<'_, T>>,
        dresidual: Option<DeviceSliceMut<'_, T>>,
        out: GradientSumsMut<DeviceSliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, to => backend.run_backward::<T>(checked, shape,
            to(dy_to_dx)?,
            to(x)?,
            to(with)?,
            source,
            to(activation)?,
            to(dresidual)?,
            to(out)?,
        ))
    }
}
