//! The processor's memory: vectors, and slices of them.

use std::ops::Range;

use crate::allocate::{filled, reserved};
use crate::backend::memory::{Memory, check_copy, check_range};
use crate::cpu::Cpu;
use crate::element::Element;
use crate::error::Result;

impl Memory for Cpu {
    type Buffer<T: Element> = Vec<T>;
    type Slice<'a, T: Element> = &'a [T];
    type SliceMut<'a, T: Element> = &'a mut [T];

    fn zeros<T: Element>(&self, len: usize) -> Result<Vec<T>> {
        filled(len, T::default())
    }
    fn upload<T: Element>(&self, values: &[T]) -> Result<Vec<T>> {
        let mut buffer = reserved(values.len())?;
        buffer.extend_from_slice(values);
        Ok(buffer)
    }
    fn download<T: Element>(&self, memory: &[T]) -> Result<Vec<T>> {
        self.upload(memory)
    }
    fn take_over<T: Element>(&self, values: Vec<T>) -> Result<Vec<T>> {
        Ok(values)
    }
    fn give_up<T: Element>(&self, buffer: Vec<T>) -> Result<Vec<T>> {
        Ok(buffer)
    }
    fn copy<T: Element>(&self, from: &[T], to: &mut [T]) -> Result<()> {
        check_copy(from.len(), to.len())?;
        to.copy_from_slice(from);
        Ok(())
    }
    fn as_slice<T: Element>(buffer: &Vec<T>) -> &[T] {
        buffer
    }
    fn as_slice_mut<T: Element>(buffer: &mut Vec<T>) -> &mut [T] {
        buffer
    }
    fn reborrow<'a, T: Element>(slice: &'a &mut [T]) -> &'a [T] {
        slice
    }
    #[expect(clippy::mut_mut, reason = "a slice, borrowed again")]
    fn reborrow_mut<'a, T: Element>(slice: &'a mut &mut [T]) -> &'a mut [T] {
        slice
    }
    fn shorten<'short, 'long: 'short, T: Element>(slice: &'long [T]) -> &'short [T] {
        slice
    }
    fn subslice<'a, T: Element>(slice: &'a &[T], range: Range<usize>) -> Result<&'a [T]> {
        check_range(slice.len(), &range)?;
        Ok(&slice[range])
    }
    #[expect(clippy::mut_mut, reason = "a slice, borrowed again")]
    fn subslice_mut<'a, T: Element>(
        slice: &'a mut &mut [T],
        range: Range<usize>,
    ) -> Result<&'a mut [T]> {
        check_range(slice.len(), &range)?;
        Ok(&mut slice[range])
    }
    fn len<T: Element>(slice: &&[T]) -> usize {
        slice.len()
    }
}
