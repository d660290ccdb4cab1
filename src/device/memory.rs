//! A device's memory is that of the backend it turned out to be.

use std::ops::Range;

use crate::arrays::view::{View, ViewMut};
use crate::backend::memory::Memory;
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::device::downcast::downcast;
use crate::device::each_backend::each_backend;
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

impl Memory for Device {
    type Buffer<T: Element> = DeviceBuffer<T>;
    type Slice<'a, T: Element> = DeviceSlice<'a, T>;
    type SliceMut<'a, T: Element> = DeviceSliceMut<'a, T>;

    fn unspecified<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        Ok(each_backend!(self, Device(own) as On into DeviceBuffer => On::unspecified(own, len)?))
    }
    fn zeros<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        Ok(each_backend!(self, Device(own) as On into DeviceBuffer => On::zeros(own, len)?))
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<DeviceBuffer<T>> {
        Ok(each_backend!(self, Device(own) as On into DeviceBuffer => On::upload(own, values)?))
    }
    fn download<T: Element>(&self, memory: DeviceSlice<'_, T>) -> Result<Vec<T>> {
        each_backend!(self, Device(own) as On => own.download::<T>(downcast::<On, _>(memory)?))
    }
    fn take_over<T: Element>(&self, values: Vec<T>) -> Result<DeviceBuffer<T>> {
        Ok(each_backend!(self, Device(own) as On into DeviceBuffer => On::take_over(own, values)?))
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
        each_backend!(self, Device(own) as On => {
            own.copy::<T>(downcast::<On, _>(from)?, downcast::<On, _>(to)?)
        })
    }
    fn as_slice<T: Element>(buffer: &DeviceBuffer<T>) -> DeviceSlice<'_, T> {
        each_backend!(buffer, DeviceBuffer(own) as On into DeviceSlice => On::as_slice(own))
    }
    fn as_slice_mut<T: Element>(buffer: &mut DeviceBuffer<T>) -> DeviceSliceMut<'_, T> {
        each_backend!(buffer, DeviceBuffer(own) as On into DeviceSliceMut => On::as_slice_mut(own))
    }
    fn reborrow<'a, T: Element>(slice: &'a DeviceSliceMut<'_, T>) -> DeviceSlice<'a, T> {
        each_backend!(slice, DeviceSliceMut(own) as On into DeviceSlice => On::reborrow(own))
    }
    fn reborrow_mut<'a, T: Element>(slice: &'a mut DeviceSliceMut<'_, T>) -> DeviceSliceMut<'a, T> {
        each_backend!(slice, DeviceSliceMut(own) as On into DeviceSliceMut => On::reborrow_mut(own))
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
        Ok(
            each_backend!(slice, DeviceSlice(own) as On into DeviceSlice => On::subslice(own, range)?),
        )
    }
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut DeviceSliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<DeviceSliceMut<'a, T>> {
        Ok(
            each_backend!(slice, DeviceSliceMut(own) as On into DeviceSliceMut => On::subslice_mut(own, range)?),
        )
    }
    fn len<T: Element>(slice: &DeviceSlice<'_, T>) -> usize {
        each_backend!(slice, DeviceSlice(own) as On => On::len(own))
    }
    fn release_retained(&self) -> Result<()> {
        each_backend!(self, Device(own) as On => On::release_retained(own))
    }
}
