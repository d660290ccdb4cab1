//! A device's memory is that of the backend it turned out to be.

use std::ops::Range;

use crate::arrays::view::{View, ViewMut};
use crate::backend::memory::Memory;
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::device::downcast::downcast;
use crate::device::{Device, DeviceBuffer, DeviceSlice, DeviceSliceMut};
use crate::element::Element;
use crate::error::Result;

/// What the processor lends, a device that is the processor can read.
impl<'a, T: Element> From<View<'a, T, Cpu>> for View<'a, T, Device> {
    fn from(View { shape, values }: View<'a, T, Cpu>) -> Self {
        View {
            shape,
            values: DeviceSlice::Cpu(values),
        }
    }
}

/// And write.
impl<'a, T: Element> From<ViewMut<'a, T, Cpu>> for ViewMut<'a, T, Device> {
    fn from(ViewMut { shape, values }: ViewMut<'a, T, Cpu>) -> Self {
        ViewMut {
            shape,
            values: DeviceSliceMut::Cpu(values),
        }
    }
}

/// An arm for each backend: what the pattern holds, in what the expression makes of it.
macro_rules! each {
    ($value:expr, $from:ident($inner:ident) as $backend:ident => $to:ident($made:expr)) => {
        match $value {
            $from::Cpu($inner) => {
                type $backend = Cpu;
                $to::Cpu($made)
            }
            #[cfg(feature = "cuda")]
            $from::Cuda($inner) => {
                type $backend = Cuda;
                $to::Cuda($made)
            }
        }
    };
}

impl Memory for Device {
    type Buffer<T: Element> = DeviceBuffer<T>;
    type Slice<'a, T: Element> = DeviceSlice<'a, T>;
    type SliceMut<'a, T: Element> = DeviceSliceMut<'a, T>;

    fn unspecified<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        Ok(each!(self, Device(backend) as On => DeviceBuffer(On::unspecified(backend, len)?)))
    }
    fn zeros<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        Ok(each!(self, Device(backend) as On => DeviceBuffer(On::zeros(backend, len)?)))
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<DeviceBuffer<T>> {
        Ok(each!(self, Device(backend) as On => DeviceBuffer(On::upload(backend, values)?)))
    }
    fn download<T: Element>(&self, memory: DeviceSlice<'_, T>) -> Result<Vec<T>> {
        match self {
            Device::Cpu(cpu) => cpu.download::<T>(downcast::<Cpu, _>(memory)?),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.download::<T>(downcast::<Cuda, _>(memory)?),
        }
    }
    fn take_over<T: Element>(&self, values: Vec<T>) -> Result<DeviceBuffer<T>> {
        Ok(each!(self, Device(backend) as On => DeviceBuffer(On::take_over(backend, values)?)))
    }
    fn give_up<T: Element>(&self, buffer: DeviceBuffer<T>) -> Result<Vec<T>> {
        match buffer {
            // Wherever it is, it is the processor's.
            DeviceBuffer::Cpu(values) => values.into_vector(),
            #[cfg(feature = "cuda")]
            other @ DeviceBuffer::Cuda(_) => self.download(Self::as_slice(&other)),
        }
    }
    fn copy<T: Element>(&self, from: DeviceSlice<'_, T>, to: DeviceSliceMut<'_, T>) -> Result<()> {
        match self {
            Device::Cpu(cpu) => cpu.copy::<T>(downcast::<Cpu, _>(from)?, downcast::<Cpu, _>(to)?),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                gpu.copy::<T>(downcast::<Cuda, _>(from)?, downcast::<Cuda, _>(to)?)
            }
        }
    }
    fn as_slice<T: Element>(buffer: &DeviceBuffer<T>) -> DeviceSlice<'_, T> {
        each!(buffer, DeviceBuffer(own) as On => DeviceSlice(On::as_slice(own)))
    }
    fn as_slice_mut<T: Element>(buffer: &mut DeviceBuffer<T>) -> DeviceSliceMut<'_, T> {
        each!(buffer, DeviceBuffer(own) as On => DeviceSliceMut(On::as_slice_mut(own)))
    }
    fn reborrow<'a, T: Element>(slice: &'a DeviceSliceMut<'_, T>) -> DeviceSlice<'a, T> {
        each!(slice, DeviceSliceMut(own) as On => DeviceSlice(On::reborrow(own)))
    }
    fn reborrow_mut<'a, T: Element>(slice: &'a mut DeviceSliceMut<'_, T>) -> DeviceSliceMut<'a, T> {
        each!(slice, DeviceSliceMut(own) as On => DeviceSliceMut(On::reborrow_mut(own)))
    }
    fn shorten<'short, 'long: 'short, T: Element>(
        slice: DeviceSlice<'long, T>,
    ) -> DeviceSlice<'short, T> {
        slice
    }
    fn subslice<'a, T: Element>(
        slice: &'a DeviceSlice<'_, T>,
        range: Range<usize>,
    ) -> Result<DeviceSlice<'a, T>> {
        Ok(each!(slice, DeviceSlice(own) as On => DeviceSlice(On::subslice(own, range)?)))
    }
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut DeviceSliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<DeviceSliceMut<'a, T>> {
        Ok(each!(slice, DeviceSliceMut(own) as On => DeviceSliceMut(On::subslice_mut(own, range)?)))
    }
    fn len<T: Element>(slice: &DeviceSlice<'_, T>) -> usize {
        match slice {
            DeviceSlice::Cpu(slice) => slice.len(),
            #[cfg(feature = "cuda")]
            DeviceSlice::Cuda(slice) => slice.len(),
        }
    }
    fn release_retained(&self) -> Result<()> {
        match self {
            Device::Cpu(cpu) => cpu.release_retained(),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.release_retained(),
        }
    }
}
