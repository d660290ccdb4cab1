//! Memory of the pool that CUDA keeps for a device: allocated and freed in the order of a stream, without a wait.
#![expect(unsafe_code, reason = "memory is not set before a kernel writes it")]

use std::sync::Arc;

use cudarc::driver::sys::CUmemPool_attribute;
use cudarc::driver::{CudaSlice, CudaStream, DriverError, result};

use crate::element::Element;

/// Memory for a kernel to write all of. Where the device has no such pool, it is allocated with a wait.
pub(super) fn unspecified<T: Element>(
    stream: &Arc<CudaStream>,
    len: usize,
) -> Result<CudaSlice<T>, DriverError> {
    // SAFETY: what a device's memory holds from before are values too, as all bits are a value of an element.
    unsafe { stream.alloc(len) }
}

/// Gives back what the pool has that nobody uses, when all work in the stream has been done.
pub(super) fn release(stream: &CudaStream) -> Result<(), DriverError> {
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(());
    }
    stream.synchronize()?;
    // SAFETY: the context's own device, whose pool lives as long as it does.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        result::mem_pool::trim_to(pool, 0)
    }
}

/// Has the pool retain so many bytes of freed memory at a wait; until then it retains all.
pub(super) fn set_retained_limit(stream: &CudaStream, bytes: u64) -> Result<(), DriverError> {
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(());
    }
    context.bind_to_thread()?;
    let (mut bytes, attribute) = (
        bytes,
        CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
    );
    let value = std::ptr::from_mut(&mut bytes).cast();
    // SAFETY: the context's own device, whose pool lives as long as it does; the attribute is an u64, which is read before the
    // call returns.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        result::mem_pool::set_attribute(pool, attribute, value)
    }
}
