//! Copies between the device and the processor, and within the device.
#![expect(
    unsafe_code,
    reason = "cudarc's safe copies take its own slices only, and these are of memory of any kind"
)]

use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaStream, DriverError, result};

/// Fills `values` from the device, after all work that is in the stream.
pub(super) fn to_processor<T>(
    stream: &CudaStream,
    from: CUdeviceptr,
    values: &mut [T],
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // SAFETY: who lends device memory says that it holds that many values of this type, and every bit pattern is a
    // value of an element. The stream is waited for before `values` is used.
    unsafe { result::memcpy_dtoh_async(values, from, stream.cu_stream()) }?;
    stream.synchronize()
}

/// Copies so many bytes, in the order of the stream.
pub(super) fn on_device(
    stream: &CudaStream,
    from: CUdeviceptr,
    to: CUdeviceptr,
    bytes: usize,
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // SAFETY: who lends device memory says that it has that many bytes; the two are lent for reading and for writing,
    // so they do not overlap.
    unsafe { result::memcpy_dtod_async(to, from, bytes, stream.cu_stream()) }
}
