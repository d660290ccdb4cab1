//! The memory of the device: the processor's, but no more than the device has, and nothing is copied past an array's end.
#![expect(unsafe_code, reason = "the driver's interface has addresses")]

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use batchnorm::cudarc::driver::sys::CUresult;

use crate::device;

/// As a GPU aligns what it allocates.
const ALIGNMENT: usize = 256;
/// What memory holds that nobody has written: no zeros, which would hide that.
const UNWRITTEN: u8 = 0xa5;

/// Arrays: where each begins, and its bytes.
static ARRAYS: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());

fn arrays() -> MutexGuard<'static, BTreeMap<u64, usize>> {
    ARRAYS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), ALIGNMENT).ok()
}

/// Bytes that are left.
pub(crate) fn free_bytes() -> usize {
    device::memory_bytes().saturating_sub(arrays().values().sum())
}

pub(crate) fn allocate(bytes: usize) -> Result<u64, CUresult> {
    if bytes > free_bytes() {
        return Err(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    }
    let layout = layout(bytes).ok_or(CUresult::CUDA_ERROR_OUT_OF_MEMORY)?;
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc(layout) };
    if memory.is_null() {
        return Err(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    }
    // SAFETY: so many bytes were just allocated.
    unsafe { ptr::write_bytes(memory, UNWRITTEN, layout.size()) };
    let address = memory.expose_provenance() as u64;
    arrays().insert(address, bytes);
    Ok(address)
}

pub(crate) fn release(address: u64) -> Result<(), CUresult> {
    let bytes = arrays()
        .remove(&address)
        .ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)?;
    let layout = layout(bytes).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)?;
    // SAFETY: the address is of `allocate`, with this layout, and was forgotten two lines before.
    unsafe { dealloc(at(address), layout) };
    Ok(())
}

/// Whether so many bytes from an address on are of one array.
fn check(address: u64, bytes: usize) -> Result<(), CUresult> {
    let arrays = arrays();
    let array = arrays.range(..=address).next_back();
    let inside = array.is_some_and(|(start, len)| address - start + bytes as u64 <= *len as u64);
    if inside || bytes == 0 {
        Ok(())
    } else {
        Err(CUresult::CUDA_ERROR_INVALID_VALUE)
    }
}

fn at(address: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut(usize::try_from(address).expect("an address of this machine"))
}

/// The values of an array, to be changed in place.
pub(crate) fn with_bytes(
    address: u64,
    bytes: usize,
    change: impl FnOnce(&mut [u8]),
) -> Result<(), CUresult> {
    check(address, bytes)?;
    if bytes > 0 {
        // SAFETY: the bytes are of an array, all written when it was allocated; one launch or copy runs at a time in a stream,
        // and programs that use an array in two streams at once are wrong on a GPU too.
        change(unsafe { std::slice::from_raw_parts_mut(at(address), bytes) });
    }
    Ok(())
}

pub(crate) fn copy(from: u64, to: u64, bytes: usize) -> Result<(), CUresult> {
    check(from, bytes)?;
    check(to, bytes)?;
    // SAFETY: both are inside arrays, and may overlap.
    unsafe { ptr::copy(at(from), at(to), bytes) };
    Ok(())
}

/// # Safety
/// So many bytes can be read there.
pub(crate) unsafe fn copy_in(from: *const u8, to: u64, bytes: usize) -> Result<(), CUresult> {
    check(to, bytes)?;
    // SAFETY: the caller's promise for the one, `check` for the other.
    unsafe { ptr::copy(from, at(to), bytes) };
    Ok(())
}

/// # Safety
/// So many bytes can be written there.
pub(crate) unsafe fn copy_out(from: u64, to: *mut u8, bytes: usize) -> Result<(), CUresult> {
    check(from, bytes)?;
    // SAFETY: the caller's promise for the one, `check` for the other.
    unsafe { ptr::copy(at(from), to, bytes) };
    Ok(())
}
