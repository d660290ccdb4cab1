//! Device memory lent to a step: cudarc's own slices and views, whose uses cudarc keeps in order between streams, or a
//! bare address, whose uses the caller does.
#![expect(
    unsafe_code,
    reason = "a bare address can only be trusted: it takes an unsafe function to lend one"
)]

use std::fmt;
use std::ops::Range;

use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceRepr,
    SyncOnDrop, ValidAsZeroBits,
};

/// A data type that cudarc can move. Sealed: only this crate can name it.
pub trait CudaElement: DeviceRepr + ValidAsZeroBits {}
impl<T: DeviceRepr + ValidAsZeroBits> CudaElement for T {}

/// Device memory lent for reading.
///
/// ```
/// use batchnorm::cuda::CudaMemory;
/// use batchnorm::cudarc::driver::{CudaSlice, CudaView};
/// fn lend<'a>(slice: &'a CudaSlice<f32>, view: &'a CudaView<'a, f32>) -> [CudaMemory<'a, f32>; 2] {
///     [slice.into(), view.into()]
/// }
/// ```
#[derive(Clone, Copy)]
pub struct CudaMemory<'a, T> {
    /// The first value lent, counted from the source's first.
    first: usize,
    len: usize,
    source: Source<'a, T>,
}

enum Source<'a, T> {
    Tracked(&'a dyn DevicePtr<T>),
    Address(CUdeviceptr),
}

// Derived ones would need T: Copy.
impl<T> Clone for Source<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Source<'_, T> {}

/// Device memory lent for writing.
pub struct CudaMemoryMut<'a, T> {
    first: usize,
    len: usize,
    source: SourceMut<'a, T>,
}

enum SourceMut<'a, T> {
    Tracked(&'a mut (dyn Tracked<T> + 'a)),
    Address(CUdeviceptr),
}

/// Memory of cudarc's that can be lent on for either.
trait Tracked<T>: DevicePtr<T> + DevicePtrMut<T> {}
impl<T, M: DevicePtr<T> + DevicePtrMut<T>> Tracked<T> for M {}

impl<T> CudaMemory<'_, T> {
    /// `len` values at an address. The caller keeps the order of uses, so nothing is recorded and nothing waited for:
    /// what a program with its own tracking, or one that captures a graph, wants.
    ///
    /// # Safety
    /// As long as work that reads it is in the stream: there must be `len` initialized values at `address`, aligned
    /// for T, on the device that the backend is on, and nobody may write them.
    pub unsafe fn from_address(address: CUdeviceptr, len: usize) -> Self {
        let source = Source::Address(address);
        Self {
            first: 0,
            len,
            source,
        }
    }
}

impl<T> CudaMemoryMut<'_, T> {
    /// `len` values at an address. See [`CudaMemory::from_address`].
    ///
    /// # Safety
    /// As long as work that writes it is in the stream: there must be room for `len` values at `address`, aligned for
    /// T, on the device that the backend is on, and nobody else may read or write it.
    pub unsafe fn from_address(address: CUdeviceptr, len: usize) -> Self {
        let source = SourceMut::Address(address);
        Self {
            first: 0,
            len,
            source,
        }
    }
}

impl<'a, T> From<&'a CudaSlice<T>> for CudaMemory<'a, T> {
    fn from(slice: &'a CudaSlice<T>) -> Self {
        Self {
            first: 0,
            len: slice.len(),
            source: Source::Tracked(slice),
        }
    }
}

impl<'a, T> From<&'a CudaView<'_, T>> for CudaMemory<'a, T> {
    fn from(view: &'a CudaView<'_, T>) -> Self {
        Self {
            first: 0,
            len: view.len(),
            source: Source::Tracked(view),
        }
    }
}

impl<'a, T> From<&'a mut CudaSlice<T>> for CudaMemoryMut<'a, T> {
    fn from(slice: &'a mut CudaSlice<T>) -> Self {
        Self {
            first: 0,
            len: slice.len(),
            source: SourceMut::Tracked(slice),
        }
    }
}

