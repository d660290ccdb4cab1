//! Memory for a tensor that a pass makes: on the processor a vector, which is what candle's tensors are there.
#![expect(unsafe_code, reason = "it is written by the pass, not filled before")]

use candle_core::{Result, Storage};

use crate::allocate::reserved;
#[cfg(feature = "cuda")]
use crate::backend::memory::Memory;
use crate::candle::error::wrap;
#[cfg(feature = "cuda")]
use crate::candle::memory::give;
use crate::candle::value::Value;
use crate::cpu::memory::huge_pages::ask_for_huge_pages;
use crate::device::{Device, DeviceSliceMut};

/// A tensor's memory of so many values that `write` writes, and what else that gives.
///
/// # Safety
/// Unless it returns an error, `write` writes every value, and in any case it reads none that it has not written.
pub(super) unsafe fn written_by<T: Value, R>(
    device: &Device,
    #[cfg_attr(
        not(feature = "cuda"),
        expect(unused_variables, reason = "there are no GPUs")
    )]
    candle_device: &candle_core::Device,
    len: usize,
    write: impl FnOnce(DeviceSliceMut<'_, T>) -> Result<R>,
) -> Result<(Storage, R)> {
    match device {
        Device::Cpu(_) => {
            let mut values = reserved::<T>(len).map_err(wrap)?;
            ask_for_huge_pages(values.as_ptr().cast(), len * size_of::<T>());
            // SAFETY: there is room for `len` values, of a type that all bits are a value of, and nobody else has it. The
            // caller promises that no value is read before it is written.
            let unwritten = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr(), len) };
            let made = write(DeviceSliceMut::Cpu(unwritten))?;
            // SAFETY: there is room for `len` values, and the caller promises that all of them have been written.
            unsafe { values.set_len(len) };
            Ok((Storage::Cpu(T::to_cpu_storage_owned(values)), made))
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => {
            let mut buffer = device.unspecified::<T>(len).map_err(wrap)?;
            let made = write(Device::as_slice_mut(&mut buffer))?;
            Ok((give(buffer, candle_device)?, made))
        }
    }
}
