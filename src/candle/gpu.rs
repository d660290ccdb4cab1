//! candle's GPUs and their memory as this crate's, without a copy (feature `candle-cuda`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

pub(super) use candle_core::cuda::CudaDType;
use candle_core::cuda::DeviceId;
use candle_core::{CudaDevice, CudaStorage, Result};

use crate::candle::error::wrap;
use crate::cuda::memory::CudaMemory;
use crate::cuda::{Cuda, CudaBuffer};
use crate::device::{Device, DeviceSlice};
use crate::element::Element;

thread_local! {
    /// Of a thread, because the stream of `candle_core::Device::new_cuda` is another one in each, and the workspace that
    /// comes with a [`Cuda`] serves one stream. As candle names a device anew each time it is made, an entry is never
    /// another device's; it stays until the thread ends.
    static DEVICES: RefCell<HashMap<DeviceId, Cuda>> = RefCell::default();
}

/// The GPU on candle's own stream: its kernels and its workspace are made on the first call of a thread.
pub(super) fn device_of(candle: &CudaDevice) -> Result<Device> {
    DEVICES.with_borrow_mut(|devices| {
        if let Some(gpu) = devices.get(&candle.id()) {
            return Ok(Device::Cuda(gpu.clone()));
        }
        let gpu = Cuda::on_stream(candle.cuda_stream()).map_err(wrap)?;
        devices.insert(candle.id(), gpu.clone());
        Ok(Device::Cuda(gpu))
    })
}

/// Some of a tensor's values.
pub(super) fn slice<T: Element + CudaDType>(
    storage: &CudaStorage,
    range: Range<usize>,
) -> Result<DeviceSlice<'_, T>> {
    let memory = CudaMemory::from(storage.as_cuda_slice::<T>()?);
    Ok(DeviceSlice::Cuda(memory.subslice(range)))
}

/// Memory for a tensor on a device of candle's.
pub(super) fn give<T: Element + CudaDType>(
    buffer: CudaBuffer<T>,
    candle: &CudaDevice,
) -> CudaStorage {
    CudaStorage::wrap_cuda_slice(buffer, candle.clone())
}
