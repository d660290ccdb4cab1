//! A GPU's memory is its driver's.

use std::ops::Range;

use crate::backend::memory::Memory;
use crate::element::Element;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;

impl<D: Driver> Memory for Gpu<D> {
    type Buffer<T: Element> = D::Buffer<T>;
    type Slice<'a, T: Element> = D::Slice<'a, T>;
    type SliceMut<'a, T: Element> = D::SliceMut<'a, T>;

    fn unspecified<T: Element>(&self, len: usize) -> Result<D::Buffer<T>> {
        self.driver.unspecified(len)
    }
    fn zeros<T: Element>(&self, len: usize) -> Result<D::Buffer<T>> {
        self.driver.zeros(len)
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<D::Buffer<T>> {
        self.driver.upload(values)
    }
    fn download<T: Element>(&self, memory: D::Slice<'_, T>) -> Result<Vec<T>> {
        self.driver.download(memory)
    }
    fn copy<T: Element>(&self, from: D::Slice<'_, T>, to: D::SliceMut<'_, T>) -> Result<()> {
        self.driver.copy(from, to)
    }
    fn as_slice<T: Element>(buffer: &D::Buffer<T>) -> D::Slice<'_, T> {
        D::as_slice(buffer)
    }
    fn as_slice_mut<T: Element>(buffer: &mut D::Buffer<T>) -> D::SliceMut<'_, T> {
        D::as_slice_mut(buffer)
    }
    fn reborrow<'a, T: Element>(slice: &'a D::SliceMut<'_, T>) -> D::Slice<'a, T> {
        D::reborrow(slice)
    }
    fn reborrow_mut<'a, T: Element>(slice: &'a mut D::SliceMut<'_, T>) -> D::SliceMut<'a, T> {
        D::reborrow_mut(slice)
    }
    fn shorten<'short, 'long: 'short, T: Element>(
        slice: D::Slice<'long, T>,
    ) -> D::Slice<'short, T> {
        D::shorten(slice)
    }
    fn subslice<'a, T: Element>(
        slice: &'a D::Slice<'_, T>,
        range: Range<usize>,
    ) -> Result<D::Slice<'a, T>> {
        D::subslice(slice, range)
    }
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut D::SliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<D::SliceMut<'a, T>> {
        D::subslice_mut(slice, range)
    }
    fn len<T: Element>(slice: &D::Slice<'_, T>) -> usize {
        D::len(slice)
    }
    fn release_retained(&self) -> Result<()> {
        self.driver.release_retained()
    }
}
