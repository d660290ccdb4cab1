//! A GPU whose launches are planned as for another device: sums are then cut as they are there.
#![expect(unsafe_code, reason = "a launch is passed on to the driver")]

use std::ops::Range;

use batchnorm::backend::Memory;
use batchnorm::cuda::CudaDriver;
use batchnorm::gpu::internal::{Arguments, Driver, Launched};
use batchnorm::gpu::{Attributes, Gpu, Launch};
use batchnorm::{Cuda, Element, Result};

/// The driver, but for the numbers that it tells a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlannedFor {
    driver: CudaDriver,
    device: Attributes,
}

impl PlannedFor {
    /// The numbers must be of a device that has no more of anything than the GPU.
    pub(crate) fn device(gpu: &Cuda, device: Attributes) -> Gpu<Self> {
        let driver = gpu.driver().clone();
        Gpu::on(Self { driver, device })
    }
}

impl Driver for PlannedFor {
    type Guard<'a> = <CudaDriver as Driver>::Guard<'a>;

    fn address<'a, T: Element>(
        &'a self,
        slice: Self::Slice<'a, T>,
    ) -> Result<(u64, Self::Guard<'a>)> {
        self.driver.address(slice)
    }
    fn address_mut<'a, T: Element>(
        &'a self,
        slice: Self::SliceMut<'a, T>,
    ) -> Result<(u64, Self::Guard<'a>)> {
        self.driver.address_mut(slice)
    }
    fn attributes(&self) -> &Attributes {
        &self.device
    }
    fn workspace(&self) -> u64 {
        self.driver.workspace()
    }
    unsafe fn launch(&self, launch: &Launch, arguments: &Arguments) -> Result<Launched> {
        // SAFETY: the caller's promise, which is the same.
        unsafe { self.driver.launch(launch, arguments) }
    }
}

impl Memory for PlannedFor {
    type Buffer<T: Element> = <CudaDriver as Memory>::Buffer<T>;
    type Slice<'a, T: Element> = <CudaDriver as Memory>::Slice<'a, T>;
    type SliceMut<'a, T: Element> = <CudaDriver as Memory>::SliceMut<'a, T>;

    fn unspecified<T: Element>(&self, len: usize) -> Result<Self::Buffer<T>> {
        self.driver.unspecified(len)
    }
    fn zeros<T: Element>(&self, len: usize) -> Result<Self::Buffer<T>> {
        self.driver.zeros(len)
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<Self::Buffer<T>> {
        self.driver.upload(values)
    }
    fn download<T: Element>(&self, memory: Self::Slice<'_, T>) -> Result<Vec<T>> {
        self.driver.download(memory)
    }
    fn copy<T: Element>(&self, from: Self::Slice<'_, T>, to: Self::SliceMut<'_, T>) -> Result<()> {
        self.driver.copy(from, to)
    }
    fn as_slice<T: Element>(buffer: &Self::Buffer<T>) -> Self::Slice<'_, T> {
        CudaDriver::as_slice(buffer)
    }
    fn as_slice_mut<T: Element>(buffer: &mut Self::Buffer<T>) -> Self::SliceMut<'_, T> {
        CudaDriver::as_slice_mut(buffer)
    }
    fn reborrow<'a, T: Element>(slice: &'a Self::SliceMut<'_, T>) -> Self::Slice<'a, T> {
        CudaDriver::reborrow(slice)
    }
    fn reborrow_mut<'a, T: Element>(slice: &'a mut Self::SliceMut<'_, T>) -> Self::SliceMut<'a, T> {
        CudaDriver::reborrow_mut(slice)
    }
    fn shorten<'short, 'long: 'short, T: Element>(
        slice: Self::Slice<'long, T>,
    ) -> Self::Slice<'short, T> {
        CudaDriver::shorten(slice)
    }
    fn subslice<'a, T: Element>(
        slice: &'a Self::Slice<'_, T>,
        range: Range<usize>,
    ) -> Result<Self::Slice<'a, T>> {
        CudaDriver::subslice(slice, range)
    }
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut Self::SliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<Self::SliceMut<'a, T>> {
        CudaDriver::subslice_mut(slice, range)
    }
    fn len<T: Element>(slice: &Self::Slice<'_, T>) -> usize {
        CudaDriver::len(slice)
    }
    fn release_retained(&self) -> Result<()> {
        self.driver.release_retained()
    }
}
