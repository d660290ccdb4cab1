//! The contract on whatever the device is.

use std::ops::Range;

use crate::backend::Backend;
use crate::backend::operands::{
    Affine, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization, Statistics,
    StatisticsMut, StatisticsSource,
};
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::device::operands::On;
use crate::device::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// Calls a step of whichever backend the device is, with its operands moved there, or fails with where they are.
macro_rules! on_its_backend {
    ($device:expr, $backend:ident, $on:ident => $step:expr) => {
        match $device {
            Device::Cpu($backend) => {
                use on_cpu as $on;
                $step
            }
            #[cfg(feature = "cuda")]
            Device::Cuda($backend) => {
                use on_cuda as $on;
                $step
            }
        }
    };
}

fn on_cpu<O: On<Cpu>>(operand: O) -> Result<O::Operand> {
    operand.on()
}

#[cfg(feature = "cuda")]
fn on_cuda<O: On<Cuda>>(operand: O) -> Result<O::Operand> {
    operand.on()
}

impl Backend for Device {
    type Buffer<T: Element> = DeviceBuffer<T>;
    type Slice<'a, T: Element> = DeviceSlice<'a, T>;
    type SliceMut<'a, T: Element> = DeviceSliceMut<'a, T>;
    type Mask = DeviceMask;

