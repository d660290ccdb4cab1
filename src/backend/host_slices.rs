//! Slices of the host's memory, where a device's memory is that: the processor's, and that of the host which runs the GPU's kernels in
//! tests (`kernels/simt`, a package of its own, which is why the macro is exported).

/// The part of an `impl Memory` that slices decide alone, for buffers that dereference to slices. It takes the names of
/// `backend::memory`, [`Element`](crate::Element), [`Result`](crate::Result) and [`Range`](std::ops::Range) from where it stands.
#[doc(hidden)]
#[macro_export]
macro_rules! host_slices {
    () => {
        type Slice<'a, T: Element> = &'a [T];
        type SliceMut<'a, T: Element> = &'a mut [T];

        fn copy<T: Element>(&self, from: &[T], to: &mut [T]) -> Result<()> {
            check_copy(from.len(), to.len())?;
            to.copy_from_slice(from);
            Ok(())
        }
        fn as_slice<T: Element>(buffer: &Self::Buffer<T>) -> &[T] {
            buffer
        }
        fn as_slice_mut<T: Element>(buffer: &mut Self::Buffer<T>) -> &mut [T] {
            buffer
        }
        fn reborrow<'a, T: Element>(slice: &'a &mut [T]) -> &'a [T] {
            slice
        }
        #[allow(clippy::mut_mut, reason = "a slice, borrowed again")]
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
        #[allow(clippy::mut_mut, reason = "a slice, borrowed again")]
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
    };
}
pub(crate) use host_slices;