impl<'a, T> From<&'a mut CudaViewMut<'_, T>> for CudaMemoryMut<'a, T> {
    fn from(view: &'a mut CudaViewMut<'_, T>) -> Self {
        Self {
            first: 0,
            len: view.len(),
            source: SourceMut::Tracked(view),
        }
    }
}

impl<'a, T> CudaMemory<'a, T> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values of a range that is in it.
    pub(crate) fn subslice(&self, range: Range<usize>) -> Self {
        Self {
            first: self.first + range.start,
            len: range.len(),
            ..*self
        }
    }

    /// The address, after what writes the memory in other streams; and what tells them, once dropped, that it has been
    /// read up to here.
    pub(super) fn address(self, stream: &'a CudaStream) -> (CUdeviceptr, SyncOnDrop<'a>) {
        let (address, guard) = match self.source {
            Source::Tracked(memory) => memory.device_ptr(stream),
            Source::Address(address) => (address, SyncOnDrop::Record(None)),
        };
        (address + (self.first * size_of::<T>()) as u64, guard)
    }

    /// Where the memory is, if that is known.
    pub(super) fn context(&self) -> Option<&CudaContext> {
        match self.source {
            Source::Tracked(memory) => Some(memory.stream().context()),
            Source::Address(_) => None,
        }
    }
}

impl<T> CudaMemoryMut<'_, T> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn reborrow(&self) -> CudaMemory<'_, T> {
        let source = match &self.source {
            SourceMut::Tracked(memory) => Source::Tracked(&**memory),
            SourceMut::Address(address) => Source::Address(*address),
        };
        CudaMemory {
            first: self.first,
            len: self.len,
            source,
        }
    }

    pub(super) fn reborrow_mut(&mut self) -> CudaMemoryMut<'_, T> {
        let source = match &mut self.source {
            SourceMut::Tracked(memory) => SourceMut::Tracked(&mut **memory),
            SourceMut::Address(address) => SourceMut::Address(*address),
        };
        CudaMemoryMut {
            first: self.first,
            len: self.len,
            source,
        }
    }

    /// The values of a range that is in it.
    pub(super) fn subslice(&mut self, range: Range<usize>) -> CudaMemoryMut<'_, T> {
        let first = self.first + range.start;
        CudaMemoryMut {
            first,
            len: range.len(),
            ..self.reborrow_mut()
        }
    }

    pub(super) fn context(&self) -> Option<&CudaContext> {
        match &self.source {
            SourceMut::Tracked(memory) => Some(memory.stream().context()),
            SourceMut::Address(_) => None,
        }
    }
}

impl<'a, T> CudaMemoryMut<'a, T> {
    /// As [`CudaMemory::address`]; and what tells other streams, once dropped, that it has been written up to here.
    pub(super) fn address(self, stream: &'a CudaStream) -> (CUdeviceptr, SyncOnDrop<'a>) {
        let (address, guard) = match self.source {
            SourceMut::Tracked(memory) => memory.device_ptr_mut(stream),
            SourceMut::Address(address) => (address, SyncOnDrop::Record(None)),
        };
        (address + (self.first * size_of::<T>()) as u64, guard)
    }
}

impl<T> fmt::Debug for CudaMemory<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaMemory({} values)", self.len)
    }
}

impl<T> fmt::Debug for CudaMemoryMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaMemoryMut({} values)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is lent on of an address that nothing looks at.
    #[test]
    fn parts_of_parts_count_from_the_first_value() {
        // SAFETY: no work is given to a stream with either.
        let (memory, mut memory_mut) = unsafe {
            (
                CudaMemory::<f32>::from_address(4096, 10),
                CudaMemoryMut::<f32>::from_address(4096, 10),
            )
        };
        let part = memory.subslice(2..9).subslice(1..4);
        assert_eq!((part.first, part.len(), part.is_empty()), (3, 3, false));
        let mut part = memory_mut.subslice(2..9);
        let part = part.subslice(1..1);
        assert_eq!((part.first, part.len(), part.is_empty()), (3, 0, true));
        assert_eq!(part.reborrow().first, 3);
        assert!(part.context().is_none() && memory.context().is_none());
    }
}