    fn zeros<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        match self {
            Device::Cpu(cpu) => cpu.zeros(len).map(DeviceBuffer::Cpu),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.zeros(len).map(DeviceBuffer::Cuda),
        }
    }

    fn upload<T: Element>(&self, values: &[T]) -> Result<DeviceBuffer<T>> {
        match self {
            Device::Cpu(cpu) => cpu.upload(values).map(DeviceBuffer::Cpu),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.upload(values).map(DeviceBuffer::Cuda),
        }
    }

    fn download<T: Element>(&self, memory: DeviceSlice<'_, T>) -> Result<Vec<T>> {
        on_its_backend!(self, backend, on => backend.download::<T>(on(memory)?))
    }

    fn copy<T: Element>(&self, from: DeviceSlice<'_, T>, to: DeviceSliceMut<'_, T>) -> Result<()> {
        on_its_backend!(self, backend, on => backend.copy::<T>(on(from)?, on(to)?))
    }

    fn mask<T: Element>(&self, shape: &Shape) -> Result<DeviceMask> {
        match self {
            Device::Cpu(cpu) => cpu.mask::<T>(shape).map(DeviceMask::Cpu),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.mask::<T>(shape).map(DeviceMask::Cuda),
        }
    }

    fn lend<T: Element>(buffer: &DeviceBuffer<T>) -> DeviceSlice<'_, T> {
        match buffer {
            DeviceBuffer::Cpu(buffer) => DeviceSlice::Cpu(buffer),
            #[cfg(feature = "cuda")]
            DeviceBuffer::Cuda(buffer) => DeviceSlice::Cuda(buffer.into()),
        }
    }

    fn lend_mut<T: Element>(buffer: &mut DeviceBuffer<T>) -> DeviceSliceMut<'_, T> {
        match buffer {
            DeviceBuffer::Cpu(buffer) => DeviceSliceMut::Cpu(buffer),
            #[cfg(feature = "cuda")]
            DeviceBuffer::Cuda(buffer) => DeviceSliceMut::Cuda(buffer.into()),
        }
    }

    fn relend<'a, T: Element>(slice: &'a DeviceSliceMut<'_, T>) -> DeviceSlice<'a, T> {
        match slice {
            DeviceSliceMut::Cpu(slice) => DeviceSlice::Cpu(slice),
            #[cfg(feature = "cuda")]
            DeviceSliceMut::Cuda(slice) => DeviceSlice::Cuda(Cuda::relend(slice)),
        }
    }

    fn relend_mut<'a, T: Element>(slice: &'a mut DeviceSliceMut<'_, T>) -> DeviceSliceMut<'a, T> {
        match slice {
            DeviceSliceMut::Cpu(slice) => DeviceSliceMut::Cpu(slice),
            #[cfg(feature = "cuda")]
            DeviceSliceMut::Cuda(slice) => DeviceSliceMut::Cuda(Cuda::relend_mut(slice)),
        }
    }

    fn narrow<'short, 'long: 'short, T: Element>(
        slice: DeviceSlice<'long, T>,
    ) -> DeviceSlice<'short, T> {
        slice
    }

    fn part<'a, T: Element>(
        slice: &'a DeviceSlice<'_, T>,
        range: Range<usize>,
    ) -> Result<DeviceSlice<'a, T>> {
        match slice {
            DeviceSlice::Cpu(slice) => Cpu::part(slice, range).map(DeviceSlice::Cpu),
            #[cfg(feature = "cuda")]
            DeviceSlice::Cuda(slice) => Cuda::part(slice, range).map(DeviceSlice::Cuda),
        }
    }

    fn part_mut<'a, T: Element>(
        slice: &'a mut DeviceSliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<DeviceSliceMut<'a, T>> {
        match slice {
            DeviceSliceMut::Cpu(slice) => Cpu::part_mut(slice, range).map(DeviceSliceMut::Cpu),
            #[cfg(feature = "cuda")]
            DeviceSliceMut::Cuda(slice) => Cuda::part_mut(slice, range).map(DeviceSliceMut::Cuda),
        }
    }

    fn len<T: Element>(slice: &DeviceSlice<'_, T>) -> usize {
        match slice {
            DeviceSlice::Cpu(slice) => slice.len(),
            #[cfg(feature = "cuda")]
            DeviceSlice::Cuda(slice) => slice.len(),
        }
    }

    fn statistics<T: Element>(
        &self,
        shape: &Shape,
        x: DeviceSlice<'_, T>,
        epsilon: f64,
        out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.statistics::<T>(shape, on(x)?, epsilon, on(out)?))
    }

    fn inverse_std<C: Compute>(
        &self,
        variance: DeviceSlice<'_, C>,
        epsilon: f64,
        inv_std: DeviceSliceMut<'_, C>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.inverse_std::<C>(on(variance)?, epsilon, on(inv_std)?))
    }

    fn update_running<C: Compute>(
        &self,
        batch: Statistics<'_, Self, C>,
        factor: f64,
        correction: f64,
        running_mean: DeviceSliceMut<'_, C>,
        running_variance: DeviceSliceMut<'_, C>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.update_running::<C>(
            on(batch)?,
            factor,
            correction,
            on(running_mean)?,
            on(running_variance)?,
        ))
    }

    fn normalize<T: Element>(
        &self,
        shape: &Shape,
        x_to_y: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        with: Normalization<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.normalize::<T>(shape, on(x_to_y)?, on(with)?, on(epilogue)?))
    }

    fn backward_reduce<T: Element>(
        &self,
        shape: &Shape,
        dy: DeviceSlice<'_, T>,
        x: DeviceSlice<'_, T>,
        with: Normalization<'_, Self, T::Compute>,
        gate: Gate<'_, Self>,
        out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.backward_reduce::<T>(
            shape,
            on(dy)?,
            on(x)?,
            on(with)?,
            on(gate)?,
            on(out)?,
        ))
    }

    fn backward_input<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        x: DeviceSlice<'_, T>,
        with: Normalization<'_, Self, T::Compute>,
        gate: Gate<'_, Self>,
        sums: Option<GradientSums<'_, Self, T::Compute>>,
        dresidual: Option<DeviceSliceMut<'_, T>>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.backward_input::<T>(
            shape,
            on(dy_to_dx)?,
            on(x)?,
            on(with)?,
            on(gate)?,
            on(sums)?,
            on(dresidual)?,
        ))
    }

    fn forward_training<T: Element>(
        &self,
        shape: &Shape,
        x: DeviceSlice<'_, T>,
        affine: Affine<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
        y: DeviceSliceMut<'_, T>,
        out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.forward_training::<T>(
            shape,
            on(x)?,
            on(affine)?,
            on(epilogue)?,
            on(y)?,
            on(out)?,
        ))
    }

    fn backward<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        x: DeviceSlice<'_, T>,
        with: Normalization<'_, Self, T::Compute>,
        source: StatisticsSource,
        gate: Gate<'_, Self>,
        dresidual: Option<DeviceSliceMut<'_, T>>,
        out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        on_its_backend!(self, backend, on => backend.backward::<T>(
            shape,
            on(dy_to_dx)?,
            on(x)?,
            on(with)?,
            source,
            on(gate)?,
            on(dresidual)?,
            on(out)?,
        ))
    }
}
