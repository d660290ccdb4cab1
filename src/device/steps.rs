//! The contract on whatever the device is: one `match` for each step.

use std::ops::Range;

use super::operands::On;
use super::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
use crate::backend::{
    Affine, Backend, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization,
    Statistics, StatisticsMut, StatisticsSource,
};
use crate::{Compute, Cpu, Element, Result, Shape};

/// An operand on the processor, or the error that it is elsewhere.
fn on_cpu<O: On<Cpu>>(operand: O) -> Result<O::Operand> {
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
        }
    }

    fn upload<T: Element>(&self, values: &[T]) -> Result<DeviceBuffer<T>> {
        match self {
            Device::Cpu(cpu) => cpu.upload(values).map(DeviceBuffer::Cpu),
        }
    }

    fn download<T: Element>(&self, memory: DeviceSlice<'_, T>) -> Result<Vec<T>> {
        match self {
            Device::Cpu(cpu) => cpu.download::<T>(on_cpu(memory)?),
        }
    }

    fn copy<T: Element>(&self, from: DeviceSlice<'_, T>, to: DeviceSliceMut<'_, T>) -> Result<()> {
        match self {
            Device::Cpu(cpu) => cpu.copy::<T>(on_cpu(from)?, on_cpu(to)?),
        }
    }

    fn mask(&self, shape: &Shape) -> Result<DeviceMask> {
        match self {
            Device::Cpu(cpu) => cpu.mask(shape).map(DeviceMask::Cpu),
        }
    }

    fn lend<T: Element>(buffer: &DeviceBuffer<T>) -> DeviceSlice<'_, T> {
        match buffer {
            DeviceBuffer::Cpu(buffer) => DeviceSlice::Cpu(buffer),
        }
    }

    fn lend_mut<T: Element>(buffer: &mut DeviceBuffer<T>) -> DeviceSliceMut<'_, T> {
        match buffer {
            DeviceBuffer::Cpu(buffer) => DeviceSliceMut::Cpu(buffer),
        }
    }

    fn relend<'a, T: Element>(slice: &'a DeviceSliceMut<'_, T>) -> DeviceSlice<'a, T> {
        match slice {
            DeviceSliceMut::Cpu(slice) => DeviceSlice::Cpu(slice),
        }
    }

    fn relend_mut<'a, T: Element>(slice: &'a mut DeviceSliceMut<'_, T>) -> DeviceSliceMut<'a, T> {
        match slice {
            DeviceSliceMut::Cpu(slice) => DeviceSliceMut::Cpu(slice),
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
        }
    }

    fn part_mut<'a, T: Element>(
        slice: &'a mut DeviceSliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<DeviceSliceMut<'a, T>> {
        match slice {
            DeviceSliceMut::Cpu(slice) => Cpu::part_mut(slice, range).map(DeviceSliceMut::Cpu),
        }
    }

    fn len<T: Element>(slice: &DeviceSlice<'_, T>) -> usize {
        match slice {
            DeviceSlice::Cpu(slice) => slice.len(),
        }
    }

    fn statistics<T: Element>(
        &self,
        shape: &Shape,
        x: DeviceSlice<'_, T>,
        epsilon: f64,
        out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        match self {
            Device::Cpu(cpu) => cpu.statistics::<T>(shape, on_cpu(x)?, epsilon, on_cpu(out)?),
        }
    }

    fn inverse_std<C: Compute>(
        &self,
        variance: DeviceSlice<'_, C>,
        epsilon: f64,
        inv_std: DeviceSliceMut<'_, C>,
    ) -> Result<()> {
        match self {
            Device::Cpu(cpu) => cpu.inverse_std::<C>(on_cpu(variance)?, epsilon, on_cpu(inv_std)?),
        }
    }

    fn update_running<C: Compute>(
        &self,
        batch: Statistics<'_, Self, C>,
        factor: f64,
        correction: f64,
        running_mean: DeviceSliceMut<'_, C>,
        running_variance: DeviceSliceMut<'_, C>,
    ) -> Result<()> {
        match self {
            Device::Cpu(cpu) => cpu.update_running::<C>(
                on_cpu(batch)?,
                factor,
                correction,
                on_cpu(running_mean)?,
                on_cpu(running_variance)?,
            ),
        }
    }

    fn normalize<T: Element>(
        &self,
        shape: &Shape,
        x_to_y: InOut<DeviceSlice<'_, T>, DeviceSliceMut<'_, T>>,
        with: Normalization<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
    ) -> Result<()> {
        match self {
            Device::Cpu(cpu) => {
                cpu.normalize::<T>(shape, on_cpu(x_to_y)?, on_cpu(with)?, on_cpu(epilogue)?)
            }
        }
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
        match self {
            Device::Cpu(cpu) => cpu.backward_reduce::<T>(
                shape,
                on_cpu(dy)?,
                on_cpu(x)?,
                on_cpu(with)?,
                on_cpu(gate)?,
                on_cpu(out)?,
            ),
        }
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
        match self {
            Device::Cpu(cpu) => cpu.backward_input::<T>(
                shape,
                on_cpu(dy_to_dx)?,
                on_cpu(x)?,
                on_cpu(with)?,
                on_cpu(gate)?,
                on_cpu(sums)?,
                on_cpu(dresidual)?,
            ),
        }
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
        match self {
            Device::Cpu(cpu) => cpu.forward_training::<T>(
                shape,
                on_cpu(x)?,
                on_cpu(affine)?,
                on_cpu(epilogue)?,
                on_cpu(y)?,
                on_cpu(out)?,
            ),
        }
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
        match self {
            Device::Cpu(cpu) => cpu.backward::<T>(
                shape,
                on_cpu(dy_to_dx)?,
                on_cpu(x)?,
                on_cpu(with)?,
                source,
                on_cpu(gate)?,
                on_cpu(dresidual)?,
                on_cpu(out)?,
            ),
        }
    }
}
